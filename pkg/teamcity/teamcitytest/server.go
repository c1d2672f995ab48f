package teamcitytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Server stands in for a server's REST API, written from its published
// description: a call with another method, path, query, header or body than
// described fails the test. It is for the calls that pkg/teamcity makes.
type Server struct {
	URL       string
	SuperUser string // token of its log

	// What a test may set before, and look at after it; not while calls are made.
	Version  string
	RootURL  string      // what the server takes for its own address
	Builds   []BuildType // what Git's settings make, once they are loaded
	KeyIn    bool        // the Git server lets the key in
	Outcome  string      // status of builds that end
	Project  map[string]any
	Root     map[string]any
	Config   map[string]any
	Context  map[string]string
	Secrets  []string
	Agents   []Agent
	Users    map[string]string // name, password
	Tokens   map[string]string // value, user
	Keys     map[string]string // name, public half
	Queue    []string          // builds that were queued, by the id of their kind
	Backups  int
	Writes   []string // "PUT /path" of calls that change something
	FailAt   int      // the write with that number, from 1, is made and its answer lost
	looked   int      // at the build under way
	loaded   bool
	backing  int
	t        testing.TB
	mu       sync.Mutex
	handlers map[string]func(*call)
}

// BuildType is a kind of build with its parameters.
type BuildType struct {
	ID, Name, Target string
}

// Agent is a build agent.
type Agent struct {
	ID         int64
	Name       string
	Authorized bool
}

// NewServer starts a server that nobody has set up yet.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		SuperUser: "4711", Version: "2026.1.4", RootURL: "http://localhost:8111", KeyIn: true, Outcome: "SUCCESS", t: t,
		Users: map[string]string{}, Tokens: map[string]string{}, Keys: map[string]string{}, Context: map[string]string{},
		Config: map[string]any{"synchronizationMode": "disabled"},
	}
	s.routes()
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.URL = web.URL
	return s
}

type call struct {
	*Server
	r    *http.Request
	body []byte
	rest []string // what stands for * in the path
	who  string
	code int
	out  any
}

const super = "\x00super user"

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := &call{Server: s, r: r, body: body, code: http.StatusOK}
	path, ok := strings.CutPrefix(r.URL.Path, "/app/rest")
	if !ok {
		s.t.Errorf("%s %s is not of the API", r.Method, r.URL.Path)
	}
	c.who = s.caller(r)
	if c.who == "" {
		c.fail(http.StatusUnauthorized, "Authentication required")
	} else if h := s.match(c, r.Method, path); h == nil {
		s.t.Errorf("%s %s: no such call", r.Method, path)
		c.fail(http.StatusNotFound, "no such call")
	} else {
		h(c)
	}
	if r.Method != http.MethodGet && c.code < 300 {
		s.Writes = append(s.Writes, r.Method+" "+path)
		if s.FailAt == len(s.Writes) {
			c.fail(http.StatusBadGateway, "the answer was lost")
		}
	}
	c.answer(w)
}

// caller checks who calls.
func (s *Server) caller(r *http.Request) string {
	if user, password, ok := r.BasicAuth(); ok {
		if user == "" && password == s.SuperUser {
			return super
		}
		if p, known := s.Users[user]; known && p == password && p != "" {
			return user
		}
		return ""
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return s.Tokens[token]
}

func (s *Server) match(c *call, method, path string) func(*call) {
	for pattern, h := range s.handlers {
		m, p, _ := strings.Cut(pattern, " ")
		want, got := strings.Split(p, "/"), strings.Split(path, "/")
		if m != method || len(want) != len(got) {
			continue
		}
		var rest []string
		same := true
		for i := range want {
			before, after, wild := strings.Cut(want[i], "*")
			switch {
			case !wild:
				same = same && want[i] == got[i]
			case strings.HasPrefix(got[i], before) && strings.HasSuffix(got[i], after):
				rest = append(rest, strings.TrimSuffix(strings.TrimPrefix(got[i], before), after))
			default:
				same = false
			}
		}
		if same {
			c.rest = rest
			return h
		}
	}
	return nil
}

func (c *call) answer(w http.ResponseWriter) {
	accept := c.r.Header.Get("Accept")
	if text, ok := c.out.(string); ok {
		if accept != "text/plain" && c.code < 300 {
			c.t.Errorf("%s answers text/plain, not %s", c.r.URL.Path, accept)
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(c.code)
		_, _ = io.WriteString(w, text)
		return
	}
	if accept != "application/json" && c.code < 300 {
		c.t.Errorf("%s answers XML unless it is asked for JSON", c.r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(c.code)
	if c.out != nil {
		_ = json.NewEncoder(w).Encode(c.out)
	}
}

func (c *call) fail(code int, text string) {
	c.code, c.out = code, map[string]any{"errors": []map[string]string{{"message": text}}}
}

func (c *call) absent() { c.fail(http.StatusNotFound, "Nothing is found by locator") }

// query checks the names of the query, all of which may be there.
func (c *call) query(names ...string) {
	for name := range c.r.URL.Query() {
		if !slices.Contains(names, name) {
			c.t.Errorf("%s %s: no parameter %s is described", c.r.Method, c.r.URL.Path, name)
		}
	}
	if c.r.Method == http.MethodGet && len(c.body) > 0 {
		c.t.Errorf("%s: a body", c.r.URL.Path)
	}
}

// object reads a JSON body that has all of these fields and none else.
func (c *call) object(fields ...string) map[string]any {
	if got := c.r.Header.Get("Content-Type"); got != "application/json" {
		c.t.Errorf("%s %s: the body is %q, not JSON", c.r.Method, c.r.URL.Path, got)
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(c.body))
	if err := d.Decode(&m); err != nil || d.More() {
		c.t.Errorf("%s %s: the body is no JSON object: %s", c.r.Method, c.r.URL.Path, c.body)
	}
	got := slices.Sorted(maps.Keys(m))
	slices.Sort(fields)
	if !slices.Equal(got, fields) {
		c.t.Errorf("%s %s: the body has %v, not %v", c.r.Method, c.r.URL.Path, got, fields)
	}
	return m
}

func (c *call) text() string {
	if got := c.r.Header.Get("Content-Type"); got != "text/plain" {
		c.t.Errorf("%s %s: the body is %q, not text", c.r.Method, c.r.URL.Path, got)
	}
	return string(c.body)
}

func (c *call) empty() {
	if len(c.body) > 0 {
		c.t.Errorf("%s %s: a body", c.r.Method, c.r.URL.Path)
	}
}

func (c *call) build(id int64) map[string]any {
	state, status := "queued", ""
	switch c.looked {
	case 0:
	case 1:
		state, status = "running", "SUCCESS"
	default:
		state, status = "finished", c.Outcome
	}
	return map[string]any{"id": id, "number": fmt.Sprint(id), "state": state, "status": status, "statusText": "Tests passed: 1", "webUrl": c.URL + fmt.Sprintf("/build/%d", id)}
}

const project = "/projects/id:Chain"

func (s *Server) routes() {
	s.handlers = map[string]func(*call){
		"GET /server": func(c *call) {
			c.query("fields")
			c.out = map[string]string{"version": c.Version + " (build 220000)", "webUrl": c.RootURL}
		},
		"PUT /server/rootUrl": func(c *call) {
			c.query()
			u, err := url.Parse(c.text())
			if err != nil || u.Host == "" {
				c.fail(http.StatusBadRequest, "Not an address")
				return
			}
			c.RootURL = c.text()
			c.out = c.RootURL
		},
		"GET /users/username:*": func(c *call) {
			c.query("fields")
			if _, ok := c.Users[c.rest[0]]; !ok {
				c.absent()
				return
			}
			c.out = map[string]string{"username": c.rest[0]}
		},
		"POST /users": func(c *call) {
			c.query()
			m := c.object("username", "password", "roles")
			name := m["username"].(string)
			if _, ok := c.Users[name]; ok || c.who != super {
				c.fail(http.StatusBadRequest, "Cannot create the user")
				return
			}
			if fmt.Sprint(m["roles"]) != "map[role:[map[roleId:SYSTEM_ADMIN scope:g]]]" {
				c.t.Errorf("roles are %v", m["roles"])
			}
			c.Users[name] = m["password"].(string)
			c.out = map[string]string{"username": name}
		},
		"DELETE /users/current/tokens/*": func(c *call) {
			c.query()
			c.empty()
			found := false
			for value, user := range c.Tokens {
				if user == c.who && strings.HasPrefix(value, c.rest[0]+" ") {
					delete(c.Tokens, value)
					found = true
				}
			}
			c.code = http.StatusNoContent
			if !found {
				c.absent()
			}
		},
		"POST /users/current/tokens/*": func(c *call) {
			c.query()
			c.empty()
			for value, user := range c.Tokens {
				if user == c.who && strings.HasPrefix(value, c.rest[0]+" ") {
					c.fail(http.StatusBadRequest, "Token with this name already exists")
					return
				}
			}
			if c.who == super {
				c.fail(http.StatusBadRequest, "The super user has no tokens")
				return
			}
			value := fmt.Sprintf("%s %d", c.rest[0], len(c.Writes))
			c.Tokens[value] = c.who
			c.out = map[string]string{"name": c.rest[0], "value": value}
		},
		"GET " + project: func(c *call) { c.query("fields"); c.known(c.Project) },
		"POST /projects": func(c *call) {
			c.query()
			c.Project = c.object("id", "name", "parentProject")
			c.out = c.Project
		},
		"GET " + project + "/sshKeys": func(c *call) {
			c.query()
			list := []map[string]string{}
			for name, public := range c.Keys {
				list = append(list, map[string]string{"name": name, "publicKey": public})
			}
			c.out = map[string]any{"sshKey": list}
		},
		"POST " + project + "/sshKeys/generated": func(c *call) {
			c.query("keyName", "keyType")
			c.empty()
			c.Keys[c.r.URL.Query().Get("keyName")] = "ssh-ed25519 AAAA"
		},
		"GET /vcs-roots/id:*": func(c *call) {
			c.query("fields")
			if c.Root == nil || c.Root["id"] != c.rest[0] {
				c.absent()
				return
			}
			c.out = c.Root
		},
		"POST /vcs-roots": func(c *call) {
			c.query()
			c.Root = c.object("id", "name", "vcsName", "project", "properties")
			c.out = c.Root
		},
		"POST " + project + "/secure/tokens": func(c *call) {
			c.query()
			c.Secrets = append(c.Secrets, c.text())
			c.out = fmt.Sprintf("credentialsJSON:%d", len(c.Secrets))
		},
		"GET " + project + "/versionedSettings/contextParameters": func(c *call) {
			c.query()
			list := []map[string]string{}
			for _, name := range slices.Sorted(maps.Keys(c.Context)) {
				list = append(list, map[string]string{"name": name, "value": c.Context[name]})
			}
			c.out = map[string]any{"versionedSettingsContextParameter": list}
		},
		"PUT " + project + "/versionedSettings/contextParameters": func(c *call) {
			c.query()
			m := c.object("versionedSettingsContextParameter")
			c.Context = map[string]string{}
			for _, p := range m["versionedSettingsContextParameter"].([]any) {
				one := p.(map[string]any)
				c.Context[one["name"].(string)] = one["value"].(string)
			}
			c.out = m
		},
		"GET " + project + "/versionedSettings/config": func(c *call) { c.query(); c.out = c.Config },
		"PUT " + project + "/versionedSettings/config": func(c *call) {
			c.query()
			m := c.object("synchronizationMode", "vcsRootId", "format", "buildSettingsMode", "allowUIEditing", "showSettingsChanges",
				"storeSecureValuesOutsideVcs", "portableDsl", "importDecision")
			delete(m, "importDecision") // is not kept
			c.Config, c.out = m, m
		},
		"POST " + project + "/versionedSettings/loadSettings": func(c *call) {
			c.query("fields")
			c.empty()
			c.loaded = c.KeyIn && c.Config["synchronizationMode"] == "enabled"
			c.out = map[string]any{"count": 1}
		},
		"GET " + project + "/versionedSettings/status": func(c *call) {
			c.query()
			if c.loaded {
				c.out = map[string]any{"type": "info", "message": "Changes from VCS are applied"}
				return
			}
			c.out = map[string]any{"type": "warn", "message": "Failed to load settings", "versionedSettingsError": []map[string]string{{"message": "Permission denied (publickey)"}}}
		},
		"GET /buildTypes": func(c *call) {
			c.query("locator", "fields")
			list := []map[string]any{}
			if c.loaded {
				for _, b := range c.Builds {
					list = append(list, map[string]any{"id": b.ID, "name": b.Name, "parameters": map[string]any{"property": []map[string]string{{"name": "chain.target", "value": b.Target}}}})
				}
			}
			if l := c.r.URL.Query().Get("locator"); l != "affectedProject:(id:Chain)" {
				c.t.Errorf("the locator is %s", l)
			}
			c.out = map[string]any{"buildType": list}
		},
		"GET /builds": func(c *call) {
			c.query("locator", "fields")
			list := []map[string]any{}
			for i, id := range c.Queue {
				if c.r.URL.Query().Get("locator") == "buildType:(id:"+id+"),defaultFilter:false,state:any,count:1" {
					list = append(list, c.build(int64(i+1)))
				}
			}
			c.out = map[string]any{"build": list}
		},
		"GET /builds/id:*": func(c *call) {
			c.query("fields")
			c.looked++
			c.out = c.build(int64(len(c.Queue)))
		},
		"POST /buildQueue": func(c *call) {
			c.query("fields")
			m := c.object("buildType", "comment")
			c.Queue = append(c.Queue, m["buildType"].(map[string]any)["id"].(string))
			c.looked = 0
			c.out = c.build(int64(len(c.Queue)))
		},
		"GET /agents": func(c *call) {
			c.query("locator", "fields")
			list := []map[string]any{}
			for _, a := range c.Agents {
				list = append(list, map[string]any{"id": a.ID, "name": a.Name, "connected": true, "authorized": a.Authorized})
			}
			c.out = map[string]any{"agent": list}
		},
		"PUT /agents/id:*/authorized": func(c *call) {
			c.query()
			for i := range c.Agents {
				if fmt.Sprint(c.Agents[i].ID) == c.rest[0] {
					c.Agents[i].Authorized = c.text() == "true"
					c.out = fmt.Sprint(c.Agents[i].Authorized)
					return
				}
			}
			c.absent()
		},
		"GET /server/backup": func(c *call) {
			c.query()
			c.out = "Idle"
			if c.backing > 0 {
				c.backing--
				c.out = "Running"
			}
		},
		"POST /server/backup": func(c *call) {
			c.query("addTimestamp", "fileName", "includeBuildLogs", "includeConfigs", "includeDatabase", "includePersonalChanges")
			c.empty()
			c.Backups++
			c.backing = 2
			c.out = c.r.URL.Query().Get("fileName") + "_20261123_100000.zip"
		},
	}
}

func (c *call) known(what map[string]any) {
	if what == nil {
		c.absent()
		return
	}
	c.out = what
}
