package cloudformation_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation"
	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/elb"
	"github.com/build-deploy-chain/chain/pkg/lab/iam"
	"github.com/build-deploy-chain/chain/pkg/lab/logs"
	"github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/route53"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/sns"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const region = "eu-west-1"

// world is a lab without a network, driven by a manual clock. Its waits are AWS's own.
type world struct {
	t     testing.TB
	core  *core.Core
	clock *clock.Manual
	rt    *memory.Runtime
	state *state.World
	seen  map[string]int // events of a stack that were read already
	oldID string         // image ids
	newID string
}

func services() []core.Service {
	return []core.Service{
		ec2.Service{},
		rds.Service{},
		elb.Service{},
		autoscaling.Service{},
		cloudwatch.Service{},
		route53.Service{},
		sns.Service{},
		logs.Service{},
		iam.Service{},
		ssm.Service{},
		cloudformation.Service{},
	}
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	rt, err := memory.New(memory.Options{Clock: c})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = rt.Close() })
	w := &world{t: tb, clock: c, rt: rt, state: state.New("test", "111111111111"), seen: map[string]int{}}
	w.core = core.New(w.state, core.Options{Clock: c, Factor: 1, Runtime: rt, Manual: true}, services()...)
	for i, into := range []*string{&w.oldID, &w.newID} {
		ref := fmt.Sprintf("image-%d", i)
		require.NoError(tb, rt.AddImage(ref, memory.Site("Hello World", ref)))
		w.do(func(tx *core.Tx) error {
			id, err := ec2.AddImage(tx, ref, ref, nil)
			*into = id
			return err
		})
	}
	return w
}

// restart kills the lab and starts another one with what was kept of the world.
func (w *world) restart() {
	w.t.Helper()
	b, err := json.Marshal(w.state)
	require.NoError(w.t, err)
	w.core.Close()
	again := &state.World{}
	require.NoError(w.t, json.Unmarshal(b, again))
	again.Init()
	w.state = again
	w.core = core.New(again, core.Options{Clock: w.clock, Factor: 1, Runtime: w.rt, Manual: true}, services()...)
}

func (w *world) do(fn func(tx *core.Tx) error) {
	w.t.Helper()
	require.NoError(w.t, w.core.Do(region, fn))
}

func act[I, O any](w *world, fn func(*core.Tx, *I) (*O, error), in *I) (*O, error) {
	var out *O
	err := w.core.Do(region, func(tx *core.Tx) (err error) {
		out, err = fn(tx, in)
		return err
	})
	return out, err
}

func must[I, O any](w *world, fn func(*core.Tx, *I) (*O, error), in *I) *O {
	w.t.Helper()
	out, err := act(w, fn, in)
	require.NoError(w.t, err)
	return out
}

// refused wants an error of that code whose text has the given part.
func refused[I, O any](w *world, fn func(*core.Tx, *I) (*O, error), in *I, code, text string) {
	w.t.Helper()
	_, err := act(w, fn, in)
	var e *wire.Error
	require.ErrorAs(w.t, err, &e)
	require.Equal(w.t, code, e.Code)
	require.Contains(w.t, e.Message, text)
}

// settle does all that can be done at this moment.
func (w *world) settle() { w.core.Settle() }

// pass lets time pass second by second.
func (w *world) pass(d time.Duration) {
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.settle()
		w.clock.Advance(time.Second)
	}
	w.settle()
}

// until lets time pass until the stack has one of the states.
func (w *world) until(stack string, states ...string) {
	w.t.Helper()
	for range 3600 {
		w.settle()
		if slices.Contains(states, w.status(stack)) {
			return
		}
		w.clock.Advance(time.Second)
	}
	w.t.Fatalf("stack %s is in %s, wanted %v; events:\n%s", stack, w.status(stack), states, strings.Join(w.events(stack), "\n"))
}

// when lets time pass until the newest events hold a text.
func (w *world) when(text string) {
	w.t.Helper()
	const stack = "web"
	for range 3600 {
		w.settle()
		for _, ev := range w.stack(stack).Events[w.seen[stack]:] {
			if strings.Contains(ev.Reason, text) {
				return
			}
		}
		w.clock.Advance(time.Second)
	}
	w.t.Fatalf("no event says %q:\n%s", text, strings.Join(w.events(stack), "\n"))
}

func (w *world) stack(name string) *state.Stack {
	w.t.Helper()
	var newest *state.Stack
	r := w.state.Regions[region]
	for _, st := range slices.AppendSeq(slices.Collect(maps.Values(r.Stacks)), maps.Values(r.Deleted)) {
		if st.Name == name && (newest == nil || st.Created.After(newest.Created)) {
			newest = st
		}
	}
	require.NotNil(w.t, newest, "stack "+name)
	return newest
}

func (w *world) status(name string) string { return w.stack(name).Status }

func (w *world) group(stack string) *state.Group {
	return w.state.Regions[region].Groups[w.stack(stack).Resources["Asg"].PhysicalID]
}

// images are the images of the instances in service, sorted.
func (w *world) images() []string {
	const stack = "web"
	var out []string
	for _, m := range autoscaling.InService(w.group(stack)) {
		id := w.state.Regions[region].Instances[m.ID].ImageID
		switch id {
		case w.oldID:
			id = "old"
		case w.newID:
			id = "new"
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// events reads the events of a stack that were not read before: "Lt UPDATE_COMPLETE: reason".
func (w *world) events(name string) []string {
	w.t.Helper()
	st := w.stack(name)
	var out []string
	for _, ev := range st.Events[w.seen[name]:] {
		line := ev.LogicalID + " " + ev.Status
		if ev.Reason != "" {
			line += ": " + w.plain(ev.Reason)
		}
		out = append(out, line)
	}
	w.seen[name] = len(st.Events)
	return out
}

// plain makes instance ids i1, i2, … in the order of their launch.
func (w *world) plain(text string) string {
	var ids []string
	in := w.state.Regions[region].Instances
	for id := range in {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if c := in[a].Launched.Compare(in[b].Launched); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for n, id := range ids {
		text = strings.ReplaceAll(text, id, fmt.Sprintf("i%d", n+1))
	}
	return text
}

// template is a file of testdata with an image's id in it.
func (w *world) template(file, image string) string {
	w.t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	require.NoError(w.t, err)
	return strings.ReplaceAll(string(b), "IMAGE", image)
}

// signal sends a signal for every instance in service that has sent none.
func (w *world) signal(stack, status string) int {
	w.t.Helper()
	n := 0
	res := w.stack(stack).Resources["Asg"]
	for _, m := range autoscaling.InService(w.group(stack)) {
		if res.Work == nil || slices.ContainsFunc(res.Work.Signals, func(s *state.ResourceSignal) bool { return s.ID == m.ID }) {
			continue
		}
		_, err := act(w, cloudformation.SignalResource, &cloudformation.SignalResourceInput{
			StackName: stack, LogicalResourceId: "Asg", UniqueId: m.ID, Status: status,
		})
		require.NoError(w.t, err)
		n++
	}
	return n
}

// signalling sends SUCCESS for whatever comes into service until the stack has one of the states.
func (w *world) signalling(states ...string) {
	w.t.Helper()
	const stack = "web"
	for range 3600 {
		w.settle()
		if slices.Contains(states, w.status(stack)) {
			return
		}
		switch w.status(stack) {
		case "CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS":
			if r := w.stack(stack).Resources["Asg"]; r != nil && r.Work != nil && (r.Work.Phase == "begun" || r.Work.Phase == "signals") && w.group(stack) != nil {
				w.signal(stack, "SUCCESS")
			}
		}
		w.clock.Advance(time.Second)
	}
	w.t.Fatalf("stack %s is in %s, wanted %v; events:\n%s", stack, w.status(stack), states, strings.Join(w.events(stack), "\n"))
}

func yes() *bool { b := true; return &b }

func parameters(kv ...string) []cloudformation.Parameter {
	var out []cloudformation.Parameter
	for i := 0; i < len(kv); i += 2 {
		out = append(out, cloudformation.Parameter{ParameterKey: kv[i], ParameterValue: kv[i+1]})
	}
	return out
}

// create makes the group stack, complete.
func (w *world) create(kv ...string) {
	w.t.Helper()
	must(w, cloudformation.CreateStack, &cloudformation.CreateStackInput{
		StackName: "web", TemplateBody: w.template("group.yaml", w.oldID), Parameters: parameters(kv...), ClientRequestToken: "create-1",
		Tags: []cloudformation.Tag{{Key: "site", Value: "web"}},
	})
	w.signalling("CREATE_COMPLETE")
}

// update begins the update of the group stack to the new image.
func (w *world) update(kv ...string) {
	w.t.Helper()
	must(w, cloudformation.UpdateStack, &cloudformation.UpdateStackInput{
		StackName: "web", TemplateBody: w.template("group.yaml", w.newID), Parameters: parameters(kv...), ClientRequestToken: "update-1",
	})
}
