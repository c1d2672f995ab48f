package stack

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A ResourceChange is what a change set does to one resource.
type ResourceChange struct {
	Type        string   `json:"type"`
	Action      string   `json:"action"`                // Add, Modify, Remove, …
	Replacement string   `json:"replacement,omitempty"` // True, False, Conditional
	Scopes      []string `json:"scopes,omitempty"`      // Properties, Tags, …
	Properties  []string `json:"properties,omitempty"`  // which properties, for people; not compared
}

// A Shape is a change set without its values: what happens, by logical id.
type Shape map[string]ResourceChange

func shape(in []types.Change) Shape {
	out := Shape{}
	for _, c := range in {
		r := c.ResourceChange
		if r == nil {
			continue
		}
		n := ResourceChange{Type: aws.ToString(r.ResourceType), Action: string(r.Action), Replacement: string(r.Replacement)}
		seen := map[string]bool{}
		for _, s := range r.Scope {
			n.Scopes = append(n.Scopes, string(s))
		}
		for _, d := range r.Details {
			if d.Target != nil && d.Target.Name != nil && !seen[*d.Target.Name] {
				seen[*d.Target.Name] = true
				n.Properties = append(n.Properties, *d.Target.Name)
			}
		}
		sort.Strings(n.Scopes)
		sort.Strings(n.Properties)
		out[aws.ToString(r.LogicalResourceId)] = n
	}
	return out
}

// Compare names where two shapes part; none: nil. A change that nobody
// rehearsed is one, and so is one that was rehearsed and does not come.
func Compare(rehearsed, now Shape) []string {
	var out []string
	keys := map[string]bool{}
	for k := range rehearsed {
		keys[k] = true
	}
	for k := range now {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		r, inR := rehearsed[k]
		n, inN := now[k]
		switch {
		case !inR:
			out = append(out, fmt.Sprintf("%s: %s was not rehearsed", k, n))
		case !inN:
			out = append(out, fmt.Sprintf("%s: %s was rehearsed and is not part of this change", k, r))
		case r.key() != n.key():
			out = append(out, fmt.Sprintf("%s: rehearsed %s, now %s", k, r, n))
		}
	}
	return out
}

func (c ResourceChange) key() string {
	return strings.Join([]string{c.Type, c.Action, c.Replacement, strings.Join(c.Scopes, "+")}, "|")
}

// String is the change in a few words: "Modify (replacement False; Properties)".
func (c ResourceChange) String() string {
	var notes []string
	if c.Replacement != "" {
		notes = append(notes, "replacement "+c.Replacement)
	}
	if len(c.Scopes) > 0 {
		notes = append(notes, strings.Join(c.Scopes, "+"))
	}
	if len(notes) == 0 {
		return c.Action
	}
	return c.Action + " (" + strings.Join(notes, "; ") + ")"
}

// Lines are the shape for people, replacements and removals first.
func (s Shape) Lines() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(s)) {
		c := s[id]
		line := fmt.Sprintf("%-8s %s  %s", c.Action, id, c.Type)
		if len(c.Properties) > 0 {
			line += "  " + strings.Join(c.Properties, ", ")
		}
		switch c.Replacement {
		case "True":
			line += "  REPLACED"
		case "Conditional":
			line += "  replaced perhaps"
		}
		out = append(out, line)
	}
	rank := func(l string) int {
		switch {
		case strings.HasSuffix(l, "REPLACED"), strings.HasPrefix(l, "Remove"):
			return 0
		case strings.HasSuffix(l, "perhaps"):
			return 1
		}
		return 2
	}
	sort.SliceStable(out, func(i, j int) bool { return rank(out[i]) < rank(out[j]) })
	return out
}

// kept are the types whose loss or exchange loses data or addresses, or takes
// the whole network away from under running machines.
var kept = []string{
	"AWS::EC2::EIP", "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::Volume", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::RDS::DBInstance", "AWS::RDS::DBCluster",
	"AWS::S3::Bucket", "AWS::DynamoDB::", "AWS::EFS::", "AWS::Route53::HostedZone", "AWS::ElastiCache::", "AWS::KMS::Key",
}

// Renewed are the logical ids that have another resource after the change, and
// another one again once it is taken back.
func (s Shape) Renewed() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(s)) {
		if c := s[id]; c.Action == "Remove" || c.Replacement == "True" {
			out = append(out, id)
		}
	}
	return out
}

// Refusals names what of a shape must not happen to a stack with data or
// addresses: a replacement that is certain or only possible ("Conditional" is a
// possible replacement), or a removal. Those of the logical ids allowed are left out.
func (s Shape) Refusals(allowed ...string) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(s)) {
		c := s[id]
		if !slices.ContainsFunc(kept, func(p string) bool { return strings.HasPrefix(c.Type, p) }) || slices.Contains(allowed, id) {
			continue
		}
		switch {
		case c.Action == "Remove":
			out = append(out, fmt.Sprintf("%s (%s) would be removed", id, c.Type))
		case c.Replacement == "True":
			out = append(out, fmt.Sprintf("%s (%s) would be replaced", id, c.Type))
		case c.Replacement == "Conditional":
			out = append(out, fmt.Sprintf("%s (%s) might be replaced", id, c.Type))
		}
	}
	return out
}
