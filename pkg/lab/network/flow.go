package network

import (
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudwatch"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// tally is what went through a load balancer in a minute.
type tally struct {
	path    path
	started int64
	most    int64 // at once
}

// count notes a new connection. Under the lock.
func (n *Network) count(p path) {
	f := n.flows[p.listener]
	if f == nil {
		f = &tally{path: p}
		n.flows[p.listener] = f
	}
	f.started++
	f.most = max(f.most, n.active(p.listener))
}

func (n *Network) active(listener string) (now int64) {
	for l := range n.open {
		if l.path.listener == listener {
			now++
		}
	}
	return now
}

// measure hands what went through to CloudWatch each minute. A load balancer
// without traffic has no data, as AWS has it. Under the lock.
func (n *Network) measure(tx *core.Tx) {
	region := tx.Region.Name
	if due := n.due[region]; !due.IsZero() && !tx.Due(due) {
		return
	}
	any := false
	for listener, f := range n.flows {
		if f.path.region != region {
			continue
		}
		any = true
		_, rest, _ := strings.Cut(listener, ":listener/")
		if at := strings.LastIndex(rest, "/"); at > 0 {
			dimensions := map[string]string{"LoadBalancer": rest[:at]}
			record := func(name string, v int64) {
				if v > 0 {
					cloudwatch.Record(tx, "AWS/NetworkELB", name, dimensions, state.Point{Start: tx.Now, Min: float64(v), Max: float64(v), Sum: float64(v), Samples: 1})
				}
			}
			record("NewFlowCount", f.started)
			record("ActiveFlowCount", f.most)
		}
		if f.started, f.most = 0, n.active(listener); f.most == 0 {
			delete(n.flows, listener)
		}
	}
	if any {
		n.due[region] = tx.Now.Add(tx.Scale(time.Minute))
		tx.Wake(n.due[region])
	}
}
