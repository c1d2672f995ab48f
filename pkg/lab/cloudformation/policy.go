package cloudformation

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// stackPolicy protects resources of a stack against updates.
type stackPolicy struct {
	Statement oneOrMore[statement]
}

type statement struct {
	Effect                string
	Principal             any
	Action, NotAction     oneOrMore[string]
	Resource, NotResource oneOrMore[string]
	Condition             map[string]map[string]oneOrMore[string]
}

// oneOrMore is a list that JSON may also give as its only element.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*l = []T{one}
	return nil
}

// parsePolicy reads a stack policy and refuses what CloudFormation would.
func parsePolicy(body string) (*stackPolicy, error) {
	bad := invalid("Error validating stack policy: Invalid stack policy")
	if len(body) > 16384 {
		return nil, invalid("1 validation error detected: Value at 'stackPolicyBody' failed to satisfy constraint: Member must have length less than or equal to 16384")
	}
	var p stackPolicy
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || len(p.Statement) == 0 {
		return nil, bad
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || s.Principal != "*" ||
			len(s.Action)+len(s.NotAction) == 0 || len(s.Resource)+len(s.NotResource) == 0 {
			return nil, bad
		}
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			if !slices.Contains([]string{"Update:Modify", "Update:Replace", "Update:Delete", "Update:*", "*"}, a) {
				return nil, bad
			}
		}
		for _, r := range slices.Concat(s.Resource, s.NotResource) {
			if r != "*" && !strings.HasPrefix(r, "LogicalResourceId/") {
				return nil, bad
			}
		}
	}
	return &p, nil
}

func glob(pattern, s string) bool {
	re := "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
	ok, err := regexp.MatchString(re, s)
	return ok && err == nil
}

func (s statement) matches(action, logical, kind string) bool {
	in := func(patterns []string, v string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, v) })
	}
	resource := "LogicalResourceId/" + logical
	if len(s.Action) > 0 && !in(s.Action, action) || len(s.NotAction) > 0 && in(s.NotAction, action) {
		return false
	}
	if len(s.Resource) > 0 && !in(s.Resource, resource) || len(s.NotResource) > 0 && in(s.NotResource, resource) {
		return false
	}
	for operator, keys := range s.Condition {
		want := keys["ResourceType"]
		switch operator {
		case "StringEquals":
			if !slices.Contains(want, kind) {
				return false
			}
		case "StringLike":
			if !in(want, kind) {
				return false
			}
		}
	}
	return true
}

// denied is the text of a refusal by the stack policy; "" if the action is allowed.
func (e *engine) denied(action string, res *state.StackResource) string {
	body := e.st.Policy
	if e.op.Policy != "" {
		body = e.op.Policy
	}
	return policyDenies(body, action, res.LogicalID, res.Type)
}

func policyDenies(body, action, logical, kind string) string {
	if body == "" {
		return ""
	}
	p, err := parsePolicy(body)
	if err != nil {
		return err.Error()
	}
	allowed := false
	for i, s := range p.Statement {
		if !s.matches(action, logical, kind) {
			continue
		}
		if s.Effect == "Deny" {
			return fmt.Sprintf("Action denied by stack policy: Statement [#%d] does not allow [%s] for resource [LogicalResourceId/%s]", i+1, action, logical)
		}
		allowed = true
	}
	if allowed {
		return ""
	}
	return fmt.Sprintf("Action denied by stack policy: Statement [#1] does not allow [%s] for resource [LogicalResourceId/%s]", action, logical)
}
