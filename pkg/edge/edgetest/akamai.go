// Package edgetest is a stand-in for Akamai's API, for tests.
package edgetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/akamai/AkamaiOPEN-edgegrid-golang/v13/pkg/edgegrid"
)

// Akamai is a stand-in for Akamai's API that takes nothing which Akamai would
// not: it checks each signature, forgets no nonce, keeps etags and states.
type Akamai struct {
	t      testing.TB
	secret string
	*httptest.Server

	mu          sync.Mutex
	nonces      map[string]bool
	Versions    []*Version // the first is 1
	Activations []*Activation
	// Records of the zone hello.example in Edge DNS, by "NAME TYPE"; each change is
	// PENDING until it was asked about.
	Records map[string]Record
	pending int
	faults  []Fault
	Calls   []string
}

// Record of Edge DNS.
type Record struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	TTL  int      `json:"ttl"`
	Data []string `json:"rdata"`
}

// Version of the property.
type Version struct {
	Etag  string
	Rules map[string]any
}

// Activation of a version.
type Activation struct {
	ID      string         `json:"activationId"`
	Version int            `json:"propertyVersion"`
	Network string         `json:"network"`
	Status  string         `json:"status"`
	Type    string         `json:"activationType"`
	Fast    map[string]any `json:"fallbackInfo,omitempty"`
	Quick   bool           `json:"-"`
	polls   int
}

// Fault is answered to the calls that match, before or after they had effect.
type Fault struct {
	Match  string // of "METHOD path"
	Status int
	Body   string
	Header map[string]string
	After  bool // the call has its effect first
	Times  int
}

// The tokens that are let in.
const (
	ClientToken = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
	AccessToken = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
	maxBody     = 2048
)

// Sign is the base64 text of HMAC-SHA256.
func Sign(key, message string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(message))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Signature is EdgeGrid's, written from Akamai's description.
func Signature(secret, method, host, pathQuery string, body []byte, header, timestamp string) string {
	hash := ""
	if method == http.MethodPost && len(body) > 0 {
		sum := sha256.Sum256(body[:min(len(body), maxBody)])
		hash = base64.StdEncoding.EncodeToString(sum[:])
	}
	return Sign(Sign(secret, timestamp), strings.Join([]string{method, "https", host, pathQuery, "", hash, header}, "\t"))
}

// New is one with a property, hello, that serves www.hello.example by version 3,
// whose rules are these. It ends with the test.
func New(t testing.TB, rules string) *Akamai {
	t.Helper()
	a := &Akamai{t: t, secret: strings.Repeat("s", 43) + "=", nonces: map[string]bool{}, Records: map[string]Record{}}
	var tree map[string]any
	if err := json.Unmarshal([]byte(rules), &tree); err != nil {
		t.Fatal(err)
	}
	a.Versions = []*Version{{"e1", tree}, {"e2", tree}, {"e3", tree}}
	a.Activations = []*Activation{{ID: "atv_1", Version: 3, Network: "PRODUCTION", Status: "ACTIVE", Type: "ACTIVATE"}}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	return a
}

// Fault adds one.
func (a *Akamai) Fault(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.Times = max(f.Times, 1)
	a.faults = append(a.faults, f)
}

func problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"https://problems.luna.akamaiapis.net/%s","title":%q,"detail":%q,"status":%d}`, kind, kind, detail, status)
}

var authorization = regexp.MustCompile(`^(EG1-HMAC-SHA256 client_token=([^;]+);access_token=([^;]+);timestamp=([^;]+);nonce=([^;]+);)signature=(.+)$`)

// allowed refuses what is not signed as it should be.
func (a *Akamai) allowed(r *http.Request, body []byte) (status int, detail string) {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	switch {
	case m == nil:
		return 400, "Invalid authorization header"
	case m[2] != ClientToken || m[3] != AccessToken:
		return 401, "Inactive client token"
	}
	at, err := time.Parse("20060102T15:04:05-0700", m[4])
	if err != nil || time.Since(at).Abs() > 30*time.Second {
		return 400, "Invalid timestamp"
	}
	if a.nonces[m[5]] {
		return 400, "Invalid nonce: used before"
	}
	a.nonces[m[5]] = true
	if m[6] != Signature(a.secret, r.Method, r.Host, r.URL.RequestURI(), body, m[1], m[4]) {
		return 401, "The signature does not match"
	}
	return 0, ""
}

// Credentials are what it lets in.
func (a *Akamai) Credentials() edgegrid.Config {
	return edgegrid.Config{Host: strings.TrimPrefix(a.URL, "https://"), ClientToken: ClientToken, AccessToken: AccessToken, ClientSecret: a.secret, MaxBody: maxBody}
}

// ServeHTTP answers as Akamai does.
func (a *Akamai) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/papi/v1")
	a.Calls = append(a.Calls, call)
	if status, detail := a.allowed(r, body); status != 0 {
		problem(w, status, "pep-authn/deny", detail)
		return
	}
	for i, f := range a.faults {
		if !strings.HasPrefix(call, f.Match) {
			continue
		}
		if a.faults[i].Times--; a.faults[i].Times == 0 {
			a.faults = slices.Delete(a.faults, i, i+1)
		}
		if f.After {
			a.answer(httptest.NewRecorder(), r, call, body)
		}
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}
		if f.Body == "" {
			problem(w, f.Status, "injected", "injected")
			return
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
		return
	}
	a.answer(w, r, call, body)
}

func (a *Akamai) answer(w http.ResponseWriter, r *http.Request, call string, body []byte) {
	if strings.HasPrefix(r.URL.Path, "/config-dns/v2/") {
		a.dns(w, r, body)
		return
	}
	const p = "/properties/prp_1"
	method, path, _ := strings.Cut(call, " ")
	if strings.HasPrefix(path, p) && (r.URL.Query().Get("contractId") != "ctr_1" || r.URL.Query().Get("groupId") != "grp_1") {
		problem(w, 403, "forbidden", "contract and group are needed")
		return
	}
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	number := func(s string) *Version {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > len(a.Versions) {
			return nil
		}
		return a.Versions[n-1]
	}
	var parts []string
	if rest, ok := strings.CutPrefix(path, p+"/"); ok {
		parts = strings.Split(rest, "/")
	}
	switch {
	case call == "POST /search/find-by-value":
		items := []map[string]any{}
		if in["hostname"] == "www.hello.example" {
			for n := range a.Versions {
				status := "INACTIVE"
				if a.Live("PRODUCTION") == n+1 {
					status = "ACTIVE"
				}
				items = append(items, map[string]any{"propertyId": "prp_1", "contractId": "ctr_1", "groupId": "grp_1", "propertyName": "hello", "propertyVersion": n + 1, "productionStatus": status})
			}
		}
		reply(200, map[string]any{"versions": map[string]any{"items": items}})
	case call == "GET "+p+"/versions":
		items := []map[string]any{}
		for n := range a.Versions {
			items = append([]map[string]any{{"propertyVersion": n + 1}}, items...)
		}
		reply(200, map[string]any{"versions": map[string]any{"items": items}})
	case call == "POST "+p+"/versions":
		from := number(fmt.Sprint(in["createFromVersion"]))
		if from == nil || in["createFromVersionEtag"] != from.Etag {
			problem(w, 412, "precondition", "the etag is another")
			return
		}
		a.Versions = append(a.Versions, &Version{fmt.Sprintf("e%d", len(a.Versions)+1), Clone(from.Rules)})
		reply(201, map[string]any{"versionLink": fmt.Sprintf("/papi/v1%s/versions/%d?contractId=ctr_1", p, len(a.Versions))})
	case len(parts) == 3 && parts[0] == "versions" && parts[2] == "rules" && number(parts[1]) != nil:
		v := number(parts[1])
		if method == http.MethodPatch {
			if status, detail := a.patch(v, r, body); status != 0 {
				problem(w, status, "patch", detail)
				return
			}
		} else if method != http.MethodGet {
			problem(w, 405, "method", method)
			return
		}
		reply(200, map[string]any{"etag": v.Etag, "ruleFormat": "v2025-01-01", "rules": v.Rules})
	case call == "GET "+p+"/activations":
		list := slices.Clone(a.Activations)
		slices.Reverse(list)
		reply(200, map[string]any{"activations": map[string]any{"items": list}})
	case call == "POST "+p+"/activations":
		a.activate(w, in, reply)
	case len(parts) == 2 && parts[0] == "activations" && method == http.MethodGet:
		for _, one := range a.Activations {
			if one.ID == parts[1] {
				a.step(one)
				w.Header().Set("Retry-After", "30")
				reply(200, map[string]any{"activations": map[string]any{"items": []any{one}}})
				return
			}
		}
		problem(w, 404, "not-found", parts[1])
	default:
		problem(w, 404, "not-found", call)
	}
}

// Live is the version that is active on a network.
func (a *Akamai) Live(network string) int {
	for _, one := range slices.Backward(a.Activations) {
		if one.Network == network && one.Status == "ACTIVE" {
			return one.Version
		}
	}
	return 0
}

// Clone is a copy of a tree of rules.
func Clone(m map[string]any) map[string]any {
	b, _ := json.Marshal(m)
	var out map[string]any
	_ = json.Unmarshal(b, &out)
	return out
}

// patch is a tested JSON patch of a version that nobody has activated.
func (a *Akamai) patch(v *Version, r *http.Request, body []byte) (int, string) {
	for _, one := range a.Activations {
		if a.Versions[one.Version-1] == v {
			return 400, "the version was activated and cannot be edited"
		}
	}
	switch {
	case r.Header.Get("Content-Type") != "application/json-patch+json":
		return 415, "unsupported media type"
	case r.Header.Get("If-Match") != strconv.Quote(v.Etag):
		return 412, "the etag is another"
	}
	var ops []struct{ Op, Path, Value string }
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&ops); err != nil {
		return 400, err.Error()
	}
	doc := map[string]any{"rules": Clone(v.Rules)}
	for _, o := range ops {
		var at any = doc
		path := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
		for _, k := range path[:len(path)-1] {
			switch t := at.(type) {
			case map[string]any:
				at = t[k]
			case []any:
				n, err := strconv.Atoi(k)
				if err != nil || n >= len(t) {
					return 400, "no such path " + o.Path
				}
				at = t[n]
			}
		}
		leaf, ok := at.(map[string]any)
		name := path[len(path)-1]
		switch {
		case !ok || leaf[name] == nil:
			return 400, "no such path " + o.Path
		case o.Op == "test" && leaf[name] != o.Value:
			return 409, "the test failed at " + o.Path
		case o.Op == "replace":
			leaf[name] = o.Value
		}
	}
	v.Rules, _ = doc["rules"].(map[string]any)
	v.Etag += "'"
	return 0, ""
}

func (a *Akamai) activate(w http.ResponseWriter, in map[string]any, reply func(int, any)) {
	for _, one := range a.Activations {
		if one.Status == "PENDING" || one.Status == "NEW" {
			problem(w, 422, "property_activation_still_pending", one.ID)
			return
		}
	}
	network, _ := in["network"].(string)
	n, _ := in["propertyVersion"].(float64)
	mail, _ := in["notifyEmails"].([]any)
	switch {
	case network != "STAGING" && network != "PRODUCTION", n < 1 || int(n) > len(a.Versions), len(mail) == 0:
		problem(w, 400, "request-error", "network, version and notifyEmails are needed")
		return
	case in["acknowledgeAllWarnings"] != true:
		reply(400, map[string]any{"type": "warnings", "status": 400, "warnings": []map[string]string{{"messageId": "msg_1"}}})
		return
	case network == "PRODUCTION" && in["complianceRecord"] == nil:
		problem(w, 422, "compliance_record_missing", "")
		return
	}
	one := &Activation{ID: fmt.Sprintf("atv_%d", len(a.Activations)+1), Version: int(n), Network: network, Status: "NEW", Type: "ACTIVATE"}
	one.Quick, _ = in["useFastFallback"].(bool)
	a.Activations = append(a.Activations, one)
	reply(201, map[string]any{"activationLink": "/papi/v1/properties/prp_1/activations/" + one.ID + "?contractId=ctr_1&groupId=grp_1"})
}

// step brings an activation forward each time somebody asks.
func (a *Akamai) step(one *Activation) {
	one.polls++
	switch {
	case one.Status == "NEW":
		one.Status = "PENDING"
	case one.Status == "PENDING" && (one.polls > 4 || one.Quick):
		for _, o := range a.Activations {
			if o.Network == one.Network && o.Status == "ACTIVE" {
				o.Status = "INACTIVE"
			}
		}
		one.Status, one.Fast = "ACTIVE", map[string]any{"canFastFallback": true}
	}
}

// dns is as much of Edge DNS as leading a name needs.
func (a *Akamai) dns(w http.ResponseWriter, r *http.Request, body []byte) {
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/config-dns/v2/"), "/")
	if len(parts) < 2 || parts[0] != "zones" || parts[1] != "hello.example" {
		problem(w, 404, "authoritative-dns/zone-not-found", "no such zone")
		return
	}
	if len(parts) == 2 && r.Method == http.MethodGet {
		state := "ACTIVE"
		if a.pending > 0 {
			state = "PENDING"
			a.pending--
		}
		reply(200, map[string]string{"zone": "hello.example", "activationState": state})
		return
	}
	if len(parts) != 6 || parts[2] != "names" || parts[4] != "types" {
		problem(w, 404, "not-found", r.URL.Path)
		return
	}
	key := parts[3] + " " + parts[5]
	is, has := a.Records[key]
	if r.Method == http.MethodGet {
		if !has {
			problem(w, 404, "authoritative-dns/record-not-found", key)
			return
		}
		reply(200, is)
		return
	}
	var in Record
	switch err := json.Unmarshal(body, &in); {
	case err != nil || in.Name != parts[3] || in.Type != parts[5] || in.TTL < 30 || len(in.Data) == 0:
		problem(w, 400, "authoritative-dns/validation", "name, type, ttl and rdata must match")
	case r.Method == http.MethodPost && has:
		problem(w, 409, "authoritative-dns/record-exists", key)
	case r.Method == http.MethodPut && !has:
		problem(w, 404, "authoritative-dns/record-not-found", key)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		a.Records[key], a.pending = in, 2
		reply(map[string]int{http.MethodPost: 201, http.MethodPut: 200}[r.Method], in)
	default:
		problem(w, 405, "method", r.Method)
	}
}
