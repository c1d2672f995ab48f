package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var pagePath = regexp.MustCompile(`^/[A-Za-z0-9._~/-]+$`)

// Recovery is what an environment promises for the day when it is lost, and who
// is called then.
type Recovery struct {
	// RTO is how long a recovery may take until the page is verified, RPO how old
	// the newest restored data may be. An hour, and twice Backup, unless told.
	RTO, RPO time.Duration
	// Backup is how often dr:backup saves the data, an hour unless told; what is
	// saved each time is kept for a day, and one of each day for Keep days.
	Backup time.Duration
	Keep   int
	// CI is how old the newest backup of the CI server may be; 0: it makes none here.
	CI time.Duration
	// Inputs from outside the repository that a recovery may use, beside those of
	// each: names of CHAIN_ variables, and of files.
	Inputs []string
	// Heartbeat is the path of a page whose first line is when the newest of the rows
	// was written that production writes into the database each minute, RFC 3339; what
	// the asked machines write themselves after a restore does not count. "": there is none.
	Heartbeat string
	Contacts  []string // whom the runbook names, a line each
	Akamai    *Akamai  // nil: there is none in front
}

// Akamai is the property that delivers an environment's pages.
type Akamai struct {
	Hostname string   // one that it serves
	Origins  []string // names that it may fetch from now, beside the environment's own
	Notify   []string // e-mail addresses that Akamai tells of an activation
	Section  string   // of ~/.edgerc; "" is the default one
	Edge     string   // the edge host name that Hostname is an alias of, "www.example.com.edgekey.net"; "": staging is not looked at
	// Record is a name in Zone, both of Edge DNS, that the property fetches from and
	// that a recovery leads to the new addresses; "": there is none.
	Record, Zone string
}

// StagingEdge is the same edge host on Akamai's staging network, "" if Edge is.
func (a *Akamai) StagingEdge() string {
	return edgeName.ReplaceAllString(a.Edge, "$1.$2-staging.net")
}

var edgeName = regexp.MustCompile(`^([a-z0-9.-]+)\.(edgekey|edgesuite)\.net$`)

// recovery reads what an environment says about its loss.
func (r *reader) recovery(m *node) Recovery {
	out := Recovery{RTO: time.Hour, Backup: time.Hour, Keep: 35}
	n := m.child("recovery", false)
	if n == nil {
		out.RPO = 2 * out.Backup
		return out
	}
	n.duration("rto", &out.RTO, 30*24*time.Hour)
	n.duration("backup", &out.Backup, 24*time.Hour)
	out.RPO = 2 * out.Backup
	n.duration("rpo", &out.RPO, 30*24*time.Hour)
	if out.RPO < out.Backup {
		n.r.fault(n.line("rpo"), n.at("rpo"), "%s cannot be kept with a backup every %s (recovery.backup)", out.RPO, out.Backup)
	}
	n.number("keep", &out.Keep, 1, 365, false)
	n.duration("ci", &out.CI, 30*24*time.Hour)
	if n.get("inputs") != nil {
		n.list("inputs", &out.Inputs, notEmpty)
	}
	n.text("heartbeat", &out.Heartbeat, like(pagePath, "a path like /heartbeat"))
	if n.get("contacts") != nil {
		n.list("contacts", &out.Contacts, notEmpty)
	}
	if a := n.child("akamai", false); a != nil {
		out.Akamai = &Akamai{}
		a.need("hostname", &out.Akamai.Hostname, like(domainName, "a domain name in lower case"))
		a.list("notify", &out.Akamai.Notify, notEmpty)
		if a.get("origins") != nil {
			a.list("origins", &out.Akamai.Origins, like(domainName, "a domain name in lower case"))
		}
		a.text("section", &out.Akamai.Section, notEmpty)
		a.text("edge", &out.Akamai.Edge, like(edgeName, "an edge host name, NAME.edgekey.net or NAME.edgesuite.net"))
		a.text("record", &out.Akamai.Record, like(domainName, "a domain name in lower case"))
		a.text("zone", &out.Akamai.Zone, like(domainName, "a domain name in lower case"))
		if r, z := out.Akamai.Record, out.Akamai.Zone; (r == "") != (z == "") || r != "" && r != z && !strings.HasSuffix(r, "."+z) {
			a.r.fault(a.line("record"), a.at("record"), "must be a name in the zone that akamai.zone names")
		}
		a.rest()
	}
	n.rest()
	return out
}

// DomainIn is the name that the environment's stack in a region answers to, and
// owns a record of. One name is of one stack: in its first region the
// environment has its domain, in any other a name of that region's own, and a
// recovery leads the domain there.
func (e *Environment) DomainIn(region string) string {
	if region == e.Regions[0] {
		return e.Domain
	}
	return fmt.Sprintf("%s-%s.%s", e.Stack(), region, e.Site.Zone)
}
