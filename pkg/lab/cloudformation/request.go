package cloudformation

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// request is what CreateStack, UpdateStack and CreateChangeSet have in common.
type request struct {
	name, body, url      string
	usePrevious          *bool
	parameters           []Parameter
	tags                 []Tag
	capabilities, topics []string
	rollback             *RollbackConfiguration
	mode                 *DeploymentConfig
}

// model checks a request and makes the stack's model of it. previous is nil for a new stack.
func (r *request) model(tx *core.Tx, previous *state.StackModel) (*state.StackModel, *template, map[string]bool, error) {
	fail := func(err error) (*state.StackModel, *template, map[string]bool, error) { return nil, nil, nil, err }
	if r.mode != nil && r.mode.Mode == "EXPRESS" {
		return fail(invalid("DeploymentConfig mode EXPRESS is not supported by this lab"))
	}
	body := r.body
	switch {
	case r.url != "":
		return fail(invalid("TemplateURL must reference a valid S3 object to which you have access. (This lab takes TemplateBody only)"))
	case yes(r.usePrevious) && body != "":
		return fail(invalid("Either Template URL or Template Body or UsePreviousTemplate must be specified, but not several of them."))
	case yes(r.usePrevious):
		if previous == nil {
			return fail(invalid("UsePreviousTemplate is not allowed for a stack that does not exist."))
		}
		body = previous.Template
	case body == "":
		return fail(invalid("Either Template URL or Template Body must be specified."))
	}
	t, err := parse(body)
	if err != nil {
		return fail(err)
	}
	values, kept, err := t.settle(tx, r.parameters, previous)
	if err != nil {
		return fail(err)
	}
	m := &state.StackModel{Template: body, Parameters: values, Capabilities: r.capabilities, NotificationARNs: r.topics}
	if m.Tags, err = stackTags(r.tags, previous); err != nil {
		return fail(err)
	}
	if len(r.topics) > 5 {
		return fail(invalid("1 validation error detected: Value at 'notificationARNs' failed to satisfy constraint: Member must have length less than or equal to 5"))
	}
	if previous != nil && r.topics == nil {
		m.NotificationARNs = previous.NotificationARNs
	}
	if err := t.allowed(r.capabilities); err != nil {
		return fail(err)
	}
	if err := checkTriggers(r.rollback); err != nil {
		return fail(err)
	}
	// Conditions and mappings that cannot be evaluated are refused before anything begins.
	s := newScope(tx, t, "", r.name, m)
	for _, id := range t.order {
		def := t.Resources[id]
		on, err := s.active(def.Condition)
		if err != nil {
			return fail(err)
		}
		if !on {
			continue
		}
		if _, err := s.eval([]any{def.Properties, def.CreationPolicy, def.UpdatePolicy, def.Metadata}); err != nil {
			return fail(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Outputs)) {
		o := t.Outputs[name]
		on, err := s.active(o.Condition)
		if err == nil && on {
			_, err = s.eval([]any{o.Value, o.Export})
		}
		if err != nil {
			return fail(err)
		}
	}
	return m, t, kept, nil
}

func stackTags(tags []Tag, previous *state.StackModel) ([]state.StackTag, error) {
	if tags == nil && previous != nil {
		return previous.Tags, nil
	}
	if len(tags) > 50 {
		return nil, invalid("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	var out []state.StackTag
	for _, t := range tags {
		switch {
		case t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256:
			return nil, invalid("1 validation error detected: Value '%s' at 'tags' failed to satisfy constraint: keys have 1 to 128 and values 0 to 256 characters", t.Key)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalid("Tag keys starting with 'aws:' are reserved for system use")
		case slices.ContainsFunc(out, func(o state.StackTag) bool { return o.Key == t.Key }):
			return nil, invalid("Duplicate tag keys are not allowed: %s", t.Key)
		}
		out = append(out, state.StackTag(t))
	}
	return out, nil
}

// requires are the capabilities a template needs, and why.
func (t *template) requires() ([]string, string) {
	var types []string
	need := ""
	for _, id := range t.order {
		r := t.Resources[id]
		if !strings.HasPrefix(r.Type, "AWS::IAM::") {
			continue
		}
		if need == "" {
			need = "CAPABILITY_IAM"
		}
		for _, k := range []string{"RoleName", "InstanceProfileName"} {
			if r.Properties[k] != nil {
				need = "CAPABILITY_NAMED_IAM"
			}
		}
		types = append(types, r.Type)
	}
	if need == "" {
		return nil, ""
	}
	slices.Sort(types)
	return []string{need}, "The following resource(s) require capabilities: [" + strings.Join(slices.Compact(types), ", ") + "]"
}

func (t *template) allowed(capabilities []string) error {
	need, _ := t.requires()
	for _, n := range need {
		if slices.Contains(capabilities, n) || slices.Contains(capabilities, "CAPABILITY_NAMED_IAM") {
			continue
		}
		return wire.Errorf("InsufficientCapabilitiesException", "Requires capabilities : [%s]", n)
	}
	return nil
}

func checkTriggers(c *RollbackConfiguration) error {
	if c == nil {
		return nil
	}
	if m := c.MonitoringTimeInMinutes; m != nil && (*m < 0 || *m > 180) {
		return invalid("1 validation error detected: Value '%d' at 'rollbackConfiguration.monitoringTimeInMinutes' failed to satisfy constraint: Member must have value less than or equal to 180", *m)
	}
	if len(c.RollbackTriggers) > 5 {
		return invalid("1 validation error detected: Value at 'rollbackConfiguration.rollbackTriggers' failed to satisfy constraint: Member must have length less than or equal to 5")
	}
	for _, t := range c.RollbackTriggers {
		if t.Type != "AWS::CloudWatch::Alarm" && t.Type != "AWS::CloudWatch::CompositeAlarm" {
			return invalid("Rollback Trigger Type not supported")
		}
		if !strings.HasPrefix(t.Arn, "arn:") || !strings.Contains(t.Arn, ":alarm:") {
			return invalid("RelativeId of a Rollback Trigger's ARN is incorrect")
		}
	}
	return nil
}

// watch makes a rollback configuration the stack's. It stays for later updates;
// an empty list of triggers clears them.
func watch(st *state.Stack, c *RollbackConfiguration) {
	if c == nil {
		return
	}
	if c.RollbackTriggers != nil || c.MonitoringTimeInMinutes == nil {
		st.Triggers = nil
		for _, t := range c.RollbackTriggers {
			st.Triggers = append(st.Triggers, state.RollbackTrigger(t))
		}
	}
	st.MonitoringMinutes = 0
	if c.MonitoringTimeInMinutes != nil {
		st.MonitoringMinutes = *c.MonitoringTimeInMinutes
	}
}

func checkName(name string) error {
	if name == "" || !namePattern.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	if len(name) > 128 {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must have length less than or equal to 128", name)
	}
	return nil
}
