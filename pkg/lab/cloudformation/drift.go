package cloudformation

import (
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// DetectStackDrift compares what the template says with what is, for those
// properties whose handler can read them back. Properties that the template
// does not name do not count.
func DetectStackDrift(tx *core.Tx, in *DetectStackDriftInput) (*DetectStackDriftOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"}, st.Status) {
		return nil, invalid("Drift detection cannot be performed on stack [%s] while in %s state", st.Name, st.Status)
	}
	d := &state.StackDrift{ID: core.UUID(), Detection: "DETECTION_COMPLETE", Status: "IN_SYNC", Checked: tx.Now}
	e := &engine{tx: tx, st: st, op: &state.StackOperation{}}
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		res := st.Resources[id]
		if len(in.LogicalResourceIds) > 0 && !slices.Contains(in.LogicalResourceIds, id) || res.PhysicalID == "" {
			continue
		}
		res.Drift = e.drift(res)
		if res.Drift.Status == "MODIFIED" || res.Drift.Status == "DELETED" {
			d.Drifted++
			d.Status = "DRIFTED"
		}
	}
	st.Drift = d
	tx.Changed()
	return &DetectStackDriftOutput{StackDriftDetectionId: d.ID}, nil
}

func (e *engine) drift(res *state.StackResource) *state.ResourceDrift {
	h := handlerOf(res.Type)
	out := &state.ResourceDrift{Status: "NOT_CHECKED", Checked: e.tx.Now}
	if h.live == nil {
		return out
	}
	actual, there := h.live(e.tx, e.call(res, nil))
	out.Status = "IN_SYNC"
	if !there {
		out.Status = "DELETED"
		return out
	}
	kind := schema.Lookup(res.Type)
	expected := map[string]any{}
	named := resolved(e.tx, res.Properties)
	for k := range actual {
		if v, ok := named[k]; ok {
			expected[k] = v
		}
	}
	for k := range actual {
		if _, ok := expected[k]; !ok {
			delete(actual, k)
		}
	}
	expected, actual = kind.Canonical(expected), kind.Canonical(actual)
	out.Expected, out.Actual = compact(expected), compact(actual)
	kinds := map[string]string{"Modify": "NOT_EQUAL", "Add": "ADD", "Remove": "REMOVE"}
	for _, l := range leaf("", expected, actual) {
		out.Differences = append(out.Differences, state.PropertyDrift{Path: l.path, Expected: l.before, Actual: l.after, Kind: kinds[l.kind]})
	}
	if len(out.Differences) > 0 {
		out.Status = "MODIFIED"
	}
	return out
}

// DescribeStackDriftDetectionStatus tells how a detection ended.
func DescribeStackDriftDetectionStatus(tx *core.Tx, in *DescribeStackDriftDetectionStatusInput) (*DescribeStackDriftDetectionStatusOutput, error) {
	for _, st := range all(tx) {
		if st.Drift == nil || st.Drift.ID != in.StackDriftDetectionId {
			continue
		}
		return &DescribeStackDriftDetectionStatusOutput{
			StackId: st.ID, StackDriftDetectionId: st.Drift.ID, StackDriftStatus: st.Drift.Status, DetectionStatus: st.Drift.Detection,
			DriftedStackResourceCount: &st.Drift.Drifted, Timestamp: st.Drift.Checked,
		}, nil
	}
	return nil, invalid("Drift detection [%s] does not exist", in.StackDriftDetectionId)
}

// DescribeStackResourceDrifts tells how the resources compared in the last detection.
func DescribeStackResourceDrifts(tx *core.Tx, in *DescribeStackResourceDriftsInput) (*DescribeStackResourceDriftsOutput, error) {
	st, err := live(tx, in.StackName)
	if err != nil {
		return nil, err
	}
	var found []StackResourceDrift
	for _, id := range slices.Sorted(maps.Keys(st.Resources)) {
		r := st.Resources[id]
		if r.Drift == nil || len(in.StackResourceDriftStatusFilters) > 0 && !slices.Contains(in.StackResourceDriftStatusFilters, r.Drift.Status) {
			continue
		}
		d := StackResourceDrift{
			StackId: st.ID, LogicalResourceId: id, PhysicalResourceId: r.PhysicalID, ResourceType: r.Type,
			ExpectedProperties: r.Drift.Expected, ActualProperties: r.Drift.Actual, StackResourceDriftStatus: r.Drift.Status, Timestamp: r.Drift.Checked,
		}
		for _, p := range r.Drift.Differences {
			d.PropertyDifferences = append(d.PropertyDifferences, PropertyDifference{
				PropertyPath: "/" + strings.TrimPrefix(p.Path, "/"), ExpectedValue: p.Expected, ActualValue: p.Actual, DifferenceType: p.Kind,
			})
		}
		found = append(found, d)
	}
	page, next, err := core.Page(tx, found, func(d StackResourceDrift) string { return d.LogicalResourceId }, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &DescribeStackResourceDriftsOutput{StackResourceDrifts: page, NextToken: next}, nil
}
