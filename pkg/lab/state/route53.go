package state

import "time"

// HostedZone and its records.
type HostedZone struct {
	ID, Name, CallerReference, Comment string // ID without "/hostedzone/"; Name with the last dot
	Records                            []*Record
	Tags                               Tags
}

// Record is a resource record set.
type Record struct {
	Name, Type    string // Name with the last dot, lower case
	TTL           int64
	Values        []string
	AliasZone     string
	AliasName     string
	AliasEvaluate bool
	SetIdentifier string
	Weight        *int64
}

// ZoneChange is a change of records under way.
type ZoneChange struct {
	ID, Comment string
	Submitted   time.Time
	InSyncAt    time.Time
}

// OutsideCheck is a Route 53 health check of an endpoint.
type OutsideCheck struct {
	ID, CallerReference string
	Version             int64
	Config              map[string]any // as the API has it
	Tags                Tags

	// What was found. One that has not been decided yet counts as healthy.
	Bad      bool
	Streak   int64 // probes in a row that say otherwise
	Last     string
	LastAt   time.Time
	NextAt   time.Time
	Observed bool
}
