package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// ImageParameter is the parameter whose default names the image.
const ImageParameter = "ImageId"

// Types the package looks for in a stack.
const (
	typeGroup   = "AWS::AutoScaling::AutoScalingGroup"
	typeTargets = "AWS::ElasticLoadBalancingV2::TargetGroup"
	typeAlarm   = "AWS::CloudWatch::Alarm"

	typeComposite = "AWS::CloudWatch::CompositeAlarm"

	typeTopic = "AWS::SNS::Topic"
	typeStack = "AWS::CloudFormation::Stack"
)

// Capacity of a group.
type Capacity struct {
	Min     int `json:"min"`
	Max     int `json:"max"`
	Desired int `json:"desired"`
}

// A Resource of a stack.
type Resource struct {
	ID       string `json:"id"` // physical
	Type     string `json:"type"`
	Status   string `json:"status"`
	Metadata string `json:"-"`
}

// An Instance of a stack's group.
type Instance struct {
	Machine
	Version   string `json:"version"`   // of the launch template it was started from
	Lifecycle string `json:"lifecycle"` // InService, Pending, …
	Zone      string `json:"zone"`
	Health    string `json:"health"` // of its target: healthy, initial, …; the worst of several target groups

	why string // reason of that
}

// Held says whether the machine gets no more connections, as its balancer lets
// it go, and only a lifecycle hook keeps it. A group without targets has none.
func (i Instance) Held(g *Group) bool {
	return g.Targets && i.Lifecycle == "Terminating:Wait" && (i.Health == "" || i.Health == "unused")
}

// Leaving says whether the group has let go of the machine: it only drains.
func (i Instance) Leaving() bool { return strings.HasPrefix(i.Lifecycle, "Terminat") }

// A Group is a stack's Auto Scaling group as it is.
type Group struct {
	Name      string         `json:"name"`
	Capacity  Capacity       `json:"capacity"`
	Suspended []string       `json:"suspended"`
	Template  LaunchTemplate `json:"template"`
	Targets   bool           `json:"-"` // a balancer's targets are its machines
	Instances []Instance     `json:"instances"`
}

// A State is a stack as read from AWS, not from Git.
type State struct {
	Name       string              `json:"name"`
	ID         string              `json:"id"`
	Status     string              `json:"status"`
	Body       string              `json:"body"` // as it was submitted
	Parameters map[string]string   `json:"parameters"`
	Tags       map[string]string   `json:"tags"`
	Outputs    map[string]string   `json:"outputs"`
	Resources  map[string]Resource `json:"resources"` // by logical id
	Group      *Group              `json:"group"`     // nil: the stack has none
	Protected  bool                `json:"protected"`
	Policy     string              `json:"policy"`
}

// Serving are the group's machines that are not on their way out.
func (g *Group) Serving() []Instance {
	var out []Instance
	for _, i := range g.Instances {
		if !i.Leaving() {
			out = append(out, i)
		}
	}
	return out
}

// Image is the AMI that the stack's parameter resolves to.
func (s *State) Image() string { return s.Parameters[ImageParameter] }

// Images are the AMIs its serving machines run, without repetition.
func (s *State) Images() []string {
	seen := map[string]bool{}
	if s.Group != nil {
		for _, i := range s.Group.Serving() {
			seen[i.Image] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Read reads the stack, or answers ErrAbsent. It is for a stack at rest: one
// that changes meanwhile gives a mixture.
func (s *Stack) Read(ctx context.Context) (*State, error) {
	d, err := s.describe(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	out := &State{
		Name: s.Name, ID: aws.ToString(d.StackId), Status: string(d.StackStatus), Parameters: map[string]string{}, Tags: tags(d.Tags),
		Outputs: map[string]string{}, Protected: aws.ToBool(d.EnableTerminationProtection),
	}
	for _, p := range d.Parameters {
		v := aws.ToString(p.ParameterValue)
		if p.ResolvedValue != nil {
			v = *p.ResolvedValue
		}
		out.Parameters[aws.ToString(p.ParameterKey)] = v
	}
	for _, o := range d.Outputs {
		out.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	err = together(
		func() (err error) { out.Body, err = s.body(ctx, ""); return err },
		func() (err error) { out.Resources, err = s.resources(ctx, out.ID); return err },
		func() (err error) { out.Policy, err = s.policy(ctx); return err },
	)
	if err != nil {
		return nil, err
	}
	for _, r := range out.Resources {
		if r.Type == typeGroup && r.ID != "" {
			if out.Group, err = s.Group(ctx, r.ID); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// together does what does not wait for each other at once: calls to AWS take
// their time on the way. The error is the first one's in the list.
func together(list ...func() error) error {
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, do := range list {
		wg.Go(func() { errs[i] = do() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// policy is the stack policy, "" without one.
func (s *Stack) policy(ctx context.Context) (string, error) {
	var out string
	err := s.retry(ctx, "read the stack policy of "+s.Name, func(ctx context.Context) error {
		r, err := s.cfn.GetStackPolicy(ctx, &cloudformation.GetStackPolicyInput{StackName: &s.Name})
		if err == nil {
			out = aws.ToString(r.StackPolicyBody)
		}
		return err
	})
	return out, err
}

// body is the template as submitted, of the stack or of one of its change sets.
func (s *Stack) body(ctx context.Context, changeSet string) (string, error) {
	var out string
	err := s.retry(ctx, "read the template of "+s.Name, func(ctx context.Context) error {
		in := &cloudformation.GetTemplateInput{StackName: &s.Name, TemplateStage: types.TemplateStageOriginal}
		if changeSet != "" {
			in.ChangeSetName = &changeSet
		}
		r, err := s.cfn.GetTemplate(ctx, in)
		if err != nil {
			return err
		}
		if aws.ToString(r.TemplateBody) == "" {
			return errEmpty
		}
		out = *r.TemplateBody
		return nil
	})
	return out, err
}

func (s *Stack) resources(ctx context.Context, stack string) (map[string]Resource, error) {
	var out map[string]Resource
	err := s.retry(ctx, "list the resources of "+s.Name, func(ctx context.Context) error {
		out = map[string]Resource{}
		p := cloudformation.NewListStackResourcesPaginator(s.cfn, &cloudformation.ListStackResourcesInput{StackName: &stack})
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, r := range page.StackResourceSummaries {
				out[aws.ToString(r.LogicalResourceId)] = Resource{
					ID: aws.ToString(r.PhysicalResourceId), Type: aws.ToString(r.ResourceType), Status: string(r.ResourceStatus),
				}
			}
		}
		return nil
	})
	return out, err
}

// Group reads an Auto Scaling group with its machines and their target health.
func (a *Account) Group(ctx context.Context, name string) (*Group, error) {
	var g *Group
	err := a.retry(ctx, "read group "+name, func(ctx context.Context) error {
		var err error
		g, err = a.group(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if g.Template.ID != "" {
		err = a.retry(ctx, "read launch template "+g.Template.ID, func(ctx context.Context) error {
			t, err := a.o.Machines.LaunchTemplate(ctx, g.Template.ID, g.Template.Version)
			if err == nil {
				g.Template = t
			}
			return err
		})
	}
	return g, err
}

// group is the group without the content of its launch template: what the health gate looks at.
func (a *Account) group(ctx context.Context, name string) (*Group, error) {
	r, err := a.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return nil, err
	}
	if len(r.AutoScalingGroups) == 0 {
		return nil, fmt.Errorf("group %s: %w", name, errEmpty)
	}
	in := r.AutoScalingGroups[0]
	g := &Group{Name: name, Capacity: Capacity{
		Min: int(aws.ToInt32(in.MinSize)), Max: int(aws.ToInt32(in.MaxSize)), Desired: int(aws.ToInt32(in.DesiredCapacity)),
	}}
	g.Targets = len(in.TargetGroupARNs) > 0
	for _, p := range in.SuspendedProcesses {
		g.Suspended = append(g.Suspended, aws.ToString(p.ProcessName))
	}
	sort.Strings(g.Suspended)
	if t := in.LaunchTemplate; t != nil {
		g.Template.ID, g.Template.Version = aws.ToString(t.LaunchTemplateId), aws.ToString(t.Version)
	}
	ids := make([]string, 0, len(in.Instances))
	for _, i := range in.Instances {
		ids = append(ids, aws.ToString(i.InstanceId))
	}
	machines := map[string]Machine{}
	var health, why map[string]string
	err = together(
		func() error {
			if len(ids) == 0 {
				return nil
			}
			list, err := a.o.Machines.Machines(ctx, ids)
			for _, m := range list {
				machines[m.ID] = m
			}
			return err
		},
		func() (err error) { health, why, err = a.health(ctx, in); return err },
	)
	if err != nil {
		return nil, err
	}
	for _, i := range in.Instances {
		id := aws.ToString(i.InstanceId)
		m, ok := machines[id]
		if !ok {
			m = Machine{ID: id} // EC2 does not know it yet, or not any more: no fact
		}
		n := Instance{Machine: m, Lifecycle: string(i.LifecycleState), Zone: aws.ToString(i.AvailabilityZone), Health: health[id], why: why[id]}
		if i.LaunchTemplate != nil {
			n.Version = aws.ToString(i.LaunchTemplate.Version)
		}
		g.Instances = append(g.Instances, n)
	}
	sort.Slice(g.Instances, func(i, j int) bool {
		a, b := g.Instances[i], g.Instances[j]
		if !a.Launched.Equal(b.Launched) {
			return a.Launched.Before(b.Launched)
		}
		return a.ID < b.ID
	})
	return g, nil
}

// digest is what of a State or a candidate goes into its fingerprint. Capacity
// and the parameters that differ between environments by declaration do not:
// capacity is a guard at release, the others make production and its test
// stack differ on purpose.
type digest struct {
	Body       string            `json:"body"`
	Parameters map[string]string `json:"parameters"`
	Image      string            `json:"image"`
	Tags       map[string]string `json:"tags"`
}

// Digest is the fingerprint of a deployment: template body, parameter values
// without those named in except, the image they resolve to, and stack tags. Of
// the body it is what it says that counts, not its comments and indentation.
func Digest(body string, parameters map[string]string, image string, tags map[string]string, except []string) string {
	d := digest{Body: meaning(body), Parameters: map[string]string{}, Image: image, Tags: map[string]string{}}
	for k, v := range parameters {
		if k != ImageParameter && !slices.Contains(except, k) {
			d.Parameters[k] = v
		}
	}
	for k, v := range tags {
		if !strings.HasPrefix(k, "aws:") {
			d.Tags[k] = v
		}
	}
	b, err := json.Marshal(d) // map keys come out sorted
	if err != nil {
		panic(err) // strings and maps of strings only
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Parts are fingerprints of what Digest counts, one by one: "image", "parameter
// NAME", "tag NAME", and "template SECTION.NAME" of each resource, parameter and so
// on. They name what moved where two digests differ, without telling any value.
func Parts(body string, parameters map[string]string, image string, tags map[string]string, except []string) map[string]string {
	out := map[string]string{}
	add := func(name, value string) {
		sum := sha256.Sum256([]byte(value))
		out[name] = hex.EncodeToString(sum[:6])
	}
	add("image", image)
	for k, v := range parameters {
		if k != ImageParameter && !slices.Contains(except, k) {
			add("parameter "+k, v)
		}
	}
	for k, v := range tags {
		if !strings.HasPrefix(k, "aws:") {
			add("tag "+k, v)
		}
	}
	members(body, func(path, text string) { add("template "+path, text) })
	return out
}

// Digest of a stack as it is.
func (s *State) Digest(except []string) string {
	return Digest(s.Body, s.Parameters, s.Image(), s.Tags, except)
}

// Alarms are the ARNs of those alarms of the stack that are there already: an
// alarm that a change only creates cannot watch over it.
func (s *State) Alarms(logical []string) []string { return s.arns(logical, typeAlarm) }

// AllAlarms are the ARNs of all alarms of the stack, composite ones too.
func (s *State) AllAlarms() []string {
	return s.arns(slices.Sorted(maps.Keys(s.Resources)), typeAlarm, typeComposite)
}

func (s *State) arns(logical []string, types ...string) []string {
	part := strings.Split(s.ID, ":") // arn:aws:cloudformation:REGION:ACCOUNT:stack/…
	if len(part) < 6 {
		return nil
	}
	var out []string
	for _, id := range logical {
		r, ok := s.Resources[id]
		if ok && slices.Contains(types, r.Type) && r.ID != "" {
			out = append(out, strings.Join([]string{"arn", part[1], "cloudwatch", part[3], part[4], "alarm:" + r.ID}, ":"))
		}
	}
	return out
}
