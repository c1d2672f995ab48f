// Package config is the whole configuration of a run: what chain.yaml says,
// what CHAIN_ variables change of it, and the Target that comes of both.
//
// chain.yaml is read strictly: whatever is wrong with it is told at once, each
// fault with its line. Only this package knows that a target may be the lab.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// File is the name of the configuration file, in the root of the repository.
const File = "chain.yaml"

// Config is a chain.yaml with its overrides applied.
type Config struct {
	Dir    string // root of the repository
	Target string // "lab" or "aws"
	Trail  Trail
	Bake   Bake
	// Signing is of target aws. The lab makes a key of its own.
	Signing Signing
	// Images are what is baked, by role; each site's role is among them.
	Images map[string]*Image
	Sites  map[string]*Site

	environ map[string]string
}

// Trail says where the trail of target aws is kept.
type Trail struct {
	Remote string // name or URL of the Git remote
	Branch string
}

// Bake is what every image is made from, and on what.
type Bake struct {
	Owner        string // account that owns the base image
	Name         string // name of the base image, with wildcards
	InstanceType string
	User         string // login of the base image
	Keep         int    // how many releases of each environment stay deployable
}

// Signing is which key says where images come from, and whose word counts.
type Signing struct {
	Key     string   // file of an ed25519 key in PEM, or the ARN of a KMS key; "" signs nothing
	Trusted []string // files of public keys in PEM
	Make    bool     // a key that is not there is made
}

// Image is what is baked for one role, and where its id is written.
type Image struct {
	Role      string // names the image, its packages and what it may have
	Puppet    string // class role::PUPPET
	Specs     string // serverspec/spec/SPECS
	Site      string // whose templates name the image; "" is each site of the role, and none if there is none
	Parameter string // of those templates; "" if none name it
}

// Site is what is deployed.
type Site struct {
	Name         string
	Role         string // the Puppet role and thereby the image
	Domain       string // of its page in production
	Zone         string // hosted zone that holds Domain
	UserData     string // file with the instances' user data, relative to the root; "" is none
	Environments map[string]*Environment
}

// Environment is one stack of a site in each of its regions.
type Environment struct {
	Site        *Site
	Name        string
	Account     string            // 12 digits; target aws needs it
	Regions     []string          // where its image is, in the first it is baked
	Live        []string          // those of them where it runs, in the order in which a release reaches them; the first of Regions unless it says otherwise
	Domain      string            // of its page; the site's unless it says otherwise
	Keys        map[string]string // KMS key of each region for copies of images; none: its default key for EBS
	Certificate string            // ARN for a TLS listener; "" is none
	Sizes       Sizes
	Database    *Database     // nil: none
	Monitoring  time.Duration // how long alarms are watched after an update, whole minutes
	Monitor     Monitor
	Rollback    Rollback
	Rules       Rules
	Recovery    Recovery
}

// Sizes of an environment.
type Sizes struct {
	Zones        int // availability zones, each with its subnet and its Elastic IP
	Instances    int // desired capacity
	Min, Max     int // bounds of the group; Max is at least twice Instances
	InstanceType string
}

// Database is an environment's PostgreSQL database.
type Database struct {
	Class    string // of the machine, "db.t4g.small"
	Storage  int    // GiB
	Version  string // of PostgreSQL, "17"
	MultiAZ  bool   // a standby in another zone
	Snapshot string // what the database of a new stack is restored from, "" is nothing; a living one stays what it is
	// Empty lets rehearsals begin with an empty database. Else each takes a snapshot
	// of the living one, and works on a copy of its data.
	Empty bool
}

// Rollback is what is asked of the ways back from a change.
type Rollback struct {
	// Within is how long each of them may take in the rehearsal, by CloudFormation's
	// clock and without the time until the failure. 0: however long it takes.
	Within time.Duration
	// Cancel rehearses the way back from the monitoring window, too. It costs one
	// more roll there and back.
	Cancel bool
}

// Stack is the name of the environment's stack.
func (e *Environment) Stack() string { return e.Site.Name + "-" + e.Name }

// Site is the site of that name; with "", the only one there is.
func (c *Config) Site(name string) (*Site, error) {
	if name == "" {
		name = c.environ["CHAIN_SITE"]
	}
	if name == "" {
		if len(c.Sites) == 1 {
			for _, s := range c.Sites {
				return s, nil
			}
		}
		return nil, fmt.Errorf("which site? %s has %s; say CHAIN_SITE=NAME", File, strings.Join(names(c.Sites), ", "))
	}
	if s := c.Sites[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("site %q is not in %s, which has %s", name, File, strings.Join(names(c.Sites), ", "))
}

// Roles are what is baked for a site, its own first.
func (c *Config) Roles(s *Site) []Image {
	own := Image{Role: s.Role, Puppet: s.Role, Specs: s.Role, Parameter: imageParameter}
	if i := c.Images[s.Role]; i != nil {
		own = *i
	}
	own.Site = s.Name
	out := []Image{own}
	for _, role := range names(c.Images) {
		if i := c.Images[role]; i.Site == s.Name && role != s.Role {
			out = append(out, *i)
		}
	}
	return out
}

// Loose are the images that no site names: they are baked by name alone.
func (c *Config) Loose() []Image {
	var out []Image
	for _, role := range names(c.Images) {
		if i := c.Images[role]; i.Parameter == "" {
			out = append(out, *i)
		}
	}
	return out
}

// Environment is the site's environment of that name; with "", production.
func (s *Site) Environment(name string) (*Environment, error) {
	if name == "" {
		name = "production"
	}
	if e := s.Environments[name]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("site %s has no environment %q, it has %s", s.Name, name, strings.Join(names(s.Environments), ", "))
}

// Value is the value of a CHAIN_ variable, "" if it is not set.
func (c *Config) Value(name string) string { return c.environ[name] }

// Path is the value of a CHAIN_ variable that names a file: from the root of the
// repository, "~/" being the home directory; otherwise is the value if it is not set.
func (c *Config) Path(name, otherwise string) string {
	if v := c.environ[name]; v != "" {
		otherwise = v
	}
	return c.path(otherwise)
}

func names[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// A Fault is one thing wrong with the configuration.
type Fault struct {
	Line int    // in chain.yaml; 0: not of a line
	Path string // "sites.web.role", or the name of a variable
	Text string
}

// String is the fault in one line.
func (f Fault) String() string {
	s := f.Text
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	if f.Line > 0 {
		s = fmt.Sprintf("line %d: %s", f.Line, s)
	}
	return s
}

// Error is everything that is wrong with the configuration.
type Error struct {
	File   string
	Faults []Fault
}

// Error tells every fault, one per line.
func (e *Error) Error() string {
	var b strings.Builder
	n := len(e.Faults)
	fmt.Fprintf(&b, "%s: %d fault", e.File, n)
	if n != 1 {
		b.WriteByte('s')
	}
	for _, f := range e.Faults {
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

// ErrNoFile is wrapped by Load when there is no chain.yaml.
var ErrNoFile = errors.New("no " + File)

// Load reads dir's chain.yaml and applies the CHAIN_ variables of environ
// (os.Environ's form). Its error is an *Error that holds all faults, or wraps
// ErrNoFile.
func Load(dir string, environ []string) (*Config, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoFile, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(dir, b, environ)
}

// Parse is Load for a text that was read already.
func Parse(dir string, text []byte, environ []string) (*Config, error) {
	c := &Config{Dir: dir, environ: map[string]string{}}
	r := &reader{}
	r.config(c, text)
	c.override(r, environ)
	if len(r.faults) == 0 {
		c.check(r)
	}
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
		return nil, &Error{File: File, Faults: r.faults}
	}
	return c, nil
}

// Variables are the CHAIN_ variables, each with what it does.
var Variables = []struct{ Name, Text string }{
	{"CHAIN_TARGET", "lab or aws, instead of chain.yaml's target"},
	{"CHAIN_SITE", "the site, where chain.yaml has more than one"},
	{"CHAIN_REGION", "the region of the environment, where it has more than one; the first unless set"},
	{"CHAIN_ACCOUNT", "AWS account of all environments"},
	{"CHAIN_TRAIL_REMOTE", "Git remote of the trail"},
	{"CHAIN_TRAIL_BRANCH", "branch of the trail"},
	{"CHAIN_SIGNING_KEY", "file or KMS ARN of the key that signs images with target aws"},
	{"CHAIN_VERBOSE", "1: show what children print"},
	{"CHAIN_TEAMCITY_URL", "address of the TeamCity server, https://..."},
	{"CHAIN_TEAMCITY_LOGIN", "file of its administrator's login, ~/.config/chain/teamcity.json unless set"},
	{"CHAIN_TEAMCITY_SUPERUSER", "super user's token of its log, for the first teamcity:bootstrap"},
	{"CHAIN_TEAMCITY_REPOSITORY", "address of this repository as the server fetches it"},
	{"CHAIN_TEAMCITY_BRANCH", "its default branch, main unless set"},
	{"CHAIN_TEAMCITY_AGENTS", "names of agents that are let in, with wildcards, separated by commas"},
	{"CHAIN_TEAMCITY_APPROVERS", "key of the group that approves a push to production"},
	{"CHAIN_TEAMCITY_GITHUB", "token with which the server reads pull requests and tells what came of a commit"},
	{"CHAIN_LAB", "directory of the lab's state, .chain/lab unless set"},
	{"CHAIN_LAB_FACTOR", "AWS waits are divided by it in the lab, 10 unless set"},
}

// others are prefixes of variables that belong to other parts of the project.
var others = []string{"CHAIN_LAB_", "CHAIN_STATION", "CHAIN_TEST", "CHAIN_CHECK", "CHAIN_BENCH"}

func (c *Config) override(r *reader, environ []string) {
	var known []string
	for _, v := range Variables {
		known = append(known, v.Name)
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
			c.environ[name] = value
		}
		if !strings.HasPrefix(name, "CHAIN_") {
			continue
		}
		ours := slices.Contains(known, name)
		if !ours && !slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(name, p) }) {
			r.fault(0, name, "no such variable%s", meant(name, known))
		}
		c.environ[name] = value
	}
	set := func(name string, to *string) {
		if v := c.environ[name]; v != "" {
			*to = v
		}
	}
	set("CHAIN_TARGET", &c.Target)
	set("CHAIN_TRAIL_REMOTE", &c.Trail.Remote)
	set("CHAIN_TRAIL_BRANCH", &c.Trail.Branch)
	set("CHAIN_SIGNING_KEY", &c.Signing.Key)
	c.Signing.Key = c.path(c.Signing.Key)
	for i, p := range c.Signing.Trusted {
		c.Signing.Trusted[i] = c.path(p)
	}
	for _, s := range c.Sites {
		for _, e := range s.Environments {
			set("CHAIN_ACCOUNT", &e.Account)
		}
	}
}

// path is a file's, from the root of the repository; "~/" is the home directory.
func (c *Config) path(p string) string {
	if p == "" || strings.HasPrefix(p, "arn:") || filepath.IsAbs(p) {
		return p
	}
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return filepath.Join(c.Dir, p)
}

// check is what holds between values, whichever of them came from a variable.
func (c *Config) check(r *reader) {
	if c.Target != "lab" && c.Target != "aws" {
		r.fault(0, "CHAIN_TARGET", "is %q, not lab or aws", c.Target)
	}
	if n := c.environ["CHAIN_SITE"]; n != "" && c.Sites[n] == nil {
		r.fault(0, "CHAIN_SITE", "is %q, %s has %s", n, File, strings.Join(names(c.Sites), ", "))
	}
	for _, name := range names(c.Sites) {
		s := c.Sites[name]
		for _, env := range names(s.Environments) {
			e := s.Environments[env]
			if a := c.environ["CHAIN_ACCOUNT"]; a != "" && !accountID.MatchString(a) {
				r.fault(0, "CHAIN_ACCOUNT", "is %q, not 12 digits", a)
				return
			}
			if c.Target == "aws" && e.Account == "" {
				r.fault(0, "sites."+name+".environments."+env, "target aws needs account: the 12 digits of the AWS account")
			}
		}
	}
}
