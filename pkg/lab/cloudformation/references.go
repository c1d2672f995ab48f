package cloudformation

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
)

var functions = []string{
	"Fn::And", "Fn::Base64", "Fn::Cidr", "Fn::Equals", "Fn::FindInMap", "Fn::GetAZs", "Fn::GetAtt", "Fn::If",
	"Fn::ImportValue", "Fn::Join", "Fn::Not", "Fn::Or", "Fn::Select", "Fn::Split", "Fn::Sub",
}

var pseudos = []string{
	"AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition", "AWS::Region", "AWS::StackId",
	"AWS::StackName", "AWS::URLSuffix",
}

// function takes a map apart that is a call of an intrinsic function.
func function(v any) (name string, argument any, ok bool) {
	m, isMap := v.(map[string]any)
	if !isMap || len(m) != 1 {
		return "", nil, false
	}
	for k, a := range m {
		if k == "Ref" || k == "Condition" || strings.HasPrefix(k, "Fn::") {
			return k, a, true
		}
	}
	return "", nil, false
}

// reference is one Ref, Fn::GetAtt or part of an Fn::Sub; Attribute is "" for a Ref.
type reference struct{ Name, Attribute string }

func (r reference) String() string {
	if r.Attribute == "" {
		return r.Name
	}
	return r.Name + "." + r.Attribute
}

var substitution = regexp.MustCompile(`\$\{([^}]*)\}`)

// references calls found for each reference in v and condition for each condition it names.
func references(v any, found func(reference) error, condition func(string) error) error {
	name, a, isCall := function(v)
	if !isCall {
		switch x := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(x)) {
				if err := references(x[k], found, condition); err != nil {
					return err
				}
			}
		case []any:
			for _, y := range x {
				if err := references(y, found, condition); err != nil {
					return err
				}
			}
		}
		return nil
	}
	switch name {
	case "Ref":
		s, ok := a.(string)
		if !ok {
			return badFormat("All Ref resources must be strings")
		}
		return found(reference{Name: s})
	case "Condition":
		s, ok := a.(string)
		if !ok {
			// A property may be called Condition, as in a policy document.
			return references(a, found, condition)
		}
		return condition(s)
	case "Fn::GetAtt":
		r, err := getAtt(a)
		if err != nil {
			return err
		}
		return found(r)
	case "Fn::Sub":
		text, own, err := subArguments(a)
		if err != nil {
			return err
		}
		for _, m := range substitution.FindAllStringSubmatch(text, -1) {
			key := strings.TrimSpace(m[1])
			if strings.HasPrefix(key, "!") {
				continue
			}
			if _, isOwn := own[key]; isOwn {
				continue
			}
			r := reference{Name: key}
			if !strings.HasPrefix(key, "AWS::") {
				r.Name, r.Attribute, _ = strings.Cut(key, ".")
			}
			if err := found(r); err != nil {
				return err
			}
		}
		return references(own, found, condition)
	case "Fn::If":
		l, ok := a.([]any)
		if !ok || len(l) != 3 {
			return invalid("Template error: Fn::If requires a list argument with three elements")
		}
		c, ok := l[0].(string)
		if !ok {
			return invalid("Template error: Fn::If requires a list argument with the first element being a condition")
		}
		if err := condition(c); err != nil {
			return err
		}
		return references(l[1:], found, condition)
	}
	if !slices.Contains(functions, name) {
		return badFormat("Encountered unsupported function: %s Supported functions are: [%s]", name, strings.Join(functions, ", "))
	}
	return references(a, found, condition)
}

// mentioned calls see for each reference of v, those of the conditions it
// names included. The template is checked already, so nothing can be wrong.
func (t *template) mentioned(v any, see func(reference)) {
	visited := map[string]bool{}
	var visit func(v any)
	visit = func(v any) {
		_ = references(v, func(r reference) error {
			see(r)
			return nil
		}, func(condition string) error {
			if !visited[condition] {
				visited[condition] = true
				visit(t.Conditions[condition])
			}
			return nil
		})
	}
	visit(v)
}

func getAtt(a any) (reference, error) {
	bad := invalid("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
	switch x := a.(type) {
	case string:
		name, attribute, ok := strings.Cut(x, ".")
		if !ok || name == "" || attribute == "" {
			return reference{}, bad
		}
		return reference{name, attribute}, nil
	case []any:
		if len(x) != 2 {
			return reference{}, bad
		}
		name, ok1 := x[0].(string)
		attribute, ok2 := x[1].(string)
		if !ok1 || !ok2 || name == "" || attribute == "" {
			return reference{}, bad
		}
		return reference{name, attribute}, nil
	}
	return reference{}, bad
}

func subArguments(a any) (string, map[string]any, error) {
	bad := invalid("Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string")
	switch x := a.(type) {
	case string:
		return x, nil, nil
	case []any:
		if len(x) != 2 {
			return "", nil, bad
		}
		s, ok1 := x[0].(string)
		m, ok2 := x[1].(map[string]any)
		if !ok1 || !ok2 {
			return "", nil, bad
		}
		return s, m, nil
	}
	return "", nil, bad
}

// check finds what cannot be resolved whatever the parameters are, and puts the resources in order.
func (t *template) check() error {
	needCondition := func(name string) error {
		if _, ok := t.Conditions[name]; !ok {
			return badFormat("Unresolved condition dependency %s in the Resources block of the template", name)
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(t.Conditions)) {
		err := references(t.Conditions[name], func(r reference) error {
			if t.Parameters[r.Name] == nil && !slices.Contains(pseudos, r.Name) || r.Attribute != "" {
				return badFormat("Unresolved dependencies [%s]. Cannot reference resources in the Conditions block of the template", r.Name)
			}
			return nil
		}, func(c string) error {
			if _, ok := t.Conditions[c]; !ok {
				return badFormat("Unresolved condition dependency %s in the Conditions block of the template", c)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := t.checkConditionCycles(); err != nil {
		return err
	}
	var unresolved []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		if err := r.secure(r.Properties, ""); err != nil {
			return err
		}
		for _, d := range r.depends {
			if t.Resources[d] == nil {
				unresolved = append(unresolved, d)
			}
		}
		if r.Condition != "" {
			if err := needCondition(r.Condition); err != nil {
				return err
			}
		}
		err := references([]any{r.Properties, r.CreationPolicy, r.UpdatePolicy, r.Metadata}, func(ref reference) error {
			target, err := t.target(ref, "Resources")
			if err != nil {
				return err
			}
			if target == "?" {
				unresolved = append(unresolved, ref.Name)
			} else if target != "" {
				r.depends = append(r.depends, target)
			}
			return nil
		}, needCondition)
		if err != nil {
			return err
		}
		slices.Sort(r.depends)
		r.depends = slices.Compact(r.depends)
	}
	if len(unresolved) > 0 {
		slices.Sort(unresolved)
		return badFormat("Unresolved resource dependencies [%s] in the Resources block of the template", strings.Join(slices.Compact(unresolved), ", "))
	}
	if err := t.checkOutputs(needCondition); err != nil {
		return err
	}
	return t.sort()
}

func (t *template) checkOutputs(needCondition func(string) error) error {
	var unresolved []string
	for _, name := range slices.Sorted(maps.Keys(t.Outputs)) {
		o := t.Outputs[name]
		if o.Condition != "" {
			if err := needCondition(o.Condition); err != nil {
				return err
			}
		}
		err := references([]any{o.Value, o.Export}, func(ref reference) error {
			target, err := t.target(ref, "Outputs")
			if target == "?" {
				unresolved = append(unresolved, ref.Name)
			}
			return err
		}, needCondition)
		if err != nil {
			return err
		}
	}
	if len(unresolved) > 0 {
		return badFormat("Unresolved resource dependencies [%s] in the Outputs block of the template", strings.Join(slices.Compact(unresolved), ", "))
	}
	return nil
}

// target is the resource a reference leads to: "" for a parameter or pseudo parameter, "?" for nothing.
func (t *template) target(ref reference, _ string) (string, error) {
	r := t.Resources[ref.Name]
	if ref.Attribute != "" {
		if r == nil {
			return "", invalid("Template error: instance of Fn::GetAtt references undefined resource %s", ref.Name)
		}
		if !schema.Lookup(r.Type).Attribute(ref.Attribute) {
			return "", invalid("Template error: resource %s does not support attribute type %s in Fn::GetAtt", ref.Name, ref.Attribute)
		}
		return ref.Name, nil
	}
	switch {
	case r != nil:
		return ref.Name, nil
	case t.Parameters[ref.Name] != nil || slices.Contains(pseudos, ref.Name):
		return "", nil
	}
	return "?", nil
}

func (t *template) checkConditionCycles() error {
	state := map[string]int{}
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case 1:
			return badFormat("Circular dependency between conditions: [%s]", name)
		case 2:
			return nil
		}
		state[name] = 1
		err := references(t.Conditions[name], func(reference) error { return nil }, visit)
		state[name] = 2
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Conditions)) {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// sort puts the resources in an order in which each comes after those it needs.
func (t *template) sort() error {
	waits := map[string]int{}
	needed := map[string][]string{}
	for id, r := range t.Resources {
		waits[id] = len(r.depends)
		for _, d := range r.depends {
			needed[d] = append(needed[d], id)
		}
	}
	var ready []string
	for id, n := range waits {
		if n == 0 {
			ready = append(ready, id)
		}
	}
	slices.Sort(ready)
	for len(ready) > 0 {
		id := ready[0]
		ready = ready[1:]
		t.order = append(t.order, id)
		next := needed[id]
		slices.Sort(next)
		for _, n := range next {
			if waits[n]--; waits[n] == 0 {
				ready = append(ready, n)
			}
		}
	}
	if len(t.order) == len(t.Resources) {
		return nil
	}
	var stuck []string
	for id, n := range waits {
		if n > 0 {
			stuck = append(stuck, id)
		}
	}
	slices.Sort(stuck)
	return invalid("Circular dependency between resources: [%s]", strings.Join(stuck, ", "))
}
