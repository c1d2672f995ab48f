package cloudwatch

import (
	"context"
	"slices"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const (
	// measureEvery is how often machines are measured, as with detailed monitoring.
	measureEvery = time.Minute
	// seriesKept are points of a metric that the lab measures.
	seriesKept = 180
)

// processors writes down each minute what can be measured, and asks the machines how
// busy they are.
func processors(tx *core.Tx) {
	var ids []string
	for _, id := range sortedKeys(tx.Region.Instances) {
		if tx.Region.Instances[id].State == "running" {
			ids = append(ids, id)
		}
	}
	if len(ids)+len(tx.Region.Groups) == 0 && (tx.Region.Name != "us-east-1" || len(tx.World.Checks) == 0) {
		return
	}
	if !tx.Region.MeasureAt.IsZero() && !tx.Due(tx.Region.MeasureAt) {
		return
	}
	tx.Region.MeasureAt = tx.Now.Add(tx.Scale(measureEvery))
	tx.Wake(tx.Region.MeasureAt)
	tx.Changed()
	keep(tx)
	if len(ids) == 0 {
		return
	}
	tx.Go("processors "+tx.Region.Name, func(ctx context.Context) func(*core.Tx) {
		found := map[string]float64{}
		for _, id := range ids {
			v, known, err := tx.Runtime().Processor(ctx, id)
			if err == nil && known {
				found[id] = v
			}
		}
		return func(tx *core.Tx) { measured(tx, found) }
	})
}

// measured keeps how busy instances are, each and all of a group together.
func measured(tx *core.Tx, found map[string]float64) {
	for key, m := range tx.Region.Metrics {
		if id := m.Dimensions["InstanceId"]; m.Namespace == "AWS/EC2" && id != "" && tx.Region.Instances[id] == nil {
			delete(tx.Region.Metrics, key)
		}
	}
	groups := map[string]*state.Point{}
	for _, id := range sortedKeys(found) {
		i := tx.Region.Instances[id]
		if i == nil || i.State != "running" {
			continue
		}
		v := found[id]
		Record(tx, "AWS/EC2", "CPUUtilization", map[string]string{"InstanceId": id}, state.Point{Start: tx.Now, Min: v, Max: v, Sum: v, Samples: 1})
		if i.Group == "" {
			continue
		}
		p := groups[i.Group]
		if p == nil {
			p = &state.Point{Start: tx.Now, Min: v, Max: v}
			groups[i.Group] = p
		}
		p.Min, p.Max = min(p.Min, v), max(p.Max, v)
		p.Sum += v
		p.Samples++
	}
	for _, name := range sortedKeys(groups) {
		Record(tx, "AWS/EC2", "CPUUtilization", map[string]string{"AutoScalingGroupName": name}, *groups[name])
	}
}

// Record keeps a point of a metric that the lab itself measures.
func Record(tx *core.Tx, namespace, name string, dimensions map[string]string, p state.Point) {
	key := metricKey(namespace, name, dimensions)
	m := tx.Region.Metrics[key]
	if m == nil {
		m = &state.Metric{Namespace: namespace, Name: name, Dimensions: dimensions}
		tx.Region.Metrics[key] = m
	}
	m.Points = append(m.Points, p)
	if over := len(m.Points) - seriesKept; over > 0 {
		m.Points = slices.Delete(m.Points, 0, over)
	}
	tx.Changed()
}
