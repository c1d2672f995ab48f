// Package state is the lab's world as plain values: what EC2, CloudFormation
// and the other services know, and where each operation under way has got to.
// The whole of it is one versioned JSON snapshot, but for what never changes again.
//
// A file belongs to the service of its name, which alone changes those values;
// every other service reads them and calls that service's functions.
package state

import (
	"strings"
	"time"
)

// Version of the snapshot's layout. A snapshot of another version is refused.
const Version = 1

// World is everything.
type World struct {
	Version  int
	Lab      string // id of this lab: every container, image and network is labelled with it
	Account  string
	Regions  map[string]*Region
	Zones    map[string]*HostedZone   // Route 53 is global: by zone id
	Changes  map[string]*ZoneChange   // Route 53 changes, by change id
	Checks   map[string]*OutsideCheck // Route 53 health checks, by id
	Roles    map[string]*Role         // IAM is global: by name
	Profiles map[string]*Profile      // by name
	Buckets  map[string]*Bucket       // of S3, whose names are everybody's
	Faults   []*Fault
}

// Role is an IAM role, its policies as given.
type Role struct {
	Name, ARN, ID, Path, AssumeRolePolicy string
	Policies                              map[string]string
	Managed                               []string
	Created                               time.Time
	Description                           string
	Tags                                  Tags
}

// Profile is an IAM instance profile.
type Profile struct {
	Name, ARN, ID, Path string
	Roles               []string
	Created             time.Time
	Tags                Tags
}

// New is an empty world.
func New(lab, account string) *World {
	w := &World{Version: Version, Lab: lab, Account: account}
	w.Init()
	return w
}

// Init makes the maps that a snapshot may lack.
func (w *World) Init() {
	ensure(&w.Regions)
	ensure(&w.Zones)
	ensure(&w.Changes)
	ensure(&w.Checks)
	ensure(&w.Roles)
	ensure(&w.Profiles)
	ensure(&w.Buckets)
	for _, r := range w.Regions {
		r.init()
	}
}

// Ended is a part of the world that never changes again. It is no part of the
// snapshot, which would carry it around for ever, but kept by itself.
type Ended struct {
	Region string
	Stack  *Stack
}

// Ended are all of those parts, by a name that can be a file's.
func (w *World) Ended() map[string]Ended {
	all := map[string]Ended{}
	for name, r := range w.Regions {
		for id, st := range r.Deleted {
			all[name+"-"+id[strings.LastIndex(id, "/")+1:]] = Ended{Region: name, Stack: st}
		}
	}
	return all
}

// Restore puts a part back that was kept by itself. What the snapshot has, too, had not come to that.
func (w *World) Restore(e Ended) {
	r := w.Region(e.Region)
	if r.Stacks[e.Stack.ID] == nil {
		r.Deleted[e.Stack.ID] = e.Stack
	}
}

// Region is the region of that name, made when it is new.
func (w *World) Region(name string) *Region {
	r := w.Regions[name]
	if r == nil {
		r = &Region{Name: name}
		r.init()
		w.Regions[name] = r
	}
	return r
}

// Region is what one region holds.
type Region struct {
	Name   string
	Seeded bool                 // its default VPC and base image were made
	Trash  map[string]time.Time // images of the runtime that no AMI has any more -> when to drop them

	// ec2.go
	Images           map[string]*Image
	Snapshots        map[string]*Snapshot
	Volumes          map[string]*Volume
	Instances        map[string]*Instance
	KeyPairs         map[string]*KeyPair // by name
	SecurityGroups   map[string]*SecurityGroup
	VPCs             map[string]*VPC
	Subnets          map[string]*Subnet
	RouteTables      map[string]*RouteTable
	InternetGateways map[string]*InternetGateway
	Addresses        map[string]*Address // by allocation id
	LaunchTemplates  map[string]*LaunchTemplate

	// elb.go
	LoadBalancers map[string]*LoadBalancer // by ARN
	TargetGroups  map[string]*TargetGroup  // by ARN
	Listeners     map[string]*Listener     // by ARN

	// autoscaling.go
	Groups map[string]*Group // by name

	// rds.go, all by name
	DBInstances       map[string]*DBInstance
	DBSnapshots       map[string]*DBSnapshot
	DBSubnetGroups    map[string]*DBSubnetGroup
	DBParameterGroups map[string]*DBParameterGroup

	// cloudwatch.go, sns.go, ssm.go
	Alarms     map[string]*Alarm // by name
	Dashboards map[string]*Dashboard
	Metrics    map[string]*Metric // put by hand
	MeasureAt  time.Time          // when the machines are measured next
	Topics     map[string]*Topic  // by ARN
	Parameters map[string]*Parameter
	LogGroups  map[string]*LogGroup

	// cloudformation.go
	Stacks     map[string]*Stack     // by stack id (ARN)
	Deleted    map[string]*Stack     `json:"-"` // those deleted, which never change again: see Ended
	ChangeSets map[string]*ChangeSet // by change set id (ARN)
}

func (r *Region) init() {
	ensure(&r.Trash)
	ensure(&r.Images)
	ensure(&r.Snapshots)
	ensure(&r.Volumes)
	ensure(&r.Instances)
	ensure(&r.KeyPairs)
	ensure(&r.SecurityGroups)
	ensure(&r.VPCs)
	ensure(&r.Subnets)
	ensure(&r.RouteTables)
	ensure(&r.InternetGateways)
	ensure(&r.Addresses)
	ensure(&r.LaunchTemplates)
	ensure(&r.LoadBalancers)
	ensure(&r.TargetGroups)
	ensure(&r.Listeners)
	ensure(&r.Groups)
	ensure(&r.DBInstances)
	ensure(&r.DBSnapshots)
	ensure(&r.DBSubnetGroups)
	ensure(&r.DBParameterGroups)
	ensure(&r.Alarms)
	ensure(&r.Dashboards)
	ensure(&r.Metrics)
	ensure(&r.Topics)
	ensure(&r.Parameters)
	ensure(&r.LogGroups)
	ensure(&r.Stacks)
	ensure(&r.Deleted)
	ensure(&r.ChangeSets)
}

func ensure[K comparable, V any](m *map[K]V) {
	if *m == nil {
		*m = map[K]V{}
	}
}

// Tags of a resource.
type Tags map[string]string

// Fault is something that shall go wrong, asked for by a test or a person. Its
// kinds stand in pkg/lab/core.
type Fault struct {
	ID    string
	Kind  string            // "throttle", "lost-answer", "error", "stale", "machine", "no-capacity", …
	Match map[string]string // what it applies to: service, action, stack, logical, instance, image, …; values may hold * wildcards
	Args  map[string]string // how: code, message, delay, script, …
	Times int               // how often it still applies; negative: for ever
	Until time.Time         // zero: no end
}
