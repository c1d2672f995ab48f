package route53

import (
	"encoding/json"
	"time"
)

// HealthCheck as the API describes it.
type HealthCheck struct {
	Id, CallerReference string
	HealthCheckConfig   HealthCheckConfig
	HealthCheckVersion  int64
}

// HealthCheckConfig is what is checked, and how.
type HealthCheckConfig struct {
	IPAddress                    string           `json:",omitempty"`
	Port                         *int64           `json:",omitempty"`
	Type                         string           `json:",omitempty"`
	ResourcePath                 string           `json:",omitempty"`
	FullyQualifiedDomainName     string           `json:",omitempty"`
	SearchString                 string           `json:",omitempty"`
	RequestInterval              *int64           `json:",omitempty"`
	FailureThreshold             *int64           `json:",omitempty"`
	MeasureLatency               *bool            `json:",omitempty"`
	Inverted                     *bool            `json:",omitempty"`
	Disabled                     *bool            `json:",omitempty"`
	HealthThreshold              *int64           `json:",omitempty"`
	ChildHealthChecks            []string         `json:",omitempty" wire:",item=ChildHealthCheck"`
	EnableSNI                    *bool            `json:",omitempty"`
	Regions                      []string         `json:",omitempty" wire:",item=Region"`
	AlarmIdentifier              *AlarmIdentifier `json:",omitempty"`
	InsufficientDataHealthStatus string           `json:",omitempty"`
	RoutingControlArn            string           `json:",omitempty"`
}

// AlarmIdentifier names a CloudWatch alarm.
type AlarmIdentifier struct{ Region, Name string }

// members are those that are set, as they are kept.
func (c *HealthCheckConfig) members() map[string]any {
	m := map[string]any{}
	b, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		panic("route53: " + err.Error()) // texts and numbers
	}
	return m
}

// CreateHealthCheckInput asks for a health check.
type CreateHealthCheckInput struct {
	CallerReference   string
	HealthCheckConfig HealthCheckConfig
}

// CreateHealthCheckOutput is the new health check.
type CreateHealthCheckOutput struct {
	HealthCheck HealthCheck
	Location    string `wire:",header"`
}

// GetHealthCheckInput names a health check.
type GetHealthCheckInput struct{ HealthCheckId string }

// GetHealthCheckOutput is the health check.
type GetHealthCheckOutput struct{ HealthCheck HealthCheck }

// ListHealthChecksInput asks for one page of all health checks.
type ListHealthChecksInput struct {
	Marker   string `wire:"marker,query"`
	MaxItems *int64 `wire:"maxitems,query"`
}

// ListHealthChecksOutput is one page.
type ListHealthChecksOutput struct {
	HealthChecks []HealthCheck `wire:",item=HealthCheck"`
	Marker       string
	IsTruncated  bool
	NextMarker   string
	MaxItems     string
}

// UpdateHealthCheckInput changes the members that are given.
type UpdateHealthCheckInput struct {
	HealthCheckId                                                   string
	HealthCheckVersion                                              *int64
	IPAddress, ResourcePath, FullyQualifiedDomainName, SearchString string
	Port, FailureThreshold                                          *int64
	Inverted, Disabled, EnableSNI                                   *bool
	Regions                                                         []string `wire:",item=Region"`
}

// UpdateHealthCheckOutput is the health check as it is now.
type UpdateHealthCheckOutput struct{ HealthCheck HealthCheck }

// DeleteHealthCheckInput names a health check.
type DeleteHealthCheckInput struct{ HealthCheckId string }

// DeleteHealthCheckOutput is empty.
type DeleteHealthCheckOutput struct{}

// GetHealthCheckStatusInput names a health check.
type GetHealthCheckStatusInput struct{ HealthCheckId string }

// GetHealthCheckStatusOutput is what its probes found.
type GetHealthCheckStatusOutput struct {
	HealthCheckObservations []HealthCheckObservation `wire:",item=HealthCheckObservation"`
}

// HealthCheckObservation is what probes from one place found.
type HealthCheckObservation struct {
	Region, IPAddress string
	StatusReport      StatusReport
}

// StatusReport is the last probe.
type StatusReport struct {
	Status      string
	CheckedTime time.Time
}
