package cloudformation

import (
	"maps"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// export is the value that a stack of the region exports under a name.
func export(tx *core.Tx, name string) (value string, by *state.Stack) {
	for _, st := range tx.Region.Stacks {
		if st.Status == "DELETE_COMPLETE" {
			continue
		}
		for _, o := range st.Outputs {
			if o.Export == name && name != "" {
				return o.Value, st
			}
		}
	}
	return "", nil
}

// imports are the names that the model of a scope imports, sorted.
func (s *scope) imports() []string {
	var names []string
	var walk func(v any)
	walk = func(v any) {
		if name, a, ok := function(v); ok && name == "Fn::ImportValue" {
			if x, err := s.eval(a); err == nil {
				names = append(names, scalar(x))
			}
			return
		}
		switch x := v.(type) {
		case map[string]any:
			for _, y := range x {
				walk(y)
			}
		case []any:
			for _, y := range x {
				walk(y)
			}
		}
	}
	for _, r := range s.t.Resources {
		if on, err := s.active(r.Condition); err == nil && on {
			walk([]any{r.Properties, r.Metadata, r.CreationPolicy, r.UpdatePolicy})
		}
	}
	for _, o := range s.t.Outputs {
		if on, err := s.active(o.Condition); err == nil && on {
			walk([]any{o.Value, o.Export})
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// notExported is the text for the first import that nobody exports; "" for none.
func (s *scope) notExported(tx *core.Tx) string {
	for _, name := range s.imports() {
		if _, by := export(tx, name); by == nil {
			return "No export named " + name + " found"
		}
	}
	return ""
}

// importers are the names of the stacks that import a name, sorted.
func importers(tx *core.Tx, name string) []string {
	var out []string
	for _, st := range tx.Region.Stacks {
		if st.Model == nil || st.Status == "DELETE_COMPLETE" || st.Status == "REVIEW_IN_PROGRESS" {
			continue
		}
		t, err := parse(st.Model.Template)
		if err == nil && slices.Contains(newScope(tx, t, st.ID, st.Name, st.Model).imports(), name) {
			out = append(out, st.Name)
		}
	}
	slices.Sort(out)
	return out
}

// conflict is why the outputs of the stack cannot become what they would be; "" if they can.
func (e *engine) conflict(next []state.StackOutput) string {
	now := map[string]string{}
	for _, o := range next {
		if o.Export == "" {
			continue
		}
		if _, by := export(e.tx, o.Export); by != nil && by != e.st {
			return "Export with name " + o.Export + " is already exported by stack " + by.Name
		}
		now[o.Export] = o.Value
	}
	for _, o := range e.st.Outputs {
		if o.Export == "" || now[o.Export] == o.Value {
			continue
		}
		verb := "updated"
		if _, stays := now[o.Export]; !stays {
			verb = "deleted"
		}
		if by := importers(e.tx, o.Export); len(by) > 0 {
			return "Export " + o.Export + " cannot be " + verb + " as it is in use by " + by[0]
		}
	}
	return ""
}

// Export is a value that a stack gives to others.
type Export struct{ ExportingStackId, Name, Value string }

// ListExportsInput is the request of ListExports.
type ListExportsInput struct{ NextToken string }

// ListExportsOutput is the answer of ListExports.
type ListExportsOutput struct {
	Exports   []Export
	NextToken string
}

// ListExports tells all exports of the region.
func ListExports(tx *core.Tx, in *ListExportsInput) (*ListExportsOutput, error) {
	found := map[string]Export{}
	for _, st := range all(tx) {
		for _, o := range st.Outputs {
			if o.Export != "" && st.Status != "DELETE_COMPLETE" {
				found[o.Export] = Export{ExportingStackId: st.ID, Name: o.Export, Value: o.Value}
			}
		}
	}
	var list []Export
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	page, next, err := core.Page(tx, list, func(x Export) string { return x.Name }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListExportsOutput{Exports: page, NextToken: next}, nil
}

// ListImportsInput is the request of ListImports.
type ListImportsInput struct{ ExportName, NextToken string }

// ListImportsOutput is the answer of ListImports.
type ListImportsOutput struct {
	Imports   []string
	NextToken string
}

// ListImports tells which stacks import a name.
func ListImports(tx *core.Tx, in *ListImportsInput) (*ListImportsOutput, error) {
	by := importers(tx, in.ExportName)
	if len(by) == 0 {
		return nil, invalid("Export '%s' is not imported by any stack.", in.ExportName)
	}
	page, next, err := core.Page(tx, by, func(name string) string { return name }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListImportsOutput{Imports: page, NextToken: next}, nil
}
