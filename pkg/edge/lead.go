package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The networks.
const (
	Staging    = "STAGING"
	Production = "PRODUCTION"
)

// Change is what Lead shall bring about.
type Change struct {
	Hostname string
	Ours     []string // names that stand for the same site; origins of others stay
	To       string   // the name that pages are fetched from afterwards
	Notify   []string // e-mail addresses that Akamai tells
	Note     string
	// Check asks for the page on a network once it is active there. nil: nobody does.
	Check func(ctx context.Context, network string) error
	// Tell hears what is done. nil: nobody does.
	Tell func(format string, args ...any)
}

// Result is what Lead found and did.
type Result struct {
	Property string
	Was, Now int // versions; the same if nothing was to be done
}

// LockedError says that somebody else's activation is under way.
type LockedError struct {
	Property string
	By       Activation
}

// Error names the activation.
func (e *LockedError) Error() string {
	return fmt.Sprintf("the property %s is locked: activation %s of version %d on %s is %s", e.Property, e.By.ID, e.By.Version, strings.ToLower(e.By.Network), e.By.Status)
}

// patience is how long an activation may take: an hour where host names change.
const patience = 75 * time.Minute

// Places are the origins of a property that are ours, and not at to yet.
func (p *Property) Places(ours []string, to string) []Origin {
	var out []Origin
	for _, o := range p.Origins {
		if o.Hostname != to && slices.Contains(ours, o.Hostname) {
			out = append(out, o)
		}
	}
	return out
}

// Lead has the pages of a host name fetched from elsewhere. It may be called
// again whenever it was stopped, and goes on.
func (c *Client) Lead(ctx context.Context, ch Change) (Result, error) {
	if ch.Tell == nil {
		ch.Tell = func(string, ...any) {}
	}
	p, err := c.Look(ctx, ch.Hostname)
	if err != nil {
		return Result{}, err
	}
	r := Result{p.Name, p.Version, p.Version}
	places := p.Places(ch.Ours, ch.To)
	if len(places) == 0 {
		ch.Tell("version %d of %s fetches from %s already", p.Version, p.Name, ch.To)
		return r, nil
	}
	version, err := c.version(ctx, p, places, ch)
	if err != nil {
		return r, err
	}
	for _, a := range p.Pending {
		if a.Version != version {
			return r, &LockedError{p.Name, a}
		}
	}
	for _, network := range []string{Staging, Production} {
		a, err := c.activate(ctx, p, version, network, false, ch)
		if err != nil {
			return r, err
		}
		if network == Production {
			r.Now = version
		}
		if ch.Check == nil {
			continue
		}
		if bad := ch.Check(ctx, network); bad != nil {
			bad = fmt.Errorf("version %d of %s is active on %s, and the page is not right: %w", version, p.Name, strings.ToLower(network), bad)
			if network == Staging || ctx.Err() != nil {
				return r, bad
			}
			ch.Tell("going back to version %d", p.Version)
			if _, err := c.activate(ctx, p, p.Version, network, a.Fast.Can, ch); err != nil {
				return r, errors.Join(bad, fmt.Errorf("going back to version %d: %w", p.Version, err))
			}
			r.Now = p.Version
			return r, bad
		}
	}
	return r, nil
}

// version is one whose only difference from the active one is where the pages
// come from: an earlier run's, or a new one.
func (c *Client) version(ctx context.Context, p *Property, places []Origin, ch Change) (int, error) {
	for range 4 {
		latest, t, err := c.latest(ctx, p)
		if err != nil {
			return 0, err
		}
		if latest == p.Version || !same(t.Rules, p.rules, places) {
			if err := c.create(ctx, p, ch); err != nil && !errors.Is(err, ErrUnknown) {
				return 0, err // else it is looked at whether it is there
			}
			continue
		}
		var patch []map[string]string
		for i, o := range origins(t.Rules) {
			for _, place := range places {
				if o.Path == place.Path && o.Hostname != ch.To {
					patch = append(patch, map[string]string{"op": "test", "path": o.Path, "value": o.Hostname}, map[string]string{"op": "replace", "path": o.Path, "value": ch.To})
					ch.Tell("origin %d: %s -> %s", i+1, o.Hostname, ch.To)
				}
			}
		}
		if len(patch) == 0 {
			return latest, nil
		}
		var out tree
		query := p.query()
		query.Set("validateRules", "true")
		_, err = c.do(ctx, request{method: http.MethodPatch, path: p.path("/versions/%d/rules", latest), query: query, match: t.Etag, typ: "application/json-patch+json", in: patch}, &out)
		var e *Error
		switch {
		case errors.As(err, &e) && e.Status == http.StatusPreconditionFailed, errors.Is(err, ErrUnknown):
			continue // somebody was quicker, or perhaps we were
		case err != nil:
			return 0, fmt.Errorf("change the origin in version %d of %s: %w", latest, p.Name, err)
		case len(out.Errors) > 0:
			return 0, fmt.Errorf("version %d of %s cannot be activated: %s: %s", latest, p.Name, out.Errors[0].Title, out.Errors[0].Detail)
		}
	}
	return 0, fmt.Errorf("somebody else changes %s all the time", p.Name)
}

func (c *Client) latest(ctx context.Context, p *Property) (int, tree, error) {
	var out struct {
		Versions struct {
			Items []struct {
				Version int `json:"propertyVersion"`
			} `json:"items"`
		} `json:"versions"`
	}
	if _, err := c.do(ctx, request{method: http.MethodGet, path: p.path("/versions"), query: p.query()}, &out); err != nil {
		return 0, tree{}, fmt.Errorf("list the versions of %s: %w", p.Name, err)
	}
	latest := p.Version
	for _, i := range out.Versions.Items {
		latest = max(latest, i.Version)
	}
	t, err := c.tree(ctx, p, latest)
	return latest, t, err
}

func (c *Client) create(ctx context.Context, p *Property, ch Change) error {
	active, err := c.tree(ctx, p, p.Version)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{
		method: http.MethodPost, path: p.path("/versions"), query: p.query(),
		in: map[string]any{"createFromVersion": p.Version, "createFromVersionEtag": active.Etag},
	}, nil)
	if err != nil {
		return fmt.Errorf("make a new version of %s: %w", p.Name, err)
	}
	ch.Tell("made a new version of %s from %d", p.Name, p.Version)
	return nil
}

// activate brings a version to a network and waits until it is there. One under
// way is waited for, one that is there is the one.
func (c *Client) activate(ctx context.Context, p *Property, version int, network string, fast bool, ch Change) (Activation, error) {
	what := fmt.Sprintf("activate version %d of %s on %s", version, p.Name, strings.ToLower(network))
	var a *Activation
	for try := 0; a == nil; try++ {
		all, err := c.activations(ctx, p)
		if err != nil {
			return Activation{}, err
		}
		a = newest(all, version, network)
		if a != nil {
			break
		}
		if try == 3 {
			return Activation{}, fmt.Errorf("%s: it does not begin", what)
		}
		in := map[string]any{
			"propertyVersion": version, "network": network, "activationType": "ACTIVATE", "notifyEmails": ch.Notify, "note": ch.Note,
			"acknowledgeAllWarnings": true, "useFastFallback": fast,
		}
		if network == Production {
			in["complianceRecord"] = map[string]string{"noncomplianceReason": "EMERGENCY", "ticketId": ch.Note}
		}
		var out struct {
			Link string `json:"activationLink"`
		}
		_, err = c.do(ctx, request{method: http.MethodPost, path: p.path("/activations"), query: p.query(), in: in}, &out)
		var e *Error
		switch {
		case errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && strings.Contains(e.Type+e.Message, "activation_still_pending"):
			by := Activation{ID: "of somebody", Network: network, Status: "PENDING"}
			for _, one := range all {
				if one.under() {
					by = one
				}
			}
			return Activation{}, &LockedError{p.Name, by}
		case err != nil && !errors.Is(err, ErrUnknown):
			return Activation{}, fmt.Errorf("%s: %w", what, err)
		case err == nil:
			ch.Tell("%s: begun", what)
			id, _, _ := strings.Cut(out.Link[strings.LastIndex(out.Link, "/")+1:], "?")
			a = &Activation{ID: id, Version: version, Network: network, Status: "NEW"}
		}
	}
	end := c.clock().Now().Add(patience)
	for wait := 10 * time.Second; a.under(); wait = min(wait+10*time.Second, time.Minute) {
		if c.clock().Now().After(end) {
			return *a, fmt.Errorf("%s: it is %s for more than %s", what, a.Status, patience)
		}
		var out struct {
			Activations struct {
				Items []Activation `json:"items"`
			} `json:"activations"`
		}
		header, err := c.do(ctx, request{method: http.MethodGet, path: p.path("/activations/%s", a.ID), query: p.query()}, &out)
		if err != nil {
			return *a, fmt.Errorf("%s: %w", what, err)
		}
		if len(out.Activations.Items) == 0 {
			return *a, fmt.Errorf("%s: activation %s is not there", what, a.ID)
		}
		*a = out.Activations.Items[0]
		if !a.under() {
			break
		}
		pause := wait
		if s, err := strconv.Atoi(header.Get("Retry-After")); err == nil && s > 0 {
			pause = min(time.Duration(s)*time.Second, slowest)
		}
		if err := c.clock().Sleep(ctx, pause); err != nil {
			return *a, context.Cause(ctx)
		}
	}
	if a.Status != "ACTIVE" {
		return *a, fmt.Errorf("%s: it ended %s", what, a.Status)
	}
	ch.Tell("%s: active", what)
	return *a, nil
}

// newest is the activation of a version on a network that counts: under way, or
// the last one there. Of the list the newest comes first.
func newest(all []Activation, version int, network string) *Activation {
	for _, a := range all {
		if a.Network != network || a.Type == "DEACTIVATE" {
			continue
		}
		if a.Version == version && (a.under() || a.Status == "ACTIVE") {
			return &a
		}
	}
	return nil
}
