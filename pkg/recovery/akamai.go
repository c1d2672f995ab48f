package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/edge"
	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/verify"
)

// ourOrigins are the names that Akamai may fetch this environment's pages from.
func (s *State) ourOrigins() []string {
	e := s.Chain.Environment
	out := append([]string{e.Domain}, e.Recovery.Akamai.Origins...)
	if r := e.Recovery.Akamai.Record; r != "" {
		out = append(out, r)
	}
	for _, region := range e.Regions {
		out = append(out, e.DomainIn(region))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// akamai refuses a property that is not ours to change, or cannot be changed now.
func akamai(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	e := s.Chain.Environment
	a := e.Recovery.Akamai
	if a == nil {
		return nil, nil
	}
	if s.Akamai == nil {
		return nil, errors.New("nobody opened Akamai's API")
	}
	client, err := s.Akamai()
	if err != nil {
		return fault("write ~/.edgerc as Akamai's Identity and Access Management gives it, or set AKAMAI_HOST and the others", "%v", err), nil
	}
	p, err := client.Look(ctx, a.Hostname)
	var missing *edge.NotFoundError
	var refused *edge.Error
	switch {
	case errors.As(err, &missing):
		return fault("name a host name of one of your properties as recovery.akamai.hostname in chain.yaml, or leave akamai out", "%v", err), nil
	case errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 401 || refused.Status == 403):
		return fault("check ~/.edgerc and this machine's clock, which may be wrong by half a minute", "Akamai does not let us in: %v", err), nil
	case err != nil:
		return nil, err
	}
	s.Report.input("Akamai", fmt.Sprintf("property %s, version %d", p.Name, p.Version))
	ours := s.ourOrigins()
	var names []string
	for _, o := range p.Origins {
		names = append(names, o.Hostname)
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(ours, n) }) {
		return fault("have its origin be "+e.Domain+", or name the origins that are ours as recovery.akamai.origins in chain.yaml",
			"the property %s fetches from %s, none of which is %s's", p.Name, strings.Join(names, ", "), e.Stack()), nil
	}
	if a.Record != "" {
		s.akamai, s.record = client, true
		return recordFaults(ctx, run, client, a, names)
	}
	if len(p.Places(ours, e.Domain)) == 0 {
		run.Note("the property %s fetches from %s, which Route 53 leads: nothing is changed at Akamai", p.Name, e.Domain)
		return nil, nil
	}
	s.akamai = client
	for _, one := range p.Pending {
		lock := &edge.LockedError{Property: p.Name, By: one}
		return fault("wait for it, or have whoever began it cancel it in Akamai's Property Manager", "%v", lock), nil
	}
	run.Note("the property %s is given a new version that fetches from %s", p.Name, e.Domain)
	return nil, nil
}

// recordFaults are what keeps the name in Edge DNS from being led, which the
// property fetches from.
func recordFaults(ctx context.Context, run *pipeline.Run, client *edge.Client, a *config.Akamai, fetches []string) ([]Fault, error) {
	if !slices.Contains(fetches, a.Record) {
		return fault("have the property's origin be "+a.Record+", or leave akamai.record out", "the property of %s fetches from %s, not from %s", a.Hostname, strings.Join(fetches, ", "), a.Record), nil
	}
	r, err := client.Record(ctx, a.Zone, a.Record)
	var refused *edge.Error
	switch {
	case errors.Is(err, edge.ErrNotPlain):
		return fault("change it in Edge DNS to an A record", "%v", err), nil
	case errors.As(err, &refused) && refused.Status == 404:
		return fault("name a zone of your Edge DNS as recovery.akamai.zone in chain.yaml", "the zone %s is not ours in Edge DNS: %v", a.Zone, err), nil
	case err != nil:
		return nil, err
	}
	run.Note("%s leads to %s in Edge DNS, and is led here: the property stays as it is", a.Record, strings.Join(append(r.Addresses, "nothing")[:max(1, len(r.Addresses))], ", "))
	return nil, nil
}

// fetching is the step that has Akamai fetch from the environment's domain.
type fetching struct{}

func (fetching) String() string { return "have Akamai fetch from here" }

func (fetching) Skip(s *State) string {
	switch {
	case s.Chain.Environment.Recovery.Akamai == nil:
		return "chain.yaml names no property"
	case s.akamai == nil:
		return "it fetches from a name that Route 53 leads"
	}
	return ""
}

func (fetching) Run(ctx context.Context, run *pipeline.Run, s *State) error {
	c := s.Chain
	a := c.Environment.Recovery.Akamai
	run.Await("Akamai's networks")
	defer run.Await("")
	if s.record {
		was, err := s.akamai.LeadRecord(ctx, a.Zone, a.Record, ttl, addresses(s.Release.Live))
		if err != nil {
			return err
		}
		s.Report.mark(T5, fmt.Sprintf("%s leads to the new addresses in Edge DNS, it was %s", a.Record, strings.Join(was.Addresses, ", ")), c.Clock.Now())
		return nil
	}
	r, err := s.akamai.Lead(ctx, edge.Change{
		Hostname: a.Hostname, Ours: s.ourOrigins(), To: c.Environment.Domain, Notify: a.Notify, Note: fmt.Sprintf("recovery of %s, release %d", c.Environment.Stack(), s.number()),
		Check: func(ctx context.Context, network string) error {
			checker := verify.Checker{Dial: c.Target.Dial, Clock: c.Clock}
			if network == edge.Staging {
				if a.Edge == "" {
					s.Report.find("the page was not looked at on Akamai's staging network: recovery.akamai.edge names the edge host")
					return nil
				}
				return checker.Serves(ctx, verify.Expect{Domain: a.Hostname, Addresses: []string{a.StagingEdge()}})
			}
			return checker.Serves(ctx, verify.Expect{Domain: a.Hostname, Addresses: []string{a.Hostname}})
		},
		Tell: run.Note,
	})
	if err != nil {
		return err
	}
	s.Report.mark(T5, fmt.Sprintf("version %d of Akamai's property %s fetches from %s, it was %d", r.Now, r.Property, c.Environment.Domain, r.Was), c.Clock.Now())
	return nil
}
