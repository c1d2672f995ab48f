package state

import "time"

// Bucket of S3.
type Bucket struct {
	Name, Region string
	Created      time.Time
	Versioning   string // "", "Enabled" or "Suspended"
	Lock         bool   // object lock
	LockMode     string // of objects that say nothing else: "", "GOVERNANCE" or "COMPLIANCE"
	LockDays     int
	Private      map[string]bool             // the four parts of a public access block; nil: there is none
	Objects      map[string][]*ObjectVersion // by key, the oldest first
}

// ObjectVersion is a version of an object. Without versioning there is one, whose ID is "null".
type ObjectVersion struct {
	ID       string
	Marker   bool   // that the object was deleted
	Content  string // SHA-256 of the content, which is kept apart
	Size     int64
	ETag     string
	Modified time.Time
	Header   map[string]string // what comes back with the content: its type, metadata, checksums
	Mode     string            // of its object lock
	Until    time.Time
}
