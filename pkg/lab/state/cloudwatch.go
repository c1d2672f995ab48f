package state

import "time"

// Alarm is a metric or composite alarm. Config holds the definition with the API's member names.
type Alarm struct {
	Name, ARN string
	Composite bool
	Config    map[string]any
	State     string // "OK", "ALARM", "INSUFFICIENT_DATA"
	Reason    string
	StateSet  time.Time
	Updated   time.Time
	Tags      Tags
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
	Tags          Tags
}

// Subscription of a topic.
type Subscription struct {
	ARN, Protocol, Endpoint string
	Confirmed               bool
}

// Parameter of the SSM parameter store.
type Parameter struct {
	Name, Type, Value string
	Version           int64
	Modified          time.Time
}

// LogGroup of CloudWatch Logs.
type LogGroup struct {
	Name, ARN string
	Retention int64
	Created   time.Time
	Tags      Tags
}
