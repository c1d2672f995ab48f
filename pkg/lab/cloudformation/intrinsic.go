package cloudformation

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// afterApply stands in a change set for what only the operation itself will tell.
const afterApply = schema.Unknown

// noValue is what Ref AWS::NoValue gives: the property is left out.
type noValue struct{}

// scope is where a template's functions are evaluated.
type scope struct {
	t          *template
	region     string
	account    string
	stackID    string
	stackName  string
	topics     []string
	parameters map[string]state.StackParameter
	conditions map[string]bool
	// lookup answers a reference to a resource.
	lookup func(r reference) (any, error)
	// exported answers Fn::ImportValue.
	exported func(name string) any
}

func newScope(tx *core.Tx, t *template, stackID, stackName string, m *state.StackModel) *scope {
	s := &scope{
		t: t, region: tx.Region.Name, account: tx.World.Account, stackID: stackID, stackName: stackName,
		topics: m.NotificationARNs, parameters: map[string]state.StackParameter{}, conditions: map[string]bool{},
	}
	for _, p := range m.Parameters {
		s.parameters[p.Key] = p
	}
	s.exported = func(name string) any {
		if value, by := export(tx, name); by != nil {
			return value
		}
		return afterApply // nobody exports it: the operation fails when it begins
	}
	return s
}

// active says whether a resource's or output's condition holds.
func (s *scope) active(condition string) (bool, error) {
	if condition == "" {
		return true, nil
	}
	return s.condition(condition)
}

func (s *scope) condition(name string) (bool, error) {
	if v, ok := s.conditions[name]; ok {
		return v, nil
	}
	def, ok := s.t.Conditions[name]
	if !ok {
		return false, invalid("Template error: unresolved condition dependency: %s", name)
	}
	v, err := s.truth(def)
	if err != nil {
		return false, err
	}
	s.conditions[name] = v
	return v, nil
}

func (s *scope) truth(v any) (bool, error) {
	name, a, ok := function(v)
	if !ok {
		switch scalar(v) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, invalid("Template error: Every Condition must be a condition function")
	}
	switch name {
	case "Condition":
		return s.condition(scalar(a))
	case "Fn::Equals":
		l, ok := a.([]any)
		if !ok || len(l) != 2 {
			return false, invalid("Template error: Fn::Equals requires a list argument with two elements")
		}
		x, err := s.eval(l[0])
		if err != nil {
			return false, err
		}
		y, err := s.eval(l[1])
		if err != nil {
			return false, err
		}
		return compact(texts(x)) == compact(texts(y)), nil
	case "Fn::Not":
		l, ok := a.([]any)
		if !ok || len(l) != 1 {
			return false, invalid("Template error: Fn::Not requires a list argument with one element")
		}
		b, err := s.truth(l[0])
		return !b, err
	case "Fn::And", "Fn::Or":
		l, ok := a.([]any)
		if !ok || len(l) < 2 || len(l) > 10 {
			return false, invalid("Template error: every %s object requires a list of at least 2 and at most 10 boolean parameters.", name)
		}
		result := name == "Fn::And"
		for _, x := range l {
			b, err := s.truth(x)
			if err != nil {
				return false, err
			}
			if name == "Fn::And" {
				result = result && b
			} else {
				result = result || b
			}
		}
		return result, nil
	}
	return false, invalid("Template error: %s is not a condition function", name)
}

// texts makes all scalars of a value strings, as CloudFormation compares them.
func texts(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			out[k] = texts(y)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, y := range x {
			out[i] = texts(y)
		}
		return out
	case nil:
		return nil
	}
	return scalar(v)
}

// properties evaluates a map of properties; what has no value is left out.
func (s *scope) properties(m map[string]any) (map[string]any, error) {
	v, err := s.eval(m)
	if err != nil {
		return nil, err
	}
	out, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("Template error: properties must be a map")
	}
	return out, nil
}

// eval resolves every function of a value.
func (s *scope) eval(v any) (any, error) {
	if name, a, ok := function(v); ok {
		if name == "Condition" {
			// Outside Conditions this is a plain key.
			x, err := s.eval(a)
			return map[string]any{"Condition": x}, err
		}
		return s.call(name, a)
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			r, err := s.eval(y)
			if err != nil {
				return nil, err
			}
			if _, none := r.(noValue); none || r == nil {
				continue
			}
			out[k] = r
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(x))
		for _, y := range x {
			r, err := s.eval(y)
			if err != nil {
				return nil, err
			}
			if _, none := r.(noValue); none {
				continue
			}
			out = append(out, r)
		}
		return out, nil
	}
	return v, nil
}

func (s *scope) call(name string, a any) (any, error) {
	switch name {
	case "Ref":
		return s.reference(reference{Name: scalar(a)})
	case "Fn::GetAtt":
		r, err := getAtt(a)
		if err != nil {
			return nil, err
		}
		return s.reference(r)
	case "Fn::If":
		l := a.([]any)
		yes, err := s.condition(scalar(l[0]))
		if err != nil {
			return nil, err
		}
		if yes {
			return s.eval(l[1])
		}
		return s.eval(l[2])
	case "Fn::Sub":
		return s.sub(a)
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or":
		return s.truth(map[string]any{name: a})
	}
	args, err := s.eval(a)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::Join":
		return join(args)
	case "Fn::Split":
		l, ok := args.([]any)
		if !ok || len(l) != 2 || scalar(l[0]) == "" {
			return nil, invalid("Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to be split.")
		}
		return list(strings.Split(scalar(l[1]), scalar(l[0]))), nil
	case "Fn::Select":
		return pick(args)
	case "Fn::Base64":
		switch args.(type) {
		case []any, map[string]any:
			return nil, invalid("Template error: every Fn::Base64 object must have a String-typed value.")
		}
		if strings.Contains(scalar(args), afterApply) {
			return afterApply, nil
		}
		return base64.StdEncoding.EncodeToString([]byte(scalar(args))), nil
	case "Fn::GetAZs":
		region := scalar(args)
		if region == "" {
			region = s.region
		}
		return list(zones(region)), nil
	case "Fn::FindInMap":
		return s.find(args)
	case "Fn::Cidr":
		return cidr(args)
	case "Fn::ImportValue":
		return s.exported(scalar(args)), nil
	}
	return nil, badFormat("Encountered unsupported function: %s Supported functions are: [%s]", name, strings.Join(functions, ", "))
}

func list(in []string) []any {
	out := make([]any, len(in))
	for i, x := range in {
		out[i] = x
	}
	return out
}

func (s *scope) reference(r reference) (any, error) {
	if r.Attribute == "" {
		switch r.Name {
		case "AWS::AccountId":
			return s.account, nil
		case "AWS::NoValue":
			return noValue{}, nil
		case "AWS::NotificationARNs":
			return list(s.topics), nil
		case "AWS::Partition":
			return "aws", nil
		case "AWS::Region":
			return s.region, nil
		case "AWS::StackId":
			return s.stackID, nil
		case "AWS::StackName":
			return s.stackName, nil
		case "AWS::URLSuffix":
			return "amazonaws.com", nil
		}
		if p := s.t.Parameters[r.Name]; p != nil {
			v := s.parameters[r.Name]
			value, kind := v.Value, p.Type
			if inner, ok := strings.CutPrefix(kind, storePrefix); ok {
				value, kind = v.Resolved, strings.TrimSuffix(inner, ">")
			}
			if _, isList := elementType(kind); isList {
				return list(splitList(value)), nil
			}
			return value, nil
		}
	}
	target := s.t.Resources[r.Name]
	if target == nil {
		return nil, badFormat("Unresolved resource dependencies [%s] in the Resources block of the template", r.Name)
	}
	if on, err := s.active(target.Condition); err != nil || !on {
		if err == nil {
			err = badFormat("Unresolved resource dependencies [%s] in the Resources block of the template", r.Name)
		}
		return nil, err
	}
	if s.lookup == nil {
		return afterApply, nil
	}
	return s.lookup(r)
}

func (s *scope) sub(a any) (any, error) {
	text, own, err := subArguments(a)
	if err != nil {
		return nil, err
	}
	var failed error
	out := substitution.ReplaceAllStringFunc(text, func(m string) string {
		key := strings.TrimSpace(m[2 : len(m)-1])
		if literal, ok := strings.CutPrefix(key, "!"); ok {
			return "${" + literal + "}"
		}
		var v any
		var err error
		if x, ok := own[key]; ok {
			v, err = s.eval(x)
		} else {
			r := reference{Name: key}
			if !strings.HasPrefix(key, "AWS::") {
				r.Name, r.Attribute, _ = strings.Cut(key, ".")
			}
			v, err = s.reference(r)
		}
		if err != nil {
			failed = err
			return ""
		}
		switch x := v.(type) {
		case []any:
			var parts []string
			for _, y := range x {
				parts = append(parts, scalar(y))
			}
			return strings.Join(parts, ",")
		case map[string]any:
			failed = invalid("Template error: Fn::Sub expression does not resolve to a string")
		}
		return scalar(v)
	})
	return out, failed
}

func join(args any) (any, error) {
	bad := invalid("Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.")
	l, ok := args.([]any)
	if !ok || len(l) != 2 {
		return nil, bad
	}
	if l[1] == afterApply {
		return afterApply, nil
	}
	items, ok := l[1].([]any)
	if !ok {
		return nil, bad
	}
	var parts []string
	for _, x := range items {
		switch x.(type) {
		case []any, map[string]any:
			return nil, bad
		}
		parts = append(parts, scalar(x))
	}
	return strings.Join(parts, scalar(l[0])), nil
}

func pick(args any) (any, error) {
	l, ok := args.([]any)
	if !ok || len(l) != 2 {
		return nil, invalid("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
	}
	i, err := strconv.Atoi(scalar(l[0]))
	if err != nil || i < 0 {
		return nil, invalid("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
	}
	items, ok := l[1].([]any)
	if !ok {
		if strings.Contains(scalar(l[1]), afterApply) {
			return afterApply, nil
		}
		return nil, invalid("Template error: Fn::Select requires a list argument with two elements: an integer index and a list")
	}
	if len(items) == 1 && items[0] == afterApply {
		return afterApply, nil
	}
	if i >= len(items) {
		return nil, invalid("Template error: Fn::Select cannot select nonexistent value at index %d", i)
	}
	return items[i], nil
}

func (s *scope) find(args any) (any, error) {
	l, ok := args.([]any)
	if !ok || len(l) != 3 {
		return nil, invalid("Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value")
	}
	name, first, second := scalar(l[0]), scalar(l[1]), scalar(l[2])
	m, ok := s.t.Mappings[name].(map[string]any)
	if !ok {
		return nil, invalid("Template error: Mapping named '%s' is not present in the 'Mappings' section of template.", name)
	}
	row, _ := m[first].(map[string]any)
	v, ok := row[second]
	if !ok {
		return nil, invalid("Template error: Unable to get mapping for %s::%s::%s", name, first, second)
	}
	return v, nil
}

func cidr(args any) (any, error) {
	bad := func(why string) error { return invalid("Template error: Fn::Cidr: %s", why) }
	l, ok := args.([]any)
	if !ok || len(l) < 2 || len(l) > 3 {
		return nil, bad("requires an IP block, a count and optionally the CIDR bits")
	}
	if l[0] == afterApply {
		return afterApply, nil
	}
	block, err := netip.ParsePrefix(scalar(l[0]))
	if err != nil || !block.Addr().Is4() {
		return nil, bad(fmt.Sprintf("%q is no IPv4 block", scalar(l[0])))
	}
	count, err := strconv.Atoi(scalar(l[1]))
	if err != nil || count < 1 || count > 256 {
		return nil, bad("the count must be a number from 1 to 256")
	}
	bits := 8
	if len(l) == 3 {
		if bits, err = strconv.Atoi(scalar(l[2])); err != nil {
			return nil, bad("the CIDR bits must be a number")
		}
	}
	if bits < 1 || bits > 32-block.Bits() || count > 1<<(32-block.Bits()-bits) {
		return nil, bad(fmt.Sprintf("%s has no room for %d blocks of %d bits", block, count, bits))
	}
	base := block.Masked().Addr().As4()
	start := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
	var out []any
	for i := range count {
		n := start + uint32(i)<<bits
		a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		out = append(out, netip.PrefixFrom(a, 32-bits).String())
	}
	return slices.Clip(out), nil
}
