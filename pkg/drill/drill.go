// Package drill proves that the alarms of an environment work: on a test stack
// each is made to fire by the cause that its template writes down, has to be
// told, and has to clear once the cause is gone.
//
// Every cause is carried out by calls to AWS alone, for no machine lets anybody
// in. Causes that do not disturb each other act at once:
//
//	silence              nobody puts the alarms' own metrics; then good values are put, then bad ones
//	data                 values are put for the alarms' own metrics
//	unreachable, hang    nobody gets through to the instances any more; one hangs
//	gone                 all instances are terminated, and none comes
//	busy                 those that come then burn their processors
//
// The stack is good for nothing else afterwards, and whoever calls deletes it.
package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// The slowest alarm of ours needs ten minutes of data.
const (
	patience      = 30 * time.Minute
	leastPatience = 2 * time.Minute
)

// Options of a drill.
type Options struct {
	AWS     aws.Config
	Compute *compute.Client
	Clock   clock.Clock
	Poll    config.Poll
	Factor  float64 // waits of AWS are divided by it
	// Hear is the address that a listener opens, which the target's topics can
	// reach; "": nobody hears, and that an alarm was told is read from its history.
	Hear string
	// Patience is how long an alarm may take to fire or to clear, in AWS time; 0: 30
	// minutes, and two real ones at least.
	Patience time.Duration
	// Elsewhere are stacks in other regions whose alarms watch the same stack.
	Elsewhere []Elsewhere
	Tell      func(format string, args ...any)
}

// Elsewhere is a stack of alarms in another region.
type Elsewhere struct {
	AWS   aws.Config
	Stack *stack.State
}

// Alarm is what a drill has shown of one.
type Alarm struct {
	ID      string  `json:"id"` // logical
	Cause   string  `json:"cause"`
	Seconds float64 `json:"seconds"` // from the cause to ALARM, in AWS time
	Clear   float64 `json:"clear"`   // from the end of the cause to OK
	Told    string  `json:"told"`    // "heard", "published", or "" where it tells nobody
}

// Result is what is kept as evidence.
type Result struct {
	Digest string    `json:"digest"` // of the part of the template that watches
	Ended  time.Time `json:"ended"`
	Alarms []Alarm   `json:"alarms"`
}

type drill struct {
	Options
	stack  *stack.State
	alarms []*alarm
	asg    *autoscaling.Client
	hear   *listener
	put    time.Time // when data was put last
}

// alarm is one under way.
type alarm struct {
	Alarm
	cause template.Cause
	cw    *cloudwatch.Client // of its region
	name  string
	now   types.StateValue
	why   string
	since time.Time // of the cause, or of its end
	tells bool
	spec  types.MetricAlarm
}

// Run makes every alarm of a stack fire and clear. The stack must be at rest and
// serve. Its error names the alarms that did not.
func Run(ctx context.Context, o Options, s *stack.State) (*Result, error) {
	digest, err := template.Monitoring([]byte(s.Body))
	if err != nil {
		return nil, err
	}
	if o.Tell == nil {
		o.Tell = func(string, ...any) {}
	}
	if o.Factor <= 0 {
		o.Factor = 1
	}
	d := &drill{Options: o, stack: s, asg: autoscaling.NewFromConfig(o.AWS)}
	for _, p := range d.places() {
		list, err := template.Alarms([]byte(p.Stack.Body))
		if err != nil {
			return nil, err
		}
		cw := cloudwatch.NewFromConfig(p.AWS)
		for _, a := range list {
			if r, ok := p.Stack.Resources[a.ID]; ok {
				d.alarms = append(d.alarms, &alarm{Alarm: Alarm{ID: a.ID, Cause: a.Cause.Kind}, cause: a.Cause, cw: cw, name: r.ID})
			}
		}
	}
	if err := d.run(ctx); err != nil {
		return nil, err
	}
	out := &Result{Digest: digest, Ended: o.Clock.Now().UTC()}
	for _, a := range d.alarms {
		out.Alarms = append(out.Alarms, a.Alarm)
	}
	return out, nil
}

// places are all stacks with alarms, our own first.
func (d *drill) places() []Elsewhere {
	return append([]Elsewhere{{d.AWS, d.stack}}, d.Elsewhere...)
}

func (d *drill) run(ctx context.Context) (err error) {
	if d.stack.Group == nil {
		return errors.New("the stack has no group of instances to make trouble with")
	}
	if err := d.await(ctx, "come to rest before the drill: they fire already, or nobody sends their metric", d.alarms, d.quiet); err != nil {
		return err
	}
	if d.Hear != "" {
		d.hear, err = listen(ctx, d.Hear)
		if err != nil {
			return err
		}
		defer d.hear.close()
		for _, p := range d.places() {
			for _, id := range slices.Sorted(maps.Keys(p.Stack.Resources)) {
				if r := p.Stack.Resources[id]; r.Type == "AWS::SNS::Topic" {
					if err := d.hear.subscribe(ctx, d, sns.NewFromConfig(p.AWS), r.ID); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, part := range []struct {
		kinds []string
		act   func(context.Context, []*alarm) error
	}{
		{[]string{template.KindSilence}, d.silence},
		{[]string{template.KindData}, d.data},
		{[]string{template.KindUnreachable, template.KindHang}, d.unreachable},
		{[]string{template.KindGone, template.KindBusy, template.KindHang}, d.gone},
	} {
		some := slices.DeleteFunc(slices.Clone(d.alarms), func(a *alarm) bool { return !slices.Contains(part.kinds, a.Cause) })
		if len(some) == 0 {
			continue
		}
		if err := part.act(ctx, some); err != nil {
			return err
		}
	}
	if err := d.await(ctx, "clear", d.alarms, d.quiet); err != nil {
		return err
	}
	return d.told(ctx)
}

func of(list []*alarm, kinds ...string) []*alarm {
	return slices.DeleteFunc(slices.Clone(list), func(a *alarm) bool { return !slices.Contains(kinds, a.Cause) })
}

// quiet says whether an alarm is at rest. One whose metric is put by others has no
// data here before the drill.
func (d *drill) quiet(a *alarm) bool {
	return a.now == types.StateValueOk || a.Cause == template.KindSilence || a.Cause == template.KindData && a.now == types.StateValueInsufficientData
}

func (d *drill) scale(t time.Duration) time.Duration { return time.Duration(float64(t) / d.Factor) }

// begin notes the moment of a cause.
func (d *drill) begin(list []*alarm) {
	for _, a := range list {
		a.since = d.Clock.Now()
	}
}

// seconds since a moment, in AWS time.
func (d *drill) seconds(since time.Time) float64 {
	return float64(int(10*d.Clock.Now().Sub(since).Seconds()*d.Factor)) / 10
}

// look reads the states of all alarms, and notes which fired and which cleared.
func (d *drill) look(ctx context.Context) error {
	names := map[*cloudwatch.Client][]string{}
	for _, a := range d.alarms {
		names[a.cw] = append(names[a.cw], a.name)
	}
	for cw, list := range names {
		if err := d.lookAt(ctx, cw, list); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) lookAt(ctx context.Context, cw *cloudwatch.Client, names []string) error {
	byName := map[string]*alarm{}
	for _, a := range d.alarms {
		if a.cw == cw {
			byName[a.name] = a
		}
	}
	for some := range slices.Chunk(names, 100) {
		out, err := cw.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
			AlarmNames: some, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
		})
		if err != nil {
			return fmt.Errorf("look at the alarms: %w", err)
		}
		for _, m := range out.MetricAlarms {
			a := byName[aws.ToString(m.AlarmName)]
			a.spec, a.tells = m, len(m.AlarmActions) > 0
			d.note(a, m.StateValue, aws.ToString(m.StateReason))
		}
		for _, m := range out.CompositeAlarms {
			a := byName[aws.ToString(m.AlarmName)]
			a.tells = len(m.AlarmActions) > 0
			d.note(a, m.StateValue, aws.ToString(m.StateReason))
		}
	}
	return nil
}

func (d *drill) note(a *alarm, now types.StateValue, why string) {
	was := a.now
	a.now, a.why = now, why
	if a.since.IsZero() || was == now {
		return
	}
	switch {
	case now == types.StateValueAlarm && a.Seconds == 0:
		a.Seconds = d.seconds(a.since)
		d.Tell("%s fired after %.0f s (%s)", a.ID, a.Seconds, a.Cause)
	case now == types.StateValueOk && a.Seconds > 0:
		a.Clear = d.seconds(a.since)
	}
}

// await polls until the alarms hold.
func (d *drill) await(ctx context.Context, what string, list []*alarm, holds func(*alarm) bool, meanwhile ...func(context.Context) error) error {
	limit, wait := d.Patience, d.scale(d.Patience)
	if limit <= 0 {
		limit, wait = patience, max(d.scale(patience), leastPatience)
	}
	end := d.Clock.Now().Add(wait)
	return d.Poll.Until(ctx, d.Clock, func(ctx context.Context) (bool, error) {
		if err := d.look(ctx); err != nil {
			return false, err
		}
		for _, act := range meanwhile {
			if err := act(ctx); err != nil {
				return false, err
			}
		}
		var missing []string
		for _, a := range list {
			if !holds(a) {
				missing = append(missing, fmt.Sprintf("%s is %s (%s; cause: %s)", a.ID, a.now, a.why, a.Cause))
			}
		}
		if len(missing) > 0 && d.Clock.Now().After(end) {
			return false, fmt.Errorf("within %s these alarms did not %s: %s", limit, what, strings.Join(missing, "; "))
		}
		return len(missing) == 0, nil
	})
}

// fire awaits that alarms fire, and that a composite one over them does where it can.
func (d *drill) fire(ctx context.Context, list []*alarm) error {
	return d.await(ctx, "fire", list, func(a *alarm) bool { return a.Seconds > 0 })
}

// told checks that each alarm that tells anybody was heard, or at least published.
func (d *drill) told(ctx context.Context) error {
	var missing []string
	for _, a := range d.alarms {
		if a.Seconds == 0 {
			missing = append(missing, a.ID+" never fired (cause: "+a.Cause+")")
			continue
		}
		if !a.tells {
			continue
		}
		a.Told = "published"
		ok, err := d.published(ctx, a)
		if err != nil {
			return err
		}
		if d.hear != nil {
			a.Told = "heard"
			ok, err = d.heard(ctx, a.name)
			if err != nil {
				return err
			}
		}
		if !ok {
			missing = append(missing, a.ID+" fired and told nobody: look at its actions, its topic's policy and key")
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// heard waits until the listener has heard of an alarm, and of its end.
func (d *drill) heard(ctx context.Context, name string) (bool, error) {
	end, ok := d.Clock.Now().Add(max(d.scale(5*time.Minute), 30*time.Second)), false
	err := d.Poll.Until(ctx, d.Clock, func(context.Context) (bool, error) {
		ok = d.hear.has(name, "ALARM") && d.hear.has(name, "OK")
		return ok || d.Clock.Now().After(end), nil
	})
	return ok, err
}

// published says whether the alarm's actions were carried out.
func (d *drill) published(ctx context.Context, a *alarm) (bool, error) {
	out, err := a.cw.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{
		AlarmName: &a.name, HistoryItemType: types.HistoryItemTypeAction, MaxRecords: aws.Int32(100),
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
	})
	if err != nil {
		return false, fmt.Errorf("read the history of alarm %s: %w", a.ID, err)
	}
	for _, i := range out.AlarmHistoryItems {
		if strings.HasPrefix(aws.ToString(i.HistorySummary), "Successfully executed action") {
			return true, nil
		}
	}
	return false, nil
}
