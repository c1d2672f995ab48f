package stack_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/stack"
)

func amiChange() stack.Shape {
	return stack.Shape{
		"LaunchTemplate": {Type: "AWS::EC2::LaunchTemplate", Action: "Modify", Replacement: "False", Scopes: []string{"Properties"}},
		"Group":          {Type: "AWS::AutoScaling::AutoScalingGroup", Action: "Modify", Replacement: "Conditional", Scopes: []string{"Properties"}},
	}
}

func TestShapesThatAreTheSame(t *testing.T) {
	now := amiChange()
	g := now["Group"]
	g.Properties = []string{"LaunchTemplate"} // for people only
	now["Group"] = g
	assert.Empty(t, stack.Compare(amiChange(), now))
}

func TestShapesThatDifferAreNamed(t *testing.T) {
	now := amiChange()
	now["Group"] = stack.ResourceChange{Type: "AWS::AutoScaling::AutoScalingGroup", Action: "Modify", Replacement: "True", Scopes: []string{"Properties"}}
	now["Listener"] = stack.ResourceChange{Type: "AWS::ElasticLoadBalancingV2::Listener", Action: "Add"}
	delete(now, "LaunchTemplate")
	assert.Equal(t, []string{
		"Group: rehearsed Modify (replacement Conditional; Properties), now Modify (replacement True; Properties)",
		"LaunchTemplate: Modify (replacement False; Properties) was rehearsed and is not part of this change",
		"Listener: Add was not rehearsed",
	}, stack.Compare(amiChange(), now))
}

func TestReplacementOfAddressesAndDataIsRefused(t *testing.T) {
	assert.Empty(t, amiChange().Refusals(), "a group may be replaced perhaps: that is how an image change looks")
	s := stack.Shape{
		"Address1":     {Type: "AWS::EC2::EIP", Action: "Modify", Replacement: "Conditional"},
		"Database":     {Type: "AWS::RDS::DBInstance", Action: "Modify", Replacement: "True"},
		"LoadBalancer": {Type: "AWS::ElasticLoadBalancingV2::LoadBalancer", Action: "Remove"},
		"Vpc":          {Type: "AWS::EC2::VPC", Action: "Modify", Replacement: "False"},
		"Address3":     {Type: "AWS::EC2::EIP", Action: "Add"},
	}
	assert.Equal(t, []string{
		"Address1 (AWS::EC2::EIP) might be replaced",
		"Database (AWS::RDS::DBInstance) would be replaced",
		"LoadBalancer (AWS::ElasticLoadBalancingV2::LoadBalancer) would be removed",
	}, s.Refusals())
	assert.Contains(t, s.Lines()[0], "Database")
}

func TestDigest(t *testing.T) {
	p := map[string]string{"InstanceType": "t3.micro", "DesiredCapacity": "2", "Domain": "a", "ImageId": "ami-1"}
	tags := map[string]string{"site": "web"}
	d := stack.Digest("body", p, "ami-1", tags, []string{"DesiredCapacity", "Domain"})
	assert.Equal(t,
		stack.Digest("# one\nA: !Ref X\nB: {C: 1, D: [x, y]}\n", p, "ami-1", tags, nil),
		stack.Digest("B:\n  D:\n    - \"x\" # two\n    - y\n  C: 1\nA: !Ref 'X'\n", p, "ami-1", tags, nil), "comments, order and quotes say nothing")
	assert.NotEqual(t, stack.Digest("A: !Ref X", p, "ami-1", tags, nil), stack.Digest("A: X", p, "ami-1", tags, nil))
	assert.NotEqual(t, stack.Digest("A: [x, y]", p, "ami-1", tags, nil), stack.Digest("A: [y, x]", p, "ami-1", tags, nil))
	assert.NotEqual(t, stack.Digest("A: true", p, "ami-1", tags, nil), stack.Digest("A: 'true'", p, "ami-1", tags, nil))
	assert.Regexp(t, "^sha256:[0-9a-f]{64}$", d)
	same := map[string]string{"InstanceType": "t3.micro", "DesiredCapacity": "9", "Domain": "b"}
	assert.Equal(t, d, stack.Digest("body", same, "ami-1", map[string]string{"site": "web", "aws:cloudformation:stack-name": "x"}, []string{"DesiredCapacity", "Domain"}),
		"capacity, declared parameters, AWS's own tags and how the image was given do not count")
	for name, other := range map[string]string{
		"body":      stack.Digest("other", p, "ami-1", tags, []string{"DesiredCapacity", "Domain"}),
		"image":     stack.Digest("body", p, "ami-2", tags, []string{"DesiredCapacity", "Domain"}),
		"tags":      stack.Digest("body", p, "ami-1", nil, []string{"DesiredCapacity", "Domain"}),
		"parameter": stack.Digest("body", map[string]string{"InstanceType": "t3.small"}, "ami-1", tags, []string{"DesiredCapacity", "Domain"}),
		"exception": stack.Digest("body", p, "ami-1", tags, []string{"Domain"}),
	} {
		assert.NotEqual(t, d, other, name)
	}
}

func before() *stack.State {
	return &stack.State{
		Body: "a\nb\n", Parameters: map[string]string{"ImageId": "ami-1"}, Tags: map[string]string{"site": "web"}, Outputs: map[string]string{"Url": "u"},
		Status:    "CREATE_COMPLETE",
		Resources: map[string]stack.Resource{"Vpc": {ID: "vpc-1", Type: "AWS::EC2::VPC", Status: "CREATE_COMPLETE"}},
		Group: &stack.Group{
			Name: "g", Capacity: stack.Capacity{Min: 1, Max: 4, Desired: 1},
			Template:  stack.LaunchTemplate{ID: "lt-1", Version: "1", Image: "ami-1", Data: json.RawMessage(`{"ImageId":"ami-1","UserData":"x"}`)},
			Instances: []stack.Instance{{Machine: stack.Machine{ID: "i-1", Image: "ami-1"}, Version: "1"}},
		},
	}
}

func TestWhatMayDifferAfterARollback(t *testing.T) {
	after := before()
	after.Status = "UPDATE_ROLLBACK_COMPLETE"
	after.Resources["Vpc"] = stack.Resource{ID: "vpc-1", Type: "AWS::EC2::VPC", Status: "UPDATE_COMPLETE"}
	after.Group.Template.Version = "3"
	after.Group.Template.Data = json.RawMessage(`{"UserData":"x", "ImageId":"ami-1"}`)
	after.Group.Instances = []stack.Instance{{Machine: stack.Machine{ID: "i-9", Image: "ami-1"}, Version: "3"}}
	assert.Empty(t, stack.Differences(before(), after))
}

func TestDifferencesAreNamed(t *testing.T) {
	for want, change := range map[string]func(*stack.State){
		`template differs: line 2 was "b", is "c"`:                     func(s *stack.State) { s.Body = "a\nc\n" },
		"parameter ImageId was ami-1, is ami-2":                        func(s *stack.State) { s.Parameters["ImageId"] = "ami-2" },
		"tag site was web, is gone":                                    func(s *stack.State) { s.Tags = nil },
		"output Url was u, is v":                                       func(s *stack.State) { s.Outputs["Url"] = "v" },
		"resource Vpc was AWS::EC2::VPC vpc-1, is AWS::EC2::VPC vpc-2": func(s *stack.State) { s.Resources["Vpc"] = stack.Resource{ID: "vpc-2", Type: "AWS::EC2::VPC"} },
		"resource New was not there, is T x":                           func(s *stack.State) { s.Resources["New"] = stack.Resource{ID: "x", Type: "T"} },
		"capacity was {1 4 1}, is {2 4 2}":                             func(s *stack.State) { s.Group.Capacity = stack.Capacity{Min: 2, Max: 4, Desired: 2} },
		`suspended processes was "", is HealthCheck`:                   func(s *stack.State) { s.Group.Suspended = []string{"HealthCheck"} },
		`launch template content differs: line 3 was "\"UserData\": \"x\"", is "\"UserData\": \"y\""`: func(s *stack.State) { s.Group.Template.Data = json.RawMessage(`{"ImageId":"ami-1","UserData":"y"}`) },
		"images of the instances was ami-1, is ami-2":                                                 func(s *stack.State) { s.Group.Instances[0].Image = "ami-2" },
		"instance i-1 runs launch template version 2, the group wants 1":                              func(s *stack.State) { s.Group.Instances[0].Version = "2" },
	} {
		after := before()
		change(after)
		assert.Equal(t, []string{want}, stack.Differences(before(), after))
	}
}
