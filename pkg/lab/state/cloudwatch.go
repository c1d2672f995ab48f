package state

import "time"

// Alarm is a metric or composite alarm. Config holds the definition with the API's member names.
type Alarm struct {
	Name, ARN string
	Composite bool
	Config    map[string]any
	State     string // "OK", "ALARM", "INSUFFICIENT_DATA"
	Reason    string
	Data      string    // StateReasonData
	StateSet  time.Time // when State became what it is
	Updated   time.Time // when Config did
	Tags      Tags
	Points    []Point   // of ended periods, oldest first
	Current   Point     // of the period under way
	PeriodEnd time.Time // of the period under way; zero: none yet
	// Parts are the metrics of an expression in the period under way, by id.
	Parts   map[string]Point `json:",omitempty"`
	History []AlarmEvent     `json:",omitempty"` // the newest last; older ones are forgotten
	// Told is the state whose actions were carried out last; a composite alarm with a
	// suppressor may be in another one and wait.
	Told     string    `json:",omitempty"`
	Held     string    `json:",omitempty"` // why it waits: "WaitPeriod", "Alarm", "ExtensionPeriod"
	HeldTill time.Time // end of a wait or extension period
}

// AlarmEvent is what became of an alarm at a moment.
type AlarmEvent struct {
	At                  time.Time
	Kind, Summary, Data string // Kind is a HistoryItemType
}

// Point is what was seen of a metric in one period. No sample, no data.
type Point struct {
	Start         time.Time
	Min, Max, Sum float64
	Samples       int64
}

// Metric is a metric that was put by hand, its newest values last.
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
	Points          []Point
}

// Dashboard as its JSON text.
type Dashboard struct {
	Name, Body string
	Modified   time.Time
}

// Topic of SNS.
type Topic struct {
	ARN, Name     string
	Attributes    map[string]string
	Subscriptions []*Subscription
	Messages      []Message // the newest last; older ones are forgotten
	Tags          Tags
}

// Message that was published to a topic.
type Message struct {
	ID, Subject, Text string
	Type              string `json:",omitempty"` // "" is Notification
	At                time.Time
}

// Subscription of a topic.
type Subscription struct {
	ARN, Protocol, Endpoint string
	Confirmed               bool
	Token                   string            `json:",omitempty"` // that confirms it
	Attributes              map[string]string `json:",omitempty"`
	Queue                   []Message         `json:",omitempty"` // not delivered yet
	Tries                   int               `json:",omitempty"` // of the first of them
	TryAt                   time.Time         // the next one, after a failed one
}

// Parameter of the SSM parameter store.
type Parameter struct {
	Name, Type, Value string
	Version           int64
	Former            []string // values of the versions before, the oldest first
	Modified          time.Time
}

// LogGroup of CloudWatch Logs.
type LogGroup struct {
	Name, ARN string
	Retention int64
	Created   time.Time
	Tags      Tags
}
