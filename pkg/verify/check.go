package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Expect is what an environment shall look like.
type Expect struct {
	Domain    string   // of the page
	Zone      string   // hosted zone that holds it; "": the DNS answer is not checked
	Addresses []string // its Elastic IPs; each is asked
	Keys      []string // image keys that /version may tell: one at rest, two during a roll
	Text      string   // what the page holds; "" is "Hello World"
	Each      int      // connections to each address; 0 is 4: the balancer picks an instance for each
}

// Checker looks at environments.
type Checker struct {
	Dial    Dial
	DNS     *route53.Client // asks Route 53 itself, not a resolver with a cache
	Clock   clock.Clock     // nil: the system's
	Timeout time.Duration   // of one request; 0 is 10 s
}

// A Finding is one check and what came of it.
type Finding struct {
	Name string        `json:"name"`
	Bad  string        `json:"bad,omitempty"` // "": it holds
	Took time.Duration `json:"took_ns"`
}

// Findings of a Check.
type Findings []Finding

// Err is every finding that does not hold, nil if all do.
func (f Findings) Err() error {
	var errs []error
	for _, one := range f {
		if one.Bad != "" {
			errs = append(errs, fmt.Errorf("%s: %s", one.Name, one.Bad))
		}
	}
	return errors.Join(errs...)
}

// Check asks once for everything expected. The error is Findings.Err's, or
// ctx's; what was found by then is returned with it.
func (c Checker) Check(ctx context.Context, e Expect) (Findings, error) {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if e.Text == "" {
		e.Text = "Hello World"
	}
	if e.Each <= 0 {
		e.Each = 4
	}
	if len(e.Addresses) == 0 {
		return nil, errors.New("no addresses to check")
	}
	if len(e.Keys) == 0 {
		return nil, errors.New("no image key to expect")
	}
	type check struct {
		name string
		look func() error
	}
	var checks []check
	add := func(name string, look func() error) { checks = append(checks, check{name, look}) }
	if e.Zone != "" {
		add("Route 53 answers "+e.Domain, func() error { return c.record(ctx, e) })
	}
	h := &client{c.Dial, c.Clock, c.Timeout}
	for _, a := range e.Addresses {
		add("page at "+a, func() error { return page(ctx, h, a, e) })
		add("version at "+a, func() error { return version(ctx, h, a, e) })
	}
	add("page at "+e.Domain, func() error { return page(ctx, h, e.Domain, e) })
	out := make(Findings, len(checks))
	var wg sync.WaitGroup
	for i, one := range checks { // side by side: each of them mostly waits for its answers
		wg.Go(func() {
			start := c.Clock.Now()
			out[i].Name = one.name
			if err := one.look(); err != nil {
				out[i].Bad = err.Error()
			}
			out[i].Took = c.Clock.Now().Sub(start)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return out, context.Cause(ctx)
	}
	return out, out.Err()
}

// Serves says whether each of the addresses gives the page, whatever image it is
// of; the error is the first that does not.
func (c Checker) Serves(ctx context.Context, e Expect) error {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if e.Text == "" {
		e.Text = "Hello World"
	}
	e.Each = max(e.Each, 1)
	h := &client{c.Dial, c.Clock, c.Timeout}
	for _, a := range e.Addresses {
		if err := page(ctx, h, a, e); err != nil {
			return fmt.Errorf("page at %s: %w", a, err)
		}
	}
	if len(e.Addresses) == 0 {
		return errors.New("no addresses to check")
	}
	return nil
}

// Page is what an address answers to a path, which must be 200.
func (c Checker) Page(ctx context.Context, address, path string) (string, error) {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	status, body, err := (&client{c.Dial, c.Clock, c.Timeout}).once(ctx, net.JoinHostPort(address, "80"), address, path)
	if err == nil && status != 200 {
		err = fmt.Errorf("%s at %s answered %d: %s", path, address, status, excerpt(body))
	}
	return body, err
}

func page(ctx context.Context, h *client, addr string, e Expect) error {
	for range e.Each {
		status, body, err := h.once(ctx, net.JoinHostPort(addr, "80"), e.Domain, "/")
		if err != nil {
			return err
		}
		if status != 200 {
			return fmt.Errorf("answered %d: %s", status, excerpt(body))
		}
		if !strings.Contains(body, e.Text) {
			return fmt.Errorf("does not hold %q: %s", e.Text, excerpt(body))
		}
	}
	return nil
}

func version(ctx context.Context, h *client, addr string, e Expect) error {
	for range e.Each {
		status, body, err := h.once(ctx, net.JoinHostPort(addr, "80"), e.Domain, "/version")
		if err != nil {
			return err
		}
		if status != 200 {
			return fmt.Errorf("answered %d: %s", status, excerpt(body))
		}
		if got := strings.TrimSpace(body); !slices.Contains(e.Keys, got) {
			return fmt.Errorf("is %s, not %s", excerpt(got), strings.Join(e.Keys, " or "))
		}
	}
	return nil
}

// record asks Route 53's own data for the name.
func (c Checker) record(ctx context.Context, e Expect) error {
	zones, err := c.DNS.ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: aws.String(e.Zone + "."), MaxItems: aws.Int32(1)})
	if err != nil {
		return fmt.Errorf("find zone %s: %w", e.Zone, err)
	}
	if len(zones.HostedZones) == 0 || strings.TrimSuffix(aws.ToString(zones.HostedZones[0].Name), ".") != e.Zone {
		return fmt.Errorf("there is no hosted zone %s", e.Zone)
	}
	sets, err := c.DNS.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{
		HostedZoneId: zones.HostedZones[0].Id, StartRecordName: aws.String(e.Domain + "."), StartRecordType: types.RRTypeA, MaxItems: aws.Int32(1),
	})
	if err != nil {
		return fmt.Errorf("list records: %w", err)
	}
	if len(sets.ResourceRecordSets) == 0 || strings.TrimSuffix(aws.ToString(sets.ResourceRecordSets[0].Name), ".") != e.Domain ||
		sets.ResourceRecordSets[0].Type != types.RRTypeA {
		return errors.New("there is no A record")
	}
	var got []string
	for _, r := range sets.ResourceRecordSets[0].ResourceRecords {
		got = append(got, aws.ToString(r.Value))
	}
	want := slices.Clone(e.Addresses)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("is %s, not %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
	return nil
}

// Line is the findings in one line.
func (f Findings) Line() string {
	bad := 0
	for _, one := range f {
		if one.Bad != "" {
			bad++
		}
	}
	if bad == 0 {
		return strconv.Itoa(len(f)) + " checks hold"
	}
	return fmt.Sprintf("%d of %d checks fail", bad, len(f))
}
