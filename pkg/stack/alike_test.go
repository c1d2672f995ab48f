package stack_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/stack"
)

// pair is a living stack and one that was made like it.
func pair() (living, test *stack.State, own stack.Own) {
	of := func(name, domain, environment, id string) *stack.State {
		return &stack.State{
			Name: name, ID: "arn:" + name, Body: "Resources: {}\n",
			Parameters: map[string]string{"Domain": domain, "InstanceType": "t3.small", "MaxSize": "4", "Certificate": ""},
			Tags:       map[string]string{"chain:site": "web", "chain:environment": environment, "aws:x": id},
			Outputs:    map[string]string{"Url": "http://" + domain + "/", "Group": name + "-Group-" + id},
			Resources: map[string]stack.Resource{
				"Group": {ID: name + "-Group-" + id, Type: "AWS::AutoScaling::AutoScalingGroup"}, "Firewall": {ID: "sg-" + id, Type: "AWS::EC2::SecurityGroup"},
			},
			Group: &stack.Group{
				Name: name + "-Group-" + id, Capacity: stack.Capacity{Min: 2, Max: 4, Desired: 2},
				Template:  stack.LaunchTemplate{ID: "lt-" + id, Version: "3", Data: json.RawMessage(`{"SecurityGroupIds":["sg-` + id + `"],"Name":"` + name + ` instance"}`)},
				Instances: []stack.Instance{{Machine: stack.Machine{ID: "i-" + id, Image: "ami-1"}, Version: "3", Lifecycle: "InService"}},
			},
		}
	}
	living, test = of("web-production", "www.hello.example", "production", "1a"), of("web-test-1", "web-test-1.hello.example", "test", "2b")
	living.Parameters["Certificate"] = "arn:aws:acm:x"
	living.Resources["Tls"] = stack.Resource{ID: "sgr-1", Type: "AWS::EC2::SecurityGroupIngress"}
	return living, test, stack.Own{Parameters: []string{"Domain", "Certificate"}, Tags: []string{"chain:site", "chain:environment"}, Test: map[string]bool{"Tls": true}}
}

func TestATestStackIsLikeProductionButForWhatIsDeclared(t *testing.T) {
	living, test, own := pair()
	living.Parameters["MaxSize"] = "6" // room for a roll
	unlike, apart := stack.Unlike(living, test, own)
	assert.Empty(t, unlike)
	assert.Equal(t, []string{`parameter Certificate ""`, "parameter Domain web-test-1.hello.example", "tag chain:environment test", "without Tls"}, apart)

	for want, change := range map[string]func(*stack.State){
		`template differs: line 1 was "Resources: {}", is "Resources: {X: 1}"`: func(s *stack.State) { s.Body = "Resources: {X: 1}" },
		"parameter InstanceType was t3.small, is t3.large":                     func(s *stack.State) { s.Parameters["InstanceType"] = "t3.large" },
		"parameter Colour was not there, is red":                               func(s *stack.State) { s.Parameters["Colour"] = "red" },
		"tag owner was not there, is me":                                       func(s *stack.State) { s.Tags["owner"] = "me" },
		"resource Firewall was AWS::EC2::SecurityGroup, is gone": func(s *stack.State) {
			delete(s.Resources, "Firewall")
			s.Group.Template.Data = json.RawMessage(`{"SecurityGroupIds":["(Firewall)"],"Name":"web-test-1 instance"}`)
		},
		"resource Extra was not there, is AWS::SNS::Topic":      func(s *stack.State) { s.Resources["Extra"] = stack.Resource{ID: "arn:x", Type: "AWS::SNS::Topic"} },
		"output Url was http://(Domain)/, is http://elsewhere/": func(s *stack.State) { s.Outputs["Url"] = "http://elsewhere/" },
		"number of instances was 2, is 3":                       func(s *stack.State) { s.Group.Capacity.Desired = 3 },
		`suspended processes was "", is Launch`:                 func(s *stack.State) { s.Group.Suspended = []string{"Launch"} },
		`launch template content differs: line 2 was "\"Name\": \"(stack) instance\",", is "\"Name\": \"other\","`: func(s *stack.State) {
			s.Group.Template.Data = json.RawMessage(`{"SecurityGroupIds":["sg-2b"],"Name":"other"}`)
		},
		"images of the instances was ami-1, is ami-2": func(s *stack.State) { s.Group.Instances[0].Image = "ami-2" },
		"the group is there only once":                func(s *stack.State) { s.Group = nil },
	} {
		living, test, own := pair()
		change(test)
		unlike, _ := stack.Unlike(living, test, own)
		assert.Equal(t, []string{want}, unlike)
	}
}
