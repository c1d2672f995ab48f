package cloudformation

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/autoscaling"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// rollingPolicy is AutoScalingRollingUpdate of an UpdatePolicy, defaults filled in.
type rollingPolicy struct {
	batch     int64 // MaxBatchSize
	inService int64 // MinInstancesInService
	percent   int64 // MinSuccessfulInstancesPercent
	active    int64 // MinActiveInstancesPercent
	pauseText string
	pause     time.Duration
	wait      bool // WaitOnResourceSignals
	suspend   []string
}

// updatePolicy is what an UpdatePolicy says of a group.
type updatePolicy struct {
	rolling    *rollingPolicy
	replaces   bool // AutoScalingReplacingUpdate.WillReplace
	ignoreSize bool // AutoScalingScheduledAction.IgnoreUnmodifiedGroupSizeProperties
}

// creationPolicy is the signals a creation waits for.
type creationPolicy struct {
	count   int64
	percent int64
	timeout time.Duration
}

var iso8601 = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// duration reads an ISO 8601 duration such as PT5M30S.
func duration(s string) (time.Duration, error) {
	m := iso8601.FindStringSubmatch(s)
	if m == nil || s == "P" || s == "PT" {
		return 0, invalid("%q is not an ISO 8601 duration such as PT5M", s)
	}
	var d time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(m[i+1])
		d += time.Duration(n) * unit
	}
	return d, nil
}

var policyKeys = map[string][]string{
	"AutoScalingRollingUpdate": {
		"MaxBatchSize", "MinInstancesInService", "MinSuccessfulInstancesPercent", "MinActiveInstancesPercent",
		"PauseTime", "SuspendProcesses", "WaitOnResourceSignals",
	},
	"AutoScalingReplacingUpdate": {"WillReplace"},
	"AutoScalingScheduledAction": {"IgnoreUnmodifiedGroupSizeProperties"},
	"ResourceSignal":             {"Count", "Timeout"},
	"AutoScalingCreationPolicy":  {"MinSuccessfulInstancesPercent"},
}

// checkPolicies refuses attributes that CreationPolicy and UpdatePolicy do not have.
func (r *resource) checkPolicies() error {
	for _, p := range []struct {
		name  string
		value any
		keys  []string
	}{
		{"UpdatePolicy", r.UpdatePolicy, []string{"AutoScalingRollingUpdate", "AutoScalingReplacingUpdate", "AutoScalingScheduledAction"}},
		{"CreationPolicy", r.CreationPolicy, []string{"ResourceSignal", "AutoScalingCreationPolicy"}},
	} {
		if _, _, call := function(p.value); call {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(asMap(p.value))) {
			if !slices.Contains(p.keys, k) {
				return invalid("Invalid template resource property '%s' in %s of resource %s", k, p.name, r.ID)
			}
			for _, x := range slices.Sorted(maps.Keys(asMap(asMap(p.value)[k]))) {
				if !slices.Contains(policyKeys[k], x) && x != "Fn::If" && x != "Ref" {
					return invalid("Invalid template resource property '%s' in %s of resource %s", x, k, r.ID)
				}
			}
		}
	}
	return nil
}

// policyOf reads the UpdatePolicy of a group in the model that is the aim:
// a rollback therefore follows the policy of the template before the update.
func (e *engine) policyOf(logical string) (updatePolicy, error) {
	var out updatePolicy
	s := e.in()
	def := s.t.Resources[logical]
	if def == nil || def.UpdatePolicy == nil {
		return out, nil
	}
	v, err := s.eval(def.UpdatePolicy)
	if err != nil {
		return out, err
	}
	p := properties(asMap(v))
	if f := p.sub("AutoScalingReplacingUpdate").flag("WillReplace"); f != nil {
		out.replaces = *f
	}
	if f := p.sub("AutoScalingScheduledAction").flag("IgnoreUnmodifiedGroupSizeProperties"); f != nil {
		out.ignoreSize = *f
	}
	if !p.has("AutoScalingRollingUpdate") {
		return out, nil
	}
	r := p.sub("AutoScalingRollingUpdate")
	roll := &rollingPolicy{
		batch: r.whole("MaxBatchSize", 1), inService: r.whole("MinInstancesInService", 0),
		percent: r.whole("MinSuccessfulInstancesPercent", 100), active: r.whole("MinActiveInstancesPercent", 100),
		pauseText: r.text("PauseTime"), suspend: r.texts("SuspendProcesses"),
	}
	if f := r.flag("WaitOnResourceSignals"); f != nil {
		roll.wait = *f
	}
	if roll.pauseText == "" {
		roll.pauseText = "PT0S"
		if roll.wait {
			roll.pauseText = "PT5M"
		}
	}
	if roll.pause, err = duration(roll.pauseText); err != nil {
		return out, err
	}
	switch {
	case roll.pause > time.Hour:
		return out, invalid("PauseTime %s is longer than the maximum, PT1H", roll.pauseText)
	case roll.batch < 1 || roll.batch > 100:
		return out, invalid("MaxBatchSize must be between 1 and 100, it is %d", roll.batch)
	case roll.inService < 0:
		return out, invalid("MinInstancesInService must not be negative, it is %d", roll.inService)
	case roll.percent < 0 || roll.percent > 100:
		return out, invalid("MinSuccessfulInstancesPercent must be between 0 and 100, it is %d", roll.percent)
	case roll.active < 0 || roll.active > 100:
		return out, invalid("MinActiveInstancesPercent must be between 0 and 100, it is %d", roll.active)
	}
	for _, x := range roll.suspend {
		if !slices.Contains(autoscaling.Processes, x) {
			return out, invalid("Invalid process %s in SuspendProcesses", x)
		}
	}
	out.rolling = roll
	return out, nil
}

// replacesGroup says whether a change of what instances are made from builds a new group.
func (e *engine) replacesGroup(def *resource) bool {
	p, err := e.policyOf(def.ID)
	return err == nil && p.replaces
}

// creationPolicy is what the creation of res waits for; false if it waits for no signal.
func (e *engine) creationPolicy(def *resource, res *state.StackResource) (creationPolicy, bool) {
	if def == nil || def.CreationPolicy == nil {
		return creationPolicy{}, false
	}
	v, err := e.in().eval(def.CreationPolicy)
	if err != nil {
		return creationPolicy{}, false
	}
	p := properties(asMap(v))
	if !p.has("ResourceSignal") {
		return creationPolicy{}, false
	}
	r := p.sub("ResourceSignal")
	out := creationPolicy{
		count: r.whole("Count", 1), timeout: 5 * time.Minute,
		percent: p.sub("AutoScalingCreationPolicy").whole("MinSuccessfulInstancesPercent", 100),
	}
	if t := r.text("Timeout"); t != "" {
		if d, err := duration(t); err == nil {
			out.timeout = min(d, 12*time.Hour)
		}
	}
	if res.Type != typeGroup {
		out.percent = 100
	}
	return out, true
}

// requirement is the text of signals that do not suffice.
func requirement(received int, kind string, of int, percent int64) string {
	return fmt.Sprintf("Received %d %s signal(s) out of %d.  Unable to satisfy %d%% MinSuccessfulInstancesPercent requirement", received, kind, of, percent)
}

// tooMany says whether so many failures leave less than the percentage wanted.
func tooMany(failures, of int, percent int64) bool {
	return float64(failures) > float64(of)*(1-float64(percent)/100)
}

func missed(n int64) string {
	return fmt.Sprintf("Failed to receive %d resource signal(s) for the current batch.  Each resource signal timeout is counted as a FAILURE.", n)
}
