package sns

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Tell publishes for another service of AWS, given by its principal, if the
// topic's policy lets it: source is the ARN of what it speaks about.
func Tell(tx *core.Tx, service, source string, in *PublishInput) error {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return err
	}
	if policy := t.Attributes["Policy"]; policy != "" && !allows(policy, service, source, tx.World.Account) {
		return &wire.Error{Code: "AuthorizationError", Status: 403, Message: service + " is not authorized to perform: SNS:Publish on resource: " + in.TopicArn}
	}
	_, err = Publish(tx, in)
	return err
}

// texts is a member of a policy that is one text or a list of them.
type texts []string

// UnmarshalJSON takes both.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// principal is "*" or lists by kind.
type principal map[string]texts

// UnmarshalJSON takes both.
func (p *principal) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = principal{"AWS": {one}}
		return nil
	}
	return json.Unmarshal(b, (*map[string]texts)(p))
}

// allows says whether a topic's policy lets a service publish. What the lab does
// not know of a condition does not hold.
func allows(policy, service, source, account string) bool {
	var p struct {
		Statement []struct {
			Effect    string
			Principal principal
			Action    texts
			Condition map[string]map[string]texts
		}
	}
	if json.Unmarshal([]byte(policy), &p) != nil {
		return false
	}
	allowed := false
	for _, s := range p.Statement {
		who := slices.Contains(s.Principal["Service"], service) || slices.Contains(s.Principal["AWS"], "*")
		what := slices.ContainsFunc(s.Action, func(a string) bool {
			return a == "*" || strings.EqualFold(a, "sns:*") || strings.EqualFold(a, "sns:Publish")
		})
		if !who || !what || !holds(s.Condition, source, account) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = allowed || s.Effect == "Allow"
	}
	return allowed
}

func holds(conditions map[string]map[string]texts, source, account string) bool {
	for operator, keys := range conditions {
		for key, values := range keys {
			actual := ""
			switch strings.ToLower(key) {
			case "aws:sourceaccount", "aws:sourceowner":
				actual = account
			case "aws:sourcearn":
				actual = source
			default:
				return false
			}
			match := func(v string) bool { return v == actual }
			switch operator {
			case "StringEquals", "ArnEquals":
			case "StringLike", "ArnLike":
				match = func(v string) bool { return core.Wildcard(v, actual) }
			default:
				return false
			}
			if !slices.ContainsFunc(values, match) {
				return false
			}
		}
	}
	return true
}
