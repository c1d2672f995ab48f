package cloudformation

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const storePrefix = "AWS::SSM::Parameter::Value<"

// awsTypes are the parameter types whose value must be an existing thing, and
// whether the lab knows it.
var awsTypes = map[string]func(tx *core.Tx, id string) bool{
	"AWS::EC2::Image::Id": func(tx *core.Tx, id string) bool {
		i := tx.Region.Images[id]
		return i != nil && i.State != "deregistered"
	},
	"AWS::EC2::VPC::Id":                func(tx *core.Tx, id string) bool { return tx.Region.VPCs[id] != nil },
	"AWS::EC2::Subnet::Id":             func(tx *core.Tx, id string) bool { return tx.Region.Subnets[id] != nil },
	"AWS::EC2::SecurityGroup::Id":      func(tx *core.Tx, id string) bool { return tx.Region.SecurityGroups[id] != nil },
	"AWS::EC2::Instance::Id":           func(tx *core.Tx, id string) bool { return tx.Region.Instances[id] != nil },
	"AWS::EC2::KeyPair::KeyName":       func(tx *core.Tx, id string) bool { return tx.Region.KeyPairs[id] != nil },
	"AWS::EC2::AvailabilityZone::Name": func(tx *core.Tx, id string) bool { return slices.Contains(zones(tx.Region.Name), id) },
	"AWS::Route53::HostedZone::Id": func(tx *core.Tx, id string) bool {
		return tx.World.Zones[strings.TrimPrefix(id, "/hostedzone/")] != nil
	},
	"AWS::SSM::Parameter::Name": func(tx *core.Tx, id string) bool { return ssm.Find(tx, id) != nil },
}

// zones of a region. The lab gives each region three.
func zones(region string) []string {
	return []string{region + "a", region + "b", region + "c"}
}

// elementType splits List<T> and CommaDelimitedList.
func elementType(kind string) (element string, list bool) {
	if kind == "CommaDelimitedList" {
		return "String", true
	}
	if inner, ok := strings.CutPrefix(kind, "List<"); ok {
		return strings.TrimSuffix(inner, ">"), true
	}
	return kind, false
}

func knownType(kind string) bool {
	if inner, ok := strings.CutPrefix(kind, storePrefix); ok {
		kind = strings.TrimSuffix(inner, ">")
	}
	kind, _ = elementType(kind)
	return kind == "String" || kind == "Number" || awsTypes[kind] != nil
}

var parameterKeys = []string{
	"Type", "Default", "Description", "AllowedValues", "AllowedPattern", "ConstraintDescription",
	"MinLength", "MaxLength", "MinValue", "MaxValue", "NoEcho",
}

func (t *template) buildParameters(m map[string]any) error {
	if len(m) > maxParameters {
		return badFormat("Number of parameters, %d, is greater than maximum allowed, %d", len(m), maxParameters)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !alphanumeric.MatchString(name) {
			return badFormat("Parameter name %s is non alphanumeric.", name)
		}
		def, ok := m[name].(map[string]any)
		if !ok {
			return badFormat("Every Parameters object must be a map, %s is not", name)
		}
		for k := range def {
			if !slices.Contains(parameterKeys, k) {
				return invalid("Invalid template parameter property '%s'", k)
			}
		}
		kind, ok := def["Type"].(string)
		if !ok {
			return badFormat("Every Parameters object must contain a Type member.")
		}
		if !knownType(kind) {
			return badFormat("Unrecognized parameter type: %s", kind)
		}
		p := &parameter{
			Name: name, Type: kind, Description: scalar(def["Description"]), Constraint: scalar(def["ConstraintDescription"]),
			Pattern: scalar(def["AllowedPattern"]), NoEcho: scalar(def["NoEcho"]) == "true",
		}
		if d, ok := def["Default"]; ok {
			switch d.(type) {
			case []any, map[string]any, nil:
				return badFormat("Every Default member must be a string.")
			}
			s := scalar(d)
			p.Default = &s
		}
		if l, ok := def["AllowedValues"].([]any); ok {
			for _, v := range l {
				p.Allowed = append(p.Allowed, scalar(v))
			}
		}
		if _, err := regexp.Compile(p.Pattern); err != nil {
			return badFormat("AllowedPattern of parameter %s is not a valid regular expression", name)
		}
		for k, into := range map[string]**float64{
			"MinLength": &p.MinLength, "MaxLength": &p.MaxLength, "MinValue": &p.MinValue, "MaxValue": &p.MaxValue,
		} {
			v, ok := def[k]
			if !ok {
				continue
			}
			f, err := strconv.ParseFloat(scalar(v), 64)
			if err != nil {
				return badFormat("Every %s member must be a number.", k)
			}
			*into = &f
		}
		t.Parameters[name] = p
		if p.Default != nil && !strings.HasPrefix(kind, storePrefix) {
			if err := p.check(*p.Default); err != nil {
				return err
			}
		}
	}
	return nil
}

// check a value against the declaration; whether it names something that
// exists is asked later, when the operation runs.
func (p *parameter) check(value string) error {
	kind, list := elementType(p.Type)
	values := []string{value}
	if list {
		values = splitList(value)
	}
	fail := func(format string, args ...any) error {
		if p.Constraint != "" {
			return invalid("Parameter '%s' failed to satisfy constraint: %s", p.Name, p.Constraint)
		}
		return invalid("Parameter '"+p.Name+"' "+format, args...)
	}
	for _, v := range values {
		if len(v) > 4096 {
			return invalid("1 validation error detected: Value at 'parameters' failed to satisfy constraint: Member must have length less than or equal to 4096")
		}
		if len(p.Allowed) > 0 && !slices.Contains(p.Allowed, v) {
			return fail("must be one of AllowedValues")
		}
		if p.Pattern != "" && !regexp.MustCompile(`^(?:`+p.Pattern+`)$`).MatchString(v) {
			return fail("must match pattern %s", p.Pattern)
		}
		if p.MinLength != nil && float64(len(v)) < *p.MinLength {
			return fail("must contain at least %v characters", *p.MinLength)
		}
		if p.MaxLength != nil && float64(len(v)) > *p.MaxLength {
			return fail("must contain at most %v characters", *p.MaxLength)
		}
		if kind != "Number" {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		switch {
		case err != nil:
			return invalid("Parameter '%s' must be a number", p.Name)
		case p.MinValue != nil && f < *p.MinValue:
			return fail("must be a number not less than %v", *p.MinValue)
		case p.MaxValue != nil && f > *p.MaxValue:
			return fail("must be a number not greater than %v", *p.MaxValue)
		}
	}
	return nil
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// settle gives every parameter of the template its value: what was sent, the
// previous value where UsePreviousValue was, and else the template's default.
// A parameter that is left out takes the default of the *new* template, never
// the value it had.
func (t *template) settle(tx *core.Tx, given []Parameter, previous *state.StackModel) ([]state.StackParameter, map[string]bool, error) {
	values := map[string]string{}
	kept := map[string]bool{}
	var unknown, missing []string
	for _, g := range given {
		p := t.Parameters[g.ParameterKey]
		if p == nil {
			unknown = append(unknown, g.ParameterKey)
			continue
		}
		if g.UsePreviousValue != nil && *g.UsePreviousValue {
			if g.ParameterValue != "" {
				return nil, nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true and non empty value for a parameter", g.ParameterKey)
			}
			old, ok := previous.Parameter(g.ParameterKey)
			if !ok {
				return nil, nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", g.ParameterKey)
			}
			values[g.ParameterKey] = old
			kept[g.ParameterKey] = true
			continue
		}
		values[g.ParameterKey] = g.ParameterValue
	}
	if len(unknown) > 0 {
		return nil, nil, invalid("Parameters: [%s] do not exist in the template", strings.Join(unknown, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		if _, ok := values[name]; ok {
			continue
		}
		if d := t.Parameters[name].Default; d != nil {
			values[name] = *d
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, nil, invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	var out []state.StackParameter
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p := t.Parameters[name]
		s := state.StackParameter{Key: name, Value: values[name]}
		if strings.HasPrefix(p.Type, storePrefix) {
			stored := ssm.Find(tx, values[name])
			if stored == nil {
				return nil, nil, invalid("Parameters: [%s] cannot be found.", values[name])
			}
			s.Resolved = stored.Value
		} else if err := p.check(s.Value); err != nil {
			return nil, nil, err
		}
		out = append(out, s)
	}
	return out, kept, nil
}

// missing is the text for the first parameter that names something that is not there; "" for none.
func (t *template) missing(tx *core.Tx, values []state.StackParameter) string {
	for _, v := range values {
		p := t.Parameters[v.Key]
		if p == nil {
			continue
		}
		kind, value := p.Type, v.Value
		if inner, ok := strings.CutPrefix(kind, storePrefix); ok {
			kind, value = strings.TrimSuffix(inner, ">"), v.Resolved
		}
		kind, list := elementType(kind)
		exists := awsTypes[kind]
		if exists == nil {
			continue
		}
		each := []string{value}
		if list {
			each = splitList(value)
		}
		for _, x := range each {
			if !exists(tx, x) {
				return "Parameter validation failed: parameter value " + x + " for parameter name " + v.Key + " does not exist"
			}
		}
	}
	return ""
}
