package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Property is what Akamai delivers a host name by, in the version that is active
// on production.
type Property struct {
	ID, Contract, Group, Name string
	Version                   int
	Origins                   []Origin
	// Pending are activations under way, of whichever version. While there is one no other can begin.
	Pending []Activation

	rules json.RawMessage
}

// Origin is where a rule has pages fetched from.
type Origin struct {
	Path     string // of the host name, in the tree of rules (JSON pointer)
	Hostname string
}

// Activation of a version on a network.
type Activation struct {
	ID      string `json:"activationId"`
	Version int    `json:"propertyVersion"`
	Network string `json:"network"` // STAGING or PRODUCTION
	Status  string `json:"status"`
	Type    string `json:"activationType"` // ACTIVATE or DEACTIVATE
	Updated string `json:"updateDate"`
	Fast    struct {
		Can bool `json:"canFastFallback"`
	} `json:"fallbackInfo"`
}

// under says whether an activation is still under way.
func (a Activation) under() bool {
	switch a.Status {
	case "ACTIVE", "INACTIVE", "ABORTED", "FAILED", "DEACTIVATED":
		return false
	}
	return true
}

// NotFoundError says that no property of ours serves a host name.
type NotFoundError struct{ Hostname string }

// Error names the host name.
func (e *NotFoundError) Error() string {
	return "no property that is active on Akamai's production network serves " + e.Hostname
}

func (p *Property) query() url.Values {
	return url.Values{"contractId": {p.Contract}, "groupId": {p.Group}}
}

func (p *Property) path(format string, args ...any) string {
	return "/properties/" + p.ID + fmt.Sprintf(format, args...)
}

// Look finds the property of a host name and reads it. It changes nothing.
func (c *Client) Look(ctx context.Context, hostname string) (*Property, error) {
	var found struct {
		Versions struct {
			Items []struct {
				Property   string `json:"propertyId"`
				Contract   string `json:"contractId"`
				Group      string `json:"groupId"`
				Name       string `json:"propertyName"`
				Version    int    `json:"propertyVersion"`
				Production string `json:"productionStatus"`
			} `json:"items"`
		} `json:"versions"`
	}
	if _, err := c.do(ctx, request{method: http.MethodPost, path: "/search/find-by-value", in: map[string]string{"hostname": hostname}}, &found); err != nil {
		return nil, fmt.Errorf("find the property of %s: %w", hostname, err)
	}
	for _, i := range found.Versions.Items {
		if i.Production != "ACTIVE" {
			continue
		}
		p := &Property{ID: i.Property, Contract: i.Contract, Group: i.Group, Name: i.Name, Version: i.Version}
		tree, err := c.tree(ctx, p, p.Version)
		if err != nil {
			return nil, err
		}
		p.rules, p.Origins = tree.Rules, origins(tree.Rules)
		all, err := c.activations(ctx, p)
		if err != nil {
			return nil, err
		}
		p.Pending = slices.DeleteFunc(all, func(a Activation) bool { return !a.under() })
		return p, nil
	}
	return nil, &NotFoundError{hostname}
}

// tree is the rules of a version, and the etag that they have.
type tree struct {
	Etag   string          `json:"etag"`
	Rules  json.RawMessage `json:"rules"`
	Errors []struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	} `json:"errors"`
}

func (c *Client) tree(ctx context.Context, p *Property, version int) (tree, error) {
	var t tree
	_, err := c.do(ctx, request{method: http.MethodGet, path: p.path("/versions/%d/rules", version), query: p.query()}, &t)
	if err != nil {
		return t, fmt.Errorf("read the rules of %s, version %d: %w", p.Name, version, err)
	}
	return t, nil
}

func (c *Client) activations(ctx context.Context, p *Property) ([]Activation, error) {
	var out struct {
		Activations struct {
			Items []Activation `json:"items"`
		} `json:"activations"`
	}
	if _, err := c.do(ctx, request{method: http.MethodGet, path: p.path("/activations"), query: p.query()}, &out); err != nil {
		return nil, fmt.Errorf("list the activations of %s: %w", p.Name, err)
	}
	return out.Activations.Items, nil
}

type rule struct {
	Behaviors []struct {
		Name    string         `json:"name"`
		Options map[string]any `json:"options"`
	} `json:"behaviors"`
	Children []json.RawMessage `json:"children"`
}

// origins are all of a tree's that are servers of the customer's own.
func origins(rules json.RawMessage) []Origin {
	var out []Origin
	var walk func(raw json.RawMessage, at string)
	walk = func(raw json.RawMessage, at string) {
		var r rule
		if json.Unmarshal(raw, &r) != nil {
			return
		}
		for i, b := range r.Behaviors {
			kind, _ := b.Options["originType"].(string)
			if name, ok := b.Options["hostname"].(string); ok && b.Name == "origin" && (kind == "" || kind == "CUSTOMER") {
				out = append(out, Origin{fmt.Sprintf("%s/behaviors/%d/options/hostname", at, i), name})
			}
		}
		for i, child := range r.Children {
			walk(child, fmt.Sprintf("%s/children/%d", at, i))
		}
	}
	walk(rules, "/rules")
	return out
}

// same says whether two trees differ in nothing but the host names of the
// origins at these places.
func same(a, b json.RawMessage, places []Origin) bool {
	read := func(raw json.RawMessage) any {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return nil
		}
		for _, o := range places {
			blank(v, strings.Split(strings.TrimPrefix(o.Path, "/rules/"), "/"))
		}
		return v
	}
	x, y := read(a), read(b)
	return x != nil && reflect.DeepEqual(x, y)
}

// blank empties the value at a path.
func blank(v any, path []string) {
	switch t := v.(type) {
	case map[string]any:
		if len(path) == 1 {
			t[path[0]] = ""
			return
		}
		blank(t[path[0]], path[1:])
	case []any:
		n := 0
		if _, err := fmt.Sscan(path[0], &n); err == nil && n < len(t) && len(path) > 1 {
			blank(t[n], path[1:])
		}
	}
}
