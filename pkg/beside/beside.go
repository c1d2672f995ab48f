// Package beside keeps the small stacks that watch an environment from another
// region: Route 53 has the metrics of its health checks in us-east-1 alone, and an
// alarm must be where its metric is.
//
// Their templates are part of the environment's own (template.Beside). So there is
// nothing to decide here: Bring makes them what the environment's template says, on
// a test stack as in production, after an update as after a way back.
package beside

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/stack"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// settling is how long a new health check may take until its metric is there. An alarm
// that comes first would wake somebody for want of data.
const settling = 5 * time.Minute

// attempts are made of one change, each by a run of its own.
const attempts = 9

// Keeper makes and removes the small stacks of the environments of one region.
type Keeper struct {
	AWS    aws.Config // of the environments' region
	Poll   config.Poll
	Clock  clock.Clock
	Factor float64 // waits of AWS are divided by it
}

// Stack is one that is there.
type Stack struct {
	*stack.State
	AWS     aws.Config // of its region
	Account *stack.Account
}

// name of the small stack of an environment's stack.
func (k *Keeper) name(of string) string { return of + "-outside-" + k.AWS.Region }

func (k *Keeper) open(region string) (aws.Config, *stack.Account) {
	cfg := k.AWS.Copy()
	cfg.Region = region
	return cfg, stack.Open(stack.Options{AWS: cfg, Clock: k.Clock, Poll: k.Poll, Factor: k.Factor, Machines: none{}})
}

// Bring makes the small stacks of an environment what its template says, and removes
// those it does not have any more. op is a name for what is done, a new one for each
// change; the same call again goes on with it.
func (k *Keeper) Bring(ctx context.Context, s *stack.State, op string, note func(format string, args ...any)) error {
	wanted, err := template.Beside([]byte(s.Body))
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		return k.Remove(ctx, s.Name, op+"-outside")
	}
	for _, region := range slices.Sorted(maps.Keys(wanted)) {
		if err := k.bring(ctx, s, region, wanted[region], op+"-outside", note); err != nil {
			return fmt.Errorf("the alarms in %s: %w", region, err)
		}
	}
	return nil
}

func (k *Keeper) bring(ctx context.Context, s *stack.State, region, body, op string, note func(string, ...any)) error {
	cfg, account := k.open(region)
	st := account.Stack(k.name(s.Name))
	c := stack.Change{Name: op, Body: body, Parameters: map[string]string{}, Tags: own(s.Tags)}
	parameters, err := template.ParametersOf([]byte(body))
	if err != nil {
		return err
	}
	for _, p := range parameters {
		v := s.Parameters[p]
		if r, ok := s.Resources[p]; ok {
			v = r.ID
		}
		if v == "" {
			return fmt.Errorf("stack %s has neither resource nor parameter %s", s.Name, p)
		}
		c.Parameters[p] = v
	}
	now, err := st.Status(ctx)
	switch {
	case errors.Is(err, stack.ErrAbsent):
		c.Create = true
	case err != nil:
		return err
	case stack.MoveFor(now.Status, false, false) == stack.Recreate, stack.MoveFor(now.Status, false, false) == stack.Erase:
		if err := st.Delete(ctx, op+"-again"); err != nil {
			return err
		}
		c.Create = true
	case stack.MoveFor(now.Status, true, true) == stack.Create: // nothing but a change set is there
		c.Create = true
	}
	if c.Create {
		if err := k.settle(ctx, cfg, s, note); err != nil {
			return err
		}
	}
	// What a run before this one began, and what ended badly, is tried once more.
	for n := 1; ; n++ {
		c.Name = fmt.Sprintf("%s-%d", op, n)
		p, err := st.Propose(ctx, c)
		if err != nil || p.Empty {
			return err
		}
		if err := st.Execute(ctx, p); err != nil {
			return err
		}
		out, err := st.Follow(ctx, stack.Operation{Token: c.Name, StackID: p.StackID})
		if err != nil {
			return err
		}
		if stack.Good(out.Status) {
			note("%s in %s watches from outside", st.Name, region)
			return nil
		}
		if !p.Started || n == attempts {
			return fmt.Errorf("stack %s ended in %s: %s", st.Name, out.Status, out.Why())
		}
	}
}

// settle waits until the health checks of a stack have data.
func (k *Keeper) settle(ctx context.Context, cfg aws.Config, s *stack.State, note func(string, ...any)) error {
	api := cloudwatch.NewFromConfig(cfg)
	end := k.Clock.Now().Add(max(k.scale(settling), 20*time.Second))
	return k.Poll.Until(ctx, k.Clock, func(ctx context.Context) (bool, error) {
		for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
			r := s.Resources[id]
			if r.Type != "AWS::Route53::HealthCheck" || r.ID == "" {
				continue
			}
			now := k.Clock.Now()
			out, err := api.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
				Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckStatus"), Dimensions: []types.Dimension{{Name: aws.String("HealthCheckId"), Value: &r.ID}},
				StartTime: aws.Time(now.Add(-settling)), EndTime: aws.Time(now.Add(time.Minute)), Period: aws.Int32(60), Statistics: []types.Statistic{types.StatisticMaximum},
			})
			if err != nil {
				return false, fmt.Errorf("look at health check %s: %w", id, err)
			}
			if len(out.Datapoints) > 0 {
				continue
			}
			if now.After(end) {
				note("health check %s has told nothing in %s", id, settling)
				return true, nil
			}
			return false, nil
		}
		return true, nil
	})
}

func (k *Keeper) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) / max(k.Factor, 1))
}

// Find reads the small stacks of an environment that are there.
func (k *Keeper) Find(ctx context.Context, s *stack.State) ([]Stack, error) {
	wanted, err := template.Beside([]byte(s.Body))
	if err != nil {
		return nil, err
	}
	var out []Stack
	for _, region := range slices.Sorted(maps.Keys(wanted)) {
		cfg, account := k.open(region)
		now, err := account.Stack(k.name(s.Name)).Read(ctx)
		if errors.Is(err, stack.ErrAbsent) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the alarms in %s: %w", region, err)
		}
		out = append(out, Stack{now, cfg, account})
	}
	return out, nil
}

// Remove deletes the small stacks of an environment's stack, which may be gone itself.
func (k *Keeper) Remove(ctx context.Context, name, token string) error {
	if k.AWS.Region == template.OutsideRegion {
		return nil
	}
	_, account := k.open(template.OutsideRegion)
	if err := account.Stack(k.name(name)).Delete(ctx, token); err != nil {
		return fmt.Errorf("the alarms in %s: %w", template.OutsideRegion, err)
	}
	return nil
}

// own are the tags that were given.
func own(tags map[string]string) map[string]string {
	out := maps.Clone(tags)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "aws:") })
	return out
}

// none is EC2 for stacks that have nothing of it.
type none struct{}

func (none) Machines(context.Context, []string) ([]stack.Machine, error) { return nil, nil }

func (none) LaunchTemplate(context.Context, string, string) (stack.LaunchTemplate, error) {
	return stack.LaunchTemplate{}, errors.New("there are no machines in this stack")
}

func (none) Console(context.Context, string) (string, error) { return "", nil }

func (none) Left(context.Context, string) ([]string, error) { return nil, nil }
