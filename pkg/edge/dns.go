package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// edgeDNS is where the API of Edge DNS is, version 2.
const edgeDNS = "/config-dns/v2"

// Record is a name in a zone of Edge DNS, with the addresses it leads to; none if
// there is no such record.
type Record struct {
	Zone, Name string
	TTL        int
	Addresses  []string // sorted
}

// ErrNotPlain says that a name has another record, which an address cannot stand beside.
var ErrNotPlain = errors.New("it has a CNAME, not ours to lead")

func status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Record reads the addresses of a name. A zone that is not there is an *Error with
// status 404.
func (c *Client) Record(ctx context.Context, zone, name string) (Record, error) {
	out := Record{Zone: zone, Name: name}
	if _, err := c.do(ctx, request{method: http.MethodGet, api: edgeDNS, path: "/zones/" + url.PathEscape(zone)}, nil); err != nil {
		return out, fmt.Errorf("look at the zone %s in Edge DNS: %w", zone, err)
	}
	var set recordSet
	_, err := c.do(ctx, request{method: http.MethodGet, api: edgeDNS, path: out.path("A")}, &set)
	switch {
	case err == nil:
		out.TTL, out.Addresses = set.TTL, slices.Sorted(slices.Values(set.Data))
		return out, nil
	case status(err) != http.StatusNotFound:
		return out, fmt.Errorf("read the addresses of %s in Edge DNS: %w", name, err)
	}
	_, err = c.do(ctx, request{method: http.MethodGet, api: edgeDNS, path: out.path("CNAME")}, &set)
	switch {
	case err == nil:
		return out, fmt.Errorf("%s in Edge DNS: %w", name, ErrNotPlain)
	case status(err) != http.StatusNotFound:
		return out, fmt.Errorf("read %s in Edge DNS: %w", name, err)
	}
	return out, nil
}

type recordSet struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	TTL  int      `json:"ttl"`
	Data []string `json:"rdata"`
}

func (r Record) path(kind string) string {
	return "/zones/" + url.PathEscape(r.Zone) + "/names/" + url.PathEscape(r.Name) + "/types/" + kind
}

// LeadRecord has a name of Edge DNS lead to addresses, for ttl seconds at a time,
// and waits until Akamai's servers say so. It returns what was there before. It may be
// called again whenever it was stopped: what leads there already is left as it is.
func (c *Client) LeadRecord(ctx context.Context, zone, name string, ttl int, to []string) (Record, error) {
	want := slices.Sorted(slices.Values(to))
	if len(want) == 0 {
		return Record{}, fmt.Errorf("there are no addresses that %s could lead to", name)
	}
	var was *Record
	for range 4 {
		is, err := c.Record(ctx, zone, name)
		if err != nil {
			return is, err
		}
		if was == nil {
			was = &is
		}
		if slices.Equal(is.Addresses, want) && is.TTL == ttl {
			return *was, c.settled(ctx, zone)
		}
		method := http.MethodPut
		if len(is.Addresses) == 0 {
			method = http.MethodPost
		}
		_, err = c.do(ctx, request{method: method, api: edgeDNS, path: is.path("A"), in: recordSet{name, "A", ttl, want}}, nil)
		// It may have taken place, or somebody made it meanwhile: it is looked at again.
		if err != nil && !errors.Is(err, ErrUnknown) && status(err) != http.StatusConflict {
			return *was, fmt.Errorf("lead %s to %s in Edge DNS: %w", name, strings.Join(want, ", "), err)
		}
	}
	return *was, fmt.Errorf("somebody else changes %s in Edge DNS all the time", name)
}

// settled waits until a zone is active on Akamai's servers as it was last changed.
func (c *Client) settled(ctx context.Context, zone string) error {
	end := c.clock().Now().Add(30 * time.Minute)
	for {
		var is struct {
			State string `json:"activationState"`
		}
		if _, err := c.do(ctx, request{method: http.MethodGet, api: edgeDNS, path: "/zones/" + url.PathEscape(zone)}, &is); err != nil {
			return fmt.Errorf("look at the zone %s in Edge DNS: %w", zone, err)
		}
		switch {
		case is.State == "ACTIVE":
			return nil
		case is.State == "ERROR" || c.clock().Now().After(end):
			return fmt.Errorf("the zone %s in Edge DNS is %s", zone, is.State)
		}
		if err := c.clock().Sleep(ctx, 5*time.Second); err != nil {
			return context.Cause(ctx)
		}
	}
}
