package facts_test

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// change proposes a change set and waits until it is worked out.
func (s *stack) change(body string, change ...func(*cloudformation.CreateChangeSetInput)) *cloudformation.DescribeChangeSetOutput {
	s.Helper()
	in := &cloudformation.CreateChangeSetInput{StackName: &s.name, ChangeSetName: aws.String("change"), TemplateBody: &body}
	for _, c := range change {
		c(in)
	}
	made, err := s.cfn.CreateChangeSet(s.ctx, in)
	require.NoError(s, err)
	if s.id == "" {
		s.id = *made.StackId
		s.cleanup()
	}
	return s.reviewed(*made.Id, nil)
}

// reviewed is a change set that is worked out.
func (s *stack) reviewed(id string, values *bool) *cloudformation.DescribeChangeSetOutput {
	s.Helper()
	var out *cloudformation.DescribeChangeSetOutput
	s.until(10*time.Minute, "the change set is worked out", func() bool {
		var err error
		out, err = s.cfn.DescribeChangeSet(s.ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &id, IncludePropertyValues: values})
		require.NoError(s, err)
		return out.Status == types.ChangeSetStatusCreateComplete || out.Status == types.ChangeSetStatusFailed
	})
	return out
}

func (s *stack) execute(id *string, change ...func(*cloudformation.ExecuteChangeSetInput)) error {
	in := &cloudformation.ExecuteChangeSetInput{ChangeSetName: id}
	for _, c := range change {
		c(in)
	}
	_, err := s.cfn.ExecuteChangeSet(s.ctx, in)
	return err
}

// chain is a template whose resources stand in one line.
const chain = `
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: 10.7.0.0/16}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc, CidrBlock: 10.7.1.0/24}
`

// failed is how a stack that says something broken ends.
var failedBoard = regexp.MustCompile(`^(CREATE|UPDATE)_FAILED: .*valid JSON.*`)

func withoutReason(lines []string) []string {
	out := slices.Clone(lines)
	for i, l := range out {
		if rest, is := strings.CutPrefix(l, "Board "); is && failedBoard.MatchString(rest) {
			out[i] = "Board " + rest[:strings.Index(rest, ":")] + ": WHY"
		}
	}
	return out
}

var createFacts = []fact{
	{id: "F021", claim: "A creation tells of each resource CREATE_IN_PROGRESS, the same with \"Resource creation Initiated\", and CREATE_COMPLETE, in between the stack's own CREATE_IN_PROGRESS \"User Initiated\" and CREATE_COMPLETE.", source: "[LS] [W18]", check: func(w *world) {
		s := w.create("made", chain)
		s.await("CREATE_COMPLETE")
		assert.Equal(w, []string{
			"Stack CREATE_IN_PROGRESS: User Initiated",
			"Vpc CREATE_IN_PROGRESS", "Vpc CREATE_IN_PROGRESS: Resource creation Initiated", "Vpc CREATE_COMPLETE",
			"Subnet CREATE_IN_PROGRESS", "Subnet CREATE_IN_PROGRESS: Resource creation Initiated", "Subnet CREATE_COMPLETE",
			"Stack CREATE_COMPLETE",
		}, s.events())
	}},
	{id: "F022", claim: "A resource has an empty physical id at its first event, and its own from \"Resource creation Initiated\" on.", source: "[LS]", check: func(w *world) {
		s := w.create("made", chain)
		s.await("CREATE_COMPLETE")
		n := 0
		for _, e := range s.all() {
			switch {
			case *e.LogicalResourceId != "Vpc":
			case e.ResourceStatus == "CREATE_IN_PROGRESS" && e.ResourceStatusReason == nil:
				assert.Empty(w, aws.ToString(e.PhysicalResourceId))
				n++
			default:
				assert.Equal(w, s.physical("Vpc"), *e.PhysicalResourceId)
				n++
			}
		}
		assert.GreaterOrEqual(w, n, 3)
	}},
	{id: "F023", claim: "By a change set of type CREATE the stack first tells REVIEW_IN_PROGRESS \"User Initiated\", and CREATE_IN_PROGRESS when it is executed.", source: "[LS:test_change_set_ref]", check: func(w *world) {
		s := w.stack(w.name("made"), "")
		cs := s.change(chain, func(in *cloudformation.CreateChangeSetInput) { in.ChangeSetType = types.ChangeSetTypeCreate })
		assert.Equal(w, []string{"Stack REVIEW_IN_PROGRESS: User Initiated"}, s.events())
		require.NoError(w, s.execute(cs.ChangeSetId))
		s.await("CREATE_COMPLETE")
		assert.Equal(w, []string{"IN_PROGRESS: User Initiated"}, []string{strings.TrimPrefix(of("Stack", s.events())[0], "CREATE_")})
		assert.Equal(w, []string{"REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"}, s.states())
		assert.Equal(w, *cs.ChangeSetId, *s.describe().ChangeSetId)
	}},
	{id: "F024", claim: "A creation that fails tells the resource CREATE_FAILED with the reason, the stack ROLLBACK_IN_PROGRESS \"The following resource(s) failed to create: [X]. Rollback requested by user.\", deletes what it made, dependants first, and ends in ROLLBACK_COMPLETE.", source: "[LS]", check: func(w *world) {
		s := w.create("made", say(), with("Body", broken))
		s.await("ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"Stack CREATE_IN_PROGRESS: User Initiated",
			"Topic CREATE_IN_PROGRESS", "Topic CREATE_IN_PROGRESS: Resource creation Initiated", "Topic CREATE_COMPLETE",
			"Board CREATE_IN_PROGRESS", "Board CREATE_FAILED: WHY",
			"Stack ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Board]. Rollback requested by user.",
			"Board DELETE_COMPLETE", "Topic DELETE_IN_PROGRESS", "Topic DELETE_COMPLETE",
			"Stack ROLLBACK_COMPLETE",
		}, withoutReason(s.events()))
	}},
	{id: "F025", claim: "The reason of a failed resource names the service, the HTTP status and a handler's error code.", source: "[LS]", check: func(w *world) {
		s := w.create("made", strings.Replace(chain, "10.7.1.0/24", "192.168.0.0/24", 1))
		s.await("ROLLBACK_COMPLETE")
		assert.Regexp(w, `^CREATE_FAILED: Resource handler returned message: ".+ \(Service: Ec2, Status Code: 400, Request ID: [0-9a-f-]{36}\)" \(RequestToken: [0-9a-f-]{36}, HandlerErrorCode: \w+\)$`, of("Subnet", s.events())[1])
	}},
	{id: "F026", claim: "With OnFailure=DELETE a creation that fails goes by DELETE_IN_PROGRESS to DELETE_COMPLETE.", source: "[SDK:cloudformation] [INFERRED]", check: func(w *world) {
		s := w.create("made", say(), with("Body", broken), func(in *cloudformation.CreateStackInput) { in.OnFailure = types.OnFailureDelete })
		s.await("DELETE_COMPLETE")
		assert.Equal(w, []string{
			"CREATE_IN_PROGRESS: User Initiated",
			"DELETE_IN_PROGRESS: The following resource(s) failed to create: [Board]. Delete requested by user.",
			"DELETE_COMPLETE",
		}, of("Stack", s.events()))
	}},
	{id: "F027", claim: "With OnFailure=DO_NOTHING or DisableRollback a creation that fails ends in CREATE_FAILED, and what was made stays.", source: "[SDK:cloudformation]", check: func(w *world) {
		for name, how := range map[string]func(*cloudformation.CreateStackInput){
			"nothing": func(in *cloudformation.CreateStackInput) { in.OnFailure = types.OnFailureDoNothing },
			"disable": func(in *cloudformation.CreateStackInput) { in.DisableRollback = aws.Bool(true) },
		} {
			s := w.create(name, say(), with("Body", broken), how)
			s.await("CREATE_FAILED")
			assert.Equal(w, []string{
				"CREATE_IN_PROGRESS: User Initiated", "CREATE_FAILED: The following resource(s) failed to create: [Board]. ",
			}, of("Stack", s.events()))
			assert.Equal(w, types.ResourceStatusCreateComplete, s.resource("Topic").ResourceStatus)
			assert.True(w, *s.describe().DisableRollback)
		}
	}},
	{id: "F028", claim: "OnFailure and DisableRollback exclude each other.", source: "[SDK:cloudformation]", check: func(w *world) {
		_, err := w.cfn.CreateStack(w.ctx, &cloudformation.CreateStackInput{
			StackName: aws.String(w.name("made")), TemplateBody: aws.String(say()), OnFailure: types.OnFailureDelete, DisableRollback: aws.Bool(false),
		})
		w.refused(err, "ValidationError", "*mutually exclusive*")
	}},
	{id: "F029", claim: "RollbackStack takes back a creation that stood still: ROLLBACK_IN_PROGRESS \"User Initiated\", the deletions, ROLLBACK_COMPLETE.", source: "[SDK:cloudformation api_op_RollbackStack]", check: func(w *world) {
		s := reach["CREATE_FAILED"](w)
		s.events()
		out, err := w.cfn.RollbackStack(w.ctx, &cloudformation.RollbackStackInput{StackName: &s.id})
		require.NoError(w, err)
		assert.Equal(w, s.id, *out.StackId)
		s.await("ROLLBACK_COMPLETE")
		assert.Equal(w, []string{
			"Stack ROLLBACK_IN_PROGRESS: User Initiated", "Board DELETE_COMPLETE",
			"Topic DELETE_IN_PROGRESS", "Topic DELETE_COMPLETE", "Stack ROLLBACK_COMPLETE",
		}, s.events())
	}},
	{id: "F030", claim: "What is under way when another resource fails is told CREATE_FAILED \"Resource creation cancelled\", and only the one that failed by itself is the cause.", source: "[LS]", check: func(w *world) {
		body := strings.Replace(say(gate("Slow"), gate("Gate")), "    DependsOn: Board\n", "", 2)
		s := w.create("made", body)
		s.until(time.Hour, "both wait", func() bool {
			return slices.Contains(s.history(), "Gate CREATE_IN_PROGRESS: Resource creation Initiated") && slices.Contains(s.history(), "Slow CREATE_IN_PROGRESS: Resource creation Initiated")
		})
		require.NoError(w, s.signal("Gate", "me", "FAILURE"))
		s.await("ROLLBACK_COMPLETE")
		lines := s.events()
		assert.Contains(w, lines, "Slow CREATE_FAILED: Resource creation cancelled")
		assert.Contains(w, strings.Join(lines, "\n"), "Stack ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [")
		assert.Less(w, slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Gate CREATE_FAILED") }),
			slices.Index(lines, "Slow CREATE_FAILED: Resource creation cancelled"), "the cause comes first")
	}},
	{id: "F031", claim: "A creation that takes longer than TimeoutInMinutes is rolled back.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.create("made", strings.Replace(say(gate("Gate")), "PT1M", "PT30M", 1), func(in *cloudformation.CreateStackInput) { in.TimeoutInMinutes = aws.Int32(2) })
		begun := w.now()
		s.await("ROLLBACK_COMPLETE")
		assert.Less(w, w.now().Sub(begun), 20*time.Minute)
		assert.Equal(w, int32(2), *s.describe().TimeoutInMinutes)
		assert.Contains(w, s.events(), "Gate CREATE_FAILED: Resource creation cancelled")
	}},
	{id: "F032", claim: "Outputs are there when the creation is complete, in the types of strings.", source: "[SDK:cloudformation]", check: func(w *world) {
		s := w.made("made", chain+"Outputs:\n  Id: {Value: !Ref Subnet, Description: the subnet}\n  Number: {Value: 7}\n  Truth: {Value: true}\n")
		out := s.outputs()
		assert.Equal(w, s.physical("Subnet"), out["Id"])
		assert.Equal(w, "7", out["Number"])
		assert.Equal(w, "true", out["Truth"])
		assert.Equal(w, "the subnet", *s.describe().Outputs[0].Description)
	}},
	{id: "F033", claim: "A RetainExceptOnCreate resource goes when its creation is rolled back and stays when its stack is deleted.", source: "[SDK:cloudformation]", check: func(w *world) {
		body := strings.Replace(say(), "    Properties: {DisplayName", "    DeletionPolicy: RetainExceptOnCreate\n    Properties: {DisplayName", 1)
		s := w.create("failing", body, with("Body", broken))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, s.events(), "Topic DELETE_COMPLETE")
		s = w.made("whole", body)
		_, err := w.cfn.DeleteStack(w.ctx, &cloudformation.DeleteStackInput{StackName: &s.id})
		require.NoError(w, err)
		s.await("DELETE_COMPLETE")
		assert.Contains(w, s.events(), "Topic DELETE_SKIPPED")
	}},
}
