package state

import "time"

// LoadBalancer is a Network Load Balancer.
type LoadBalancer struct {
	ARN, Name, DNSName, ZoneID  string
	Scheme, Type, IPType, VPCID string
	State                       string // "provisioning", "active", "failed"
	Created                     time.Time
	ActiveAt                    time.Time
	Subnets                     []LoadBalancerSubnet
	SecurityGroups              []string
	Attributes                  map[string]string
	Tags                        Tags
}

// LoadBalancerSubnet is one zone of a load balancer.
type LoadBalancerSubnet struct {
	SubnetID, AZ, AllocationID, PublicIP string
	PrivateIP                            string
}

// Listener takes connections of a load balancer.
type Listener struct {
	ARN, LoadBalancer string
	Port              int64
	Protocol          string
	TargetGroup       string // ARN
	Certificates      []string
	SSLPolicy         string
	ALPN              []string
	Tags              Tags
}

// TargetGroup and its targets.
type TargetGroup struct {
	ARN, Name, Protocol, VPCID, TargetType, IPType string
	Port                                           int64
	Check                                          HealthCheck
	Attributes                                     map[string]string
	Targets                                        map[string]*Target // by "instance id:port"
	Tags                                           Tags
}

// HealthCheck of a target group; Interval and Timeout as AWS states them.
type HealthCheck struct {
	Enabled              bool
	Protocol, Port, Path string
	Matcher              string // "200", "200-399"
	Interval, Timeout    time.Duration
	HealthyAfter         int64
	UnhealthyAfter       int64
}

// Target is one registered instance.
type Target struct {
	ID          string
	Port        int64
	State       string // "initial", "healthy", "unhealthy", "draining", "unused"
	Reason      string
	Description string
	Registered  time.Time
	Since       time.Time // when State became what it is
	Served      bool      // it was healthy before it became unhealthy or draining
	Draining    time.Time // when deregistration began
	Good, Bad   int64     // checks in a row, counted up to the threshold
	NextCheck   time.Time `json:"-"`
}
