package release_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/rehearsal"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// statuses is a production whose stack somebody else brings into statuses: by
// hand, as people do, where CloudFormation can be made to, and told where not.
type statuses struct {
	*world
	cfn   *cloudformation.Client
	want  *rehearsal.Deployment // what is deployed first
	seen  map[string]bool
	err   error             // of the newest release
	text  strings.Builder   // all transcripts
	plans map[string]string // how they go on from the plan, and the first status in which they do
}

const production = "web-production"

// told puts the stack into a status and tells it, as if CloudFormation did.
func (s *statuses) told(t *testing.T, list ...string) {
	t.Helper()
	for _, status := range list {
		require.NoError(t, s.l.Core().Do(region, func(tx *core.Tx) error {
			for _, st := range tx.Region.Stacks {
				if st.Name == production && st.Status != "DELETE_COMPLETE" {
					st.Status, st.Updated = status, tx.Now
					st.Events = append(st.Events, &state.StackEvent{
						ID: core.UUID(), LogicalID: st.Name, PhysicalID: st.ID, Type: "AWS::CloudFormation::Stack", Status: status, Time: tx.Now,
					})
				}
			}
			tx.Changed()
			return nil
		}))
	}
}

// create makes the stack by hand, with more addresses than the account has if it is to fail.
func (s *statuses) create(t *testing.T, onFailure types.OnFailure, fails bool) {
	t.Helper()
	in := &cloudformation.CreateStackInput{
		StackName: aws.String(production), TemplateBody: aws.String(s.body(fails, "")), OnFailure: onFailure,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityNamedIam},
	}
	for _, k := range slices.Sorted(maps.Keys(s.want.Parameters)) {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(s.want.Parameters[k])})
	}
	for k, v := range s.want.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	_, err := s.cfn.CreateStack(t.Context(), in)
	require.NoError(t, err)
}

// body is the template, or one that changes an alarm and fails.
func (s *statuses) body(fails bool, after string) string {
	if !fails {
		return s.want.Body
	}
	var more strings.Builder
	for i := range 5 {
		fmt.Fprintf(&more, "\n  Extra%d: {Type: AWS::EC2::EIP, %sProperties: {Domain: vpc}}\n", i, after)
	}
	body := strings.Replace(s.want.Body, "\nOutputs:\n", more.String()+"\nOutputs:\n", 1)
	return strings.Replace(body, "      Threshold: 80\n", "      Threshold: 81\n", 1)
}

// update changes the living stack by hand, so that it fails.
func (s *statuses) update(t *testing.T, keepFailed bool) {
	t.Helper()
	in := &cloudformation.UpdateStackInput{
		StackName: aws.String(production), TemplateBody: aws.String(s.body(true, "DependsOn: HighCpu, ")), DisableRollback: aws.Bool(keepFailed),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam, types.CapabilityCapabilityNamedIam},
	}
	for k := range s.want.Parameters {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(k), UsePreviousValue: aws.Bool(true)})
	}
	_, err := s.cfn.UpdateStack(t.Context(), in)
	require.NoError(t, err)
}

// until waits for the stack to be in a status.
func (s *statuses) until(t *testing.T, status string) {
	t.Helper()
	require.Eventually(t, func() bool { return s.status(t) == status }, 60*time.Second, 5*time.Millisecond, "%s", status)
}

func (s *statuses) status(t *testing.T) string {
	t.Helper()
	d, err := s.cfn.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(production)})
	if err != nil {
		require.ErrorContains(t, err, "does not exist")
		return "absent"
	}
	return string(d.Stacks[0].StackStatus)
}

// release is a release that nobody approves, on the stack as it is. What was begun
// ends in the statuses of ends as soon as it is followed.
func (s *statuses) release(t *testing.T, code int, ends ...string) {
	t.Helper()
	was := s.status(t)
	s.seen[was] = true
	var out strings.Builder
	r, err := report.New(report.Options{Out: &out, Err: &out, Name: "release", Heartbeat: time.Hour})
	require.NoError(t, err)
	ch := s.chain(t)
	ch.Target.Ask = true
	ch.Ask = func(context.Context, string) (string, error) { return "no", nil }
	st := ch.Start()
	var once sync.Once
	err = st.Do(t.Context(), pipeline.Env{Tell: func(e pipeline.Event) {
		r.Tell(e)
		if e.Kind == pipeline.Note && strings.Contains(e.Text, ": following ") {
			once.Do(func() { s.told(t, ends...) })
		}
	}})
	if err == nil {
		outcome, rows := st.Summary(r.Elapsed())
		r.Summary(outcome, rows...)
	}
	_ = r.Fail(err) // it is printed
	require.NoError(t, r.Close())
	assert.Equal(t, code, report.Code(err), "%s: %s", was, out.String())
	text := essence(out.String())
	if i := strings.Index(text, "▶ propose"); i >= 0 {
		if first := s.plans[text[i:]]; first != "" {
			text = text[:i] + "… and so on, as with " + first + "\n"
		} else {
			s.plans[text[i:]] = was
		}
	}
	fmt.Fprintf(&s.text, "=== %s: exit %d\n%s\n", was, code, text)
	s.err = err
}

// essence is what a release prints of the steps that depend on the stack's status.
func essence(text string) string {
	var out strings.Builder
	keep := false
	for line := range strings.Lines(text) {
		line = regexp.MustCompile(`^\d\d:\d\d `).ReplaceAllString(line, "")
		if step, ok := strings.CutPrefix(line, "▶ "); ok {
			keep = regexp.MustCompile(`finish what|wait for what|make way|propose the change|approve`).MatchString(step)
		}
		if strings.HasPrefix(line, "✖") {
			keep = true
		}
		if strings.HasPrefix(line, "✔") || strings.HasPrefix(line, "↩") || strings.HasPrefix(line, "- ") {
			continue
		}
		if keep {
			out.WriteString(line)
		}
	}
	s := out.String()
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.with)
	}
	return regexp.MustCompile(`by-hand|stack/web-production/\S+`).ReplaceAllString(s, "stack/web-production/…")
}

// TestAReleaseInEveryStatus has production's stack in each of CloudFormation's
// statuses, and absent, and shows what a release does then: what it leads to its end
// and goes on from, what it makes again, and where it stops and says how to go on.
func TestAReleaseInEveryStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.page(t, "Hello World")
	cfg, err := w.chain(t).Target.AWS(t.Context())
	require.NoError(t, err)
	s := &statuses{world: w, cfn: cloudformation.NewFromConfig(cfg), seen: map[string]bool{}, plans: map[string]string{}}
	rehearse := func() {
		st := w.chain(t).Start()
		st.TestOnly, st.Rehearsal.NoDrill = true, func() string { return "others show it" }
		require.NoError(t, st.Do(t.Context(), pipeline.Env{}))
		if s.want == nil {
			s.want = st.Rehearsal.Candidate
		}
	}
	proposal := func(name string) {
		_, err := s.cfn.CreateChangeSet(t.Context(), &cloudformation.CreateChangeSetInput{
			StackName: aws.String(production), ChangeSetName: &name, ChangeSetType: types.ChangeSetTypeCreate,
			TemplateBody: aws.String("Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"),
		})
		require.NoError(t, err)
	}
	rehearse()

	// There is no production yet.
	s.release(t, report.Declined) // absent
	assert.Equal(t, "absent", s.status(t), "what was not approved leaves nothing")
	proposal("release-1")
	s.release(t, report.Declined) // REVIEW_IN_PROGRESS
	proposal("somebody-elses")
	s.release(t, report.NeedsHuman)
	require.ErrorContains(t, s.err, "somebody-elses")
	_, err = s.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String(production)})
	require.NoError(t, err)
	s.until(t, "absent")

	s.create(t, types.OnFailureDoNothing, true)
	s.until(t, "CREATE_FAILED")
	s.release(t, report.Declined)
	s.create(t, types.OnFailureRollback, true)
	s.until(t, "ROLLBACK_COMPLETE")
	s.release(t, report.Declined)
	s.create(t, types.OnFailureRollback, true)
	s.until(t, "ROLLBACK_COMPLETE")
	s.told(t, "ROLLBACK_FAILED")
	s.release(t, report.Declined)
	s.create(t, types.OnFailureRollback, true)
	s.until(t, "ROLLBACK_COMPLETE")
	s.told(t, "ROLLBACK_IN_PROGRESS")
	s.release(t, report.Declined, "ROLLBACK_COMPLETE")
	s.seen["DELETE_COMPLETE"] = true // the release has deleted it, and so it is absent

	s.create(t, types.OnFailureRollback, false) // nobody signals, until the release does
	s.until(t, "CREATE_IN_PROGRESS")
	s.release(t, report.OK)

	// There is one, and a change of it is rehearsed.
	w.page(t, "Hello World, again")
	rehearse()
	s.release(t, report.Declined) // CREATE_COMPLETE
	for _, status := range []string{"UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"} {
		s.told(t, status)
		s.release(t, report.Declined)
	}
	for _, c := range []struct{ began, ends []string }{
		{[]string{"UPDATE_IN_PROGRESS"}, []string{"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"}},
		{[]string{"UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}, []string{"UPDATE_COMPLETE"}},
		{[]string{"UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"}, []string{"UPDATE_ROLLBACK_COMPLETE"}},
		{[]string{"UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"}, []string{"UPDATE_ROLLBACK_COMPLETE"}},
		{[]string{"IMPORT_IN_PROGRESS"}, []string{"IMPORT_COMPLETE"}},
		{[]string{"IMPORT_IN_PROGRESS", "IMPORT_ROLLBACK_IN_PROGRESS"}, []string{"IMPORT_ROLLBACK_COMPLETE"}},
	} {
		s.told(t, c.began...)
		s.release(t, report.Declined, c.ends...)
	}
	s.update(t, true)
	s.until(t, "UPDATE_FAILED")
	s.release(t, report.Declined)
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", s.status(t))

	w.fault(t, "rollback-failure", map[string]string{"stack": production}, nil, 4)
	s.update(t, false)
	s.until(t, "UPDATE_ROLLBACK_FAILED")
	s.release(t, report.NeedsHuman) // it failed once and twice more
	require.ErrorContains(t, s.err, "HighCpu")
	s.release(t, report.Declined) // once more, and is mended
	assert.Equal(t, "UPDATE_ROLLBACK_COMPLETE", s.status(t))
	assert.Len(t, w.recorded("ContinueUpdateRollback"), 4)
	for _, form := range w.recorded("ContinueUpdateRollback") {
		assert.NotContains(t, fmt.Sprint(form), "Skip", "nothing is ever skipped")
	}

	deleted := len(w.recorded("DeleteStack"))
	for _, status := range []string{"DELETE_IN_PROGRESS", "DELETE_FAILED", "IMPORT_ROLLBACK_FAILED", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"} {
		s.told(t, status)
		s.release(t, report.NeedsHuman)
	}
	assert.Len(t, w.recorded("DeleteStack"), deleted, "a stack that was ever complete is never deleted")

	for _, status := range types.StackStatus("").Values() {
		assert.True(t, s.seen[string(status)], "%s is not shown", status)
	}
	golden(t, "statuses", s.text.String())
}
