package rehearsal

import (
	"fmt"
	"time"

	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// A Way is one way back as it was rehearsed: what it takes in production, too.
type Way struct {
	Name     string  `json:"name"`             // "go back", "rollback", "cancel"
	Seconds  float64 `json:"seconds"`          // by CloudFormation's clock, from its beginning
	Resource string  `json:"resource"`         // logical id of what took longest
	Longest  float64 `json:"resource_seconds"` // of that
}

// String is the way in a few words.
func (w Way) String() string {
	s := w.Name + " " + inSeconds(w.Seconds)
	if w.Resource != "" {
		s += " (" + w.Resource + " " + inSeconds(w.Longest) + ")"
	}
	return s
}

func inSeconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// way keeps how long the test stack took to be what it was.
func (s *State) way(name string, out *stack.Outcome) {
	took, id, longest := out.Back()
	s.Record.Ways = append(s.Record.Ways, Way{name, took.Seconds(), id, longest.Seconds()})
}

// Slowest is the way back that took longest; ok says whether there is one.
func (r Record) Slowest() (w Way, ok bool) {
	for _, x := range r.Ways {
		if !ok || x.Seconds > w.Seconds {
			w, ok = x, true
		}
	}
	return w, ok
}

// TooSlow is why a rehearsal's ways back are slower than allowed, or "".
func (r Record) TooSlow(within time.Duration) string {
	w, ok := r.Slowest()
	if !ok || within <= 0 || w.Seconds <= within.Seconds() {
		return ""
	}
	return fmt.Sprintf("its way back is too slow: %s, chain.yaml allows %s", w, within)
}

func tooSlow(why string) error {
	return &report.Failure{
		Code: report.Policy, ID: "E-REH-08", What: why, State: "production is untouched; the test stack is deleted",
		Next: []string{"make a smaller change of it", "or allow more: rollback.within in chain.yaml"},
	}
}
