package core

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// The kinds of faults; Faults tells what each does.
const (
	FaultThrottle      = "throttle"
	FaultError         = "error"
	FaultLostAnswer    = "lost-answer"
	FaultSlow          = "slow"
	FaultStale         = "stale"
	FaultUnknownStatus = "unknown-status"
	FaultDuplicate     = "duplicate"
	FaultSmallPages    = "small-pages"
	FaultSignalLate    = "signal-late"
	FaultSignalLost    = "signal-lost"
	FaultNoCapacity    = "no-capacity"
	FaultMachine       = "machine"
	FaultRollback      = "rollback-failure"
	FaultEmpty         = "empty-change-set"
	FaultObsolete      = "obsolete-change-set"
	FaultImageGone     = "image-gone"
	FaultAlarm         = "alarm"
)

// FaultKind is a row of the table of faults, from which they are checked, listed
// and documented.
type FaultKind struct {
	Name string
	What string // what it does
	To   string // what it happens to: "call", "machine" or "stack"
	// Action is the only one meant unless a fault matches on another; "": all.
	Action string   `json:",omitempty"`
	Match  []string // what can be matched, beside what all of its sort can
	Args   []FaultArg
}

// FaultArg is what a fault can be told.
type FaultArg struct {
	Name, Kind, What string // Kind is "duration" (not divided by the lab's factor), "boolean", "number" or "text"
	Needed           bool
}

// Faults is the table of faults.
var Faults = []FaultKind{
	{Name: FaultThrottle, To: "call", What: "answers with the service's throttling error"},
	{Name: FaultError, To: "call", What: "answers with an error", Args: []FaultArg{
		{"code", "text", "its code", true}, {"message", "text", "its message", false}, {"status", "number", "HTTP status, 400 unless told", false},
	}},
	{Name: FaultLostAnswer, To: "call", What: "lets the call have its effect, then cuts the connection instead of answering", Args: []FaultArg{
		{"before", "boolean", "the call never happens", false},
	}},
	{Name: FaultSlow, To: "call", What: "holds the call back before it has any effect", Args: []FaultArg{{"delay", "duration", "how long", true}}},
	{Name: FaultStale, To: "call", Action: "DescribeStacks", What: "answers from the world as it was before the last changing call"},
	{Name: FaultUnknownStatus, To: "call", Action: "DescribeStacks", What: "puts a text into each member of that name in the answer", Args: []FaultArg{
		{"field", "text", "name of the member, StackStatus unless told: ResourceStatusReason of an event, Replacement of a change, …", false}, {"value", "text", "the text, UNKNOWN_TO_YOU unless told", false},
	}},
	{Name: FaultDuplicate, To: "call", Action: "DescribeStackEvents", What: "tells each item of the answer's lists twice"},
	{Name: FaultSmallPages, To: "call", Action: "DescribeStackEvents", What: "makes pages small", Args: []FaultArg{{"size", "number", "items of a page, 1 unless told", false}}},
	{Name: FaultSignalLate, To: "call", Action: "SignalResource", What: "holds a signal back, so that it may come too late", Args: []FaultArg{{"delay", "duration", "how long", true}}},
	{Name: FaultSignalLost, To: "stack", Match: []string{"logical", "instance", "status"}, What: "answers a signal as if it were taken, and forgets it"},
	{Name: FaultNoCapacity, To: "machine", What: "refuses new instances with InsufficientInstanceCapacity"},
	{Name: FaultMachine, To: "machine", What: "spoils a new machine", Args: []FaultArg{
		{"delay", "duration", "boots that much later", false},
		{"never", "boolean", "never boots", false},
		{"die", "duration", "stops after that time", false},
		{"broken", "boolean", "its pages answer 500, so that its target never gets healthy", false},
		{"script", "text", "run as root at its first boot, on Docker", false},
	}},
	{Name: FaultRollback, To: "stack", Match: []string{"logical", "type"}, What: "makes a resource fail while its stack rolls back, which ends in UPDATE_ROLLBACK_FAILED", Args: []FaultArg{{"message", "text", "the reason", false}}},
	{Name: FaultEmpty, To: "stack", Match: []string{"change-set"}, What: "makes a change set fail as if nothing changed", Args: []FaultArg{
		{"text", "text", "which of AWS's two texts for it: changes (unless told) or updates", false},
	}},
	{Name: FaultObsolete, To: "stack", Match: []string{"change-set"}, What: "makes a change set OBSOLETE as it is executed, as if somebody had updated the stack before"},
	{Name: FaultImageGone, To: "stack", Match: []string{"change-set"}, What: "deregisters the images that a change set brings as it is executed, as if somebody had since the plan"},
	{Name: FaultAlarm, To: "stack", Match: []string{"alarm"}, What: "turns a rollback trigger of the stack to ALARM in the monitoring window"},
}

// FaultMatches is what a fault can match of a call, a machine or a stack. Values
// may hold the wildcards * and ?.
var FaultMatches = map[string][]string{
	"call":    {"service", "action", "region", "stack", "logical", "image", "instance", "group", "MEMBER"}, // MEMBER of the request, by its own name
	"machine": {"stack", "logical", "group", "image", "image-name", "type", "zone", "region", "subnet", "key", "template", "version", "tag:KEY"},
	"stack":   {"stack"},
}

// matches says whether a fault of the kind can match on a name.
func (k *FaultKind) matches(name string) bool {
	return slices.Contains(FaultMatches[k.To], name) || slices.Contains(k.Match, name) ||
		k.To == "machine" && strings.HasPrefix(name, "tag:") || k.To == "call" && name != "" && unicode.IsUpper(rune(name[0]))
}

// known is all that a fault of the kind can be told.
func (k *FaultKind) known() []string {
	list := slices.Concat(FaultMatches[k.To], k.Match)
	for _, a := range k.Args {
		list = append(list, a.Name)
	}
	return list
}

func (k *FaultKind) arg(name string) *FaultArg {
	for i := range k.Args {
		if k.Args[i].Name == name {
			return &k.Args[i]
		}
	}
	return nil
}

func faultKind(name string) (*FaultKind, error) {
	var names []string
	for i := range Faults {
		if Faults[i].Name == name {
			return &Faults[i], nil
		}
		names = append(names, Faults[i].Name)
	}
	return nil, fmt.Errorf("there is no fault %q%s", name, nearest(name, names))
}

// nearest suggests the names that look most like one that is wrong, else all.
func nearest(name string, names []string) string {
	var close []string
	for _, n := range names {
		if strings.HasPrefix(n, name) || strings.HasPrefix(name, n) || distance(name, n) <= max(len(name)/3, 1) {
			close = append(close, n)
		}
	}
	if name != "" && len(close) > 0 {
		return "; did you mean " + strings.Join(close, " or ") + "?"
	}
	return "; there are " + strings.Join(names, ", ")
}

// distance is how many letters must be put in, left out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// NewFault makes a fault of words KEY=VALUE: times=N (1 unless told, or forever),
// for=DURATION, what it matches and what it is told.
func NewFault(now time.Time, kind string, words ...string) (state.Fault, error) {
	f := state.Fault{Kind: kind, Match: map[string]string{}, Args: map[string]string{}}
	k, err := faultKind(kind)
	if err != nil {
		return f, err
	}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok:
			return f, fmt.Errorf("fault %s: %q is not of the form KEY=VALUE", kind, w)
		case name == "times" && value == "forever":
			f.Times = -1
		case name == "times":
			if f.Times, err = strconv.Atoi(value); err != nil || f.Times < 1 {
				return f, fmt.Errorf("fault %s: times %q is neither a number above 0 nor forever", kind, value)
			}
		case name == "for":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return f, fmt.Errorf("fault %s: for %q is no duration", kind, value)
			}
			f.Until = now.Add(d)
		case k.arg(name) != nil:
			f.Args[name] = value
		default:
			f.Match[name] = value
		}
	}
	if f.Times == 0 && !f.Until.IsZero() {
		f.Times = -1 // as often as it may, in that time
	}
	return f, k.check(f)
}

// check says what is wrong with a fault of the kind.
func (k *FaultKind) check(f state.Fault) error {
	for name := range f.Match {
		if !k.matches(name) {
			return fmt.Errorf("fault %s has nothing named %q%s", k.Name, name, nearest(name, append(k.known(), "times", "for")))
		}
	}
	for name, value := range f.Args {
		a := k.arg(name)
		if a == nil {
			return fmt.Errorf("fault %s cannot be told %q%s", k.Name, name, nearest(name, k.known()))
		}
		switch a.Kind {
		case "duration":
			if d, err := time.ParseDuration(value); err != nil || d < 0 {
				return fmt.Errorf("fault %s: %s %q is no duration", k.Name, name, value)
			}
		case "boolean":
			if _, err := strconv.ParseBool(value); err != nil {
				return fmt.Errorf("fault %s: %s %q is neither true nor false", k.Name, name, value)
			}
		case "number":
			if n, err := strconv.Atoi(value); err != nil || n < 1 {
				return fmt.Errorf("fault %s: %s %q is no number above 0", k.Name, name, value)
			}
		}
	}
	for _, a := range k.Args {
		if a.Needed && f.Args[a.Name] == "" {
			return fmt.Errorf("fault %s needs %s (%s)", k.Name, a.Name, a.What)
		}
	}
	if text := f.Args["text"]; k.Name == FaultEmpty && text != "" && text != "changes" && text != "updates" {
		return fmt.Errorf("fault %s: text %q is neither changes nor updates", k.Name, text)
	}
	return nil
}

// AddFault checks a fault, completes it (Times 0 means 1) and puts it in the
// world. It returns the fault's id.
func (tx *Tx) AddFault(f state.Fault) (string, error) {
	k, err := faultKind(f.Kind)
	if err != nil {
		return "", err
	}
	if err := k.check(f); err != nil {
		return "", err
	}
	n := f
	n.Match = map[string]string{}
	maps.Copy(n.Match, f.Match)
	if k.Action != "" && n.Match["action"] == "" {
		n.Match["action"] = k.Action
	}
	if n.Times == 0 {
		n.Times = 1
	}
	if n.ID == "" {
		n.ID = "fault-" + Hex(8)
	}
	tx.World.Faults = append(tx.World.Faults, &n)
	return n.ID, nil
}

// Fault finds the first fault of the kind that applies to attrs and uses it up
// by one. Every entry of the fault's Match must be in attrs and match it, with *
// and ? as wildcards; an empty Match applies to everything. nil: no fault.
func (tx *Tx) Fault(kind string, attrs map[string]string) *state.Fault {
	for k, f := range tx.World.Faults {
		if f.Kind != kind || f.Times == 0 || (!f.Until.IsZero() && tx.Now.After(f.Until)) {
			continue
		}
		ok := true
		for name, pattern := range f.Match {
			v, has := attrs[name]
			ok = ok && has && Wildcard(pattern, v)
		}
		if !ok {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		found := *f
		if f.Times == 0 {
			tx.World.Faults = slices.Delete(tx.World.Faults, k, k+1)
		}
		return &found
	}
	return nil
}

// FaultDuration is a fault's argument as a duration, 0 without one.
func FaultDuration(f *state.Fault, name string) time.Duration {
	d, _ := time.ParseDuration(f.Args[name])
	return d
}

// FaultFlag is a fault's argument as a boolean.
func FaultFlag(f *state.Fault, name string) bool {
	b, _ := strconv.ParseBool(f.Args[name])
	return b
}
