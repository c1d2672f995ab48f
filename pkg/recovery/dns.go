package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/release"
	"github.com/build-deploy-chain/chain/pkg/report"
	"github.com/build-deploy-chain/chain/pkg/stack"
)

// ttl of the domain's record, in seconds, as the template has it.
const ttl = 60

// zone is the hosted zone of a site, and what it says of a name.
type zone struct {
	id      string
	private bool
}

var errNoZone = errors.New("there is no such hosted zone")

func zoneOf(ctx context.Context, c *release.Chain) (zone, error) {
	name := c.Environment.Site.Zone
	p := route53.NewListHostedZonesPaginator(c.DNS, &route53.ListHostedZonesInput{})
	found := zone{}
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return zone{}, fmt.Errorf("list the hosted zones: %w", err)
		}
		for _, z := range page.HostedZones {
			private := z.Config != nil && z.Config.PrivateZone
			if strings.TrimSuffix(aws.ToString(z.Name), ".") == name && (found.id == "" || found.private) {
				found = zone{aws.ToString(z.Id), private}
			}
		}
	}
	if found.id == "" {
		return zone{}, errNoZone
	}
	return found, nil
}

// records are all of a name, of any type.
func (z zone) records(ctx context.Context, c *release.Chain, name string) ([]types.ResourceRecordSet, error) {
	var out []types.ResourceRecordSet
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String(z.id), StartRecordName: aws.String(name + ".")}
	for {
		page, err := c.DNS.ListResourceRecordSets(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the records of %s: %w", name, err)
		}
		for _, r := range page.ResourceRecordSets {
			if strings.TrimSuffix(aws.ToString(r.Name), ".") == name {
				out = append(out, r)
			}
		}
		last := len(page.ResourceRecordSets) - 1
		if !page.IsTruncated || last < 0 || strings.TrimSuffix(aws.ToString(page.ResourceRecordSets[last].Name), ".") != name {
			return out, nil
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = page.NextRecordName, page.NextRecordType, page.NextRecordIdentifier
	}
}

// plain is the A record among those of a name that can be led elsewhere; nil if
// there is none. The fault is what cannot be led by us.
func plain(name string, list []types.ResourceRecordSet) (*types.ResourceRecordSet, []Fault) {
	var a *types.ResourceRecordSet
	for _, r := range list {
		next := fmt.Sprintf("change it by hand in the hosted zone to a plain A record, or name another domain in chain.yaml  # %s %s", name, r.Type)
		switch {
		case r.Type == types.RRTypeCname:
			return nil, fault(next, "%s is an alias (CNAME) of another name, not ours to lead", name)
		case r.Type != types.RRTypeA && r.Type != types.RRTypeAaaa:
		case r.SetIdentifier != nil, r.AliasTarget != nil:
			return nil, fault(next, "%s has a record of type %s by a routing policy or an alias, which somebody else keeps", name, r.Type)
		case r.Type == types.RRTypeA:
			a = &r
		}
	}
	return a, nil
}

func values(r *types.ResourceRecordSet) []string {
	var out []string
	if r != nil {
		for _, v := range r.ResourceRecords {
			out = append(out, aws.ToString(v.Value))
		}
	}
	slices.Sort(out)
	return out
}

// leadsTo says whether the environment's domain leads to just these addresses.
func leadsTo(ctx context.Context, c *release.Chain, to []string) (bool, error) {
	z, err := zoneOf(ctx, c)
	if err != nil {
		return false, err
	}
	list, err := z.records(ctx, c, c.Environment.Domain)
	if err != nil {
		return false, err
	}
	a, _ := plain(c.Environment.Domain, list)
	return slices.Equal(values(a), slices.Sorted(slices.Values(to))), nil
}

// ours is the site's hosted zone, and why it is none that we could use.
func ours(ctx context.Context, c *release.Chain) (zone, []Fault, error) {
	site := c.Environment.Site
	z, err := zoneOf(ctx, c)
	switch {
	case errors.Is(err, errNoZone):
		return z, fault("aws route53 create-hosted-zone --name "+site.Zone+" --caller-reference dr  # then have the domain's registrar delegate it to its name servers",
			"the domain is not ours: account %s has no hosted zone %s", c.Target.Account, site.Zone), nil
	case err == nil && z.private:
		return z, fault("name a public hosted zone in chain.yaml", "the hosted zone %s is private, nobody outside asks it", site.Zone), nil
	}
	return z, nil, err
}

// domain refuses a zone that is not ours, and records that would be in the way.
func domain(ctx context.Context, run *pipeline.Run, s *State) ([]Fault, error) {
	c := s.Chain
	z, bad, err := ours(ctx, c)
	if err != nil || len(bad) > 0 {
		return bad, err
	}
	list, err := z.records(ctx, c, c.Environment.Domain)
	if err != nil {
		return nil, err
	}
	a, bad := plain(c.Environment.Domain, list)
	if len(bad) > 0 {
		return bad, nil
	}
	own := c.Environment.DomainIn(c.Place.Region)
	if own != c.Environment.Domain {
		switch {
		case a == nil:
			run.Note("%s leads nowhere yet", c.Environment.Domain)
		case aws.ToInt64(a.TTL) > 5*ttl:
			s.Report.find(fmt.Sprintf("the record of %s is kept for %d s: clients go to the old addresses for that long", c.Environment.Domain, aws.ToInt64(a.TTL)))
		}
		if list, err = z.records(ctx, c, own); err != nil {
			return nil, err
		}
		if a, bad = plain(own, list); len(bad) > 0 {
			return bad, nil
		}
	}
	if a == nil {
		return nil, nil
	}
	// CloudFormation creates a record, and never takes one over.
	if _, err := c.Stack().Status(ctx); !errors.Is(err, stack.ErrAbsent) {
		return nil, err
	}
	next := fmt.Sprintf(`aws route53 change-resource-record-sets --hosted-zone-id %s --change-batch '{"Changes":[{"Action":"DELETE","ResourceRecordSet":{"Name":%q,"Type":"A","TTL":%d,"ResourceRecords":[%s]}}]}'  # if nothing of it is in use`,
		strings.TrimPrefix(z.id, "/hostedzone/"), own+".", aws.ToInt64(a.TTL), quoted(values(a)))
	return fault(next, "%s has a record already (%s), which no stack here owns: CloudFormation would refuse to make it", own, strings.Join(values(a), ", ")), nil
}

func quoted(list []string) string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprintf(`{"Value":%q}`, v))
	}
	return strings.Join(out, ",")
}

// leading is the step that leads the domain to the new addresses.
type leading struct{}

func (leading) String() string { return "lead the domain here" }

func (leading) Skip(s *State) string {
	if s.Chain.Environment.DomainIn(s.Chain.Place.Region) == s.Chain.Environment.Domain {
		return "the stack has made the record itself"
	}
	return ""
}

func (leading) Run(ctx context.Context, run *pipeline.Run, s *State) error {
	was, err := lead(ctx, run, s.Chain, addresses(s.Release.Live))
	if err != nil {
		return err
	}
	s.Report.Was = was
	s.Report.mark(T5, s.Chain.Environment.Domain+" leads to the new addresses", s.Chain.Clock.Now())
	return nil
}

// lead makes the environment's domain lead to these addresses, and waits until
// all of Route 53's servers say so. It returns what they said before, and does
// nothing if that is the same.
func lead(ctx context.Context, run *pipeline.Run, c *release.Chain, to []string) ([]string, error) {
	name := c.Environment.Domain
	z, err := zoneOf(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := z.records(ctx, c, name)
	if err != nil {
		return nil, err
	}
	a, bad := plain(name, list)
	if len(bad) > 0 {
		return nil, refusal("the domain cannot be led", c, bad)
	}
	was := values(a)
	if slices.Equal(was, slices.Sorted(slices.Values(to))) {
		run.Note("%s leads here already", name)
		return was, nil
	}
	if len(to) == 0 {
		return nil, errors.New("there are no addresses to lead to")
	}
	set := &types.ResourceRecordSet{Name: aws.String(name + "."), Type: types.RRTypeA, TTL: aws.Int64(ttl)}
	for _, v := range to {
		set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: aws.String(v)})
	}
	out, err := c.DNS.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: aws.String(z.id),
		ChangeBatch:  &types.ChangeBatch{Comment: aws.String("chain " + c.Run), Changes: []types.Change{{Action: types.ChangeActionUpsert, ResourceRecordSet: set}}},
	})
	if err != nil {
		return was, &report.Failure{
			Code: report.NeedsHuman, ID: "E-DR-12", What: name + " could not be led to the new addresses", State: "production is up at " + strings.Join(to, ", ") + "; the domain leads to " + strings.Join(was, ", "),
			Next: []string{"the same command again  # it goes on where this one stopped"}, Err: err,
		}
	}
	run.Fact(name, strings.Join(was, ", ")+" -> "+strings.Join(to, ", "))
	return was, c.Target.Poll.Until(ctx, c.Clock, func(ctx context.Context) (bool, error) {
		g, err := c.DNS.GetChange(ctx, &route53.GetChangeInput{Id: out.ChangeInfo.Id})
		if err != nil {
			return false, fmt.Errorf("follow the change of %s: %w", name, err)
		}
		return g.ChangeInfo.Status == types.ChangeStatusInsync, nil
	})
}
