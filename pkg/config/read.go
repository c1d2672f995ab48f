package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// reader walks chain.yaml's nodes and collects what is wrong with them.
type reader struct{ faults []Fault }

func (r *reader) fault(line int, path, format string, args ...any) {
	r.faults = append(r.faults, Fault{line, path, fmt.Sprintf(format, args...)})
}

var (
	siteName        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	accountID       = regexp.MustCompile(`^[0-9]{12}$`)
	regionName      = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	domainName      = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	typeName        = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	roleName        = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)
	parameterName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,254}$`)
	certificate     = regexp.MustCompile(`^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/.+$`)
	kmsKey          = regexp.MustCompile(`^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/.+|alias/.+)$`)
	databaseClass   = regexp.MustCompile(`^db\.[a-z0-9-]+\.[a-z0-9]+$`)
	databaseVersion = regexp.MustCompile(`^[0-9]{2}(\.[0-9]+)?$`)
	snapshotName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9:-]{0,254}$`)
	branchName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
	yamlLine        = regexp.MustCompile(`^line ([0-9]+): (.*)$`)
)

func (r *reader) config(c *Config, text []byte) {
	c.Target = "lab"
	c.Trail = Trail{Remote: "origin", Branch: "chain-trail"}
	c.Bake = Bake{Owner: "136693071363", Name: "debian-12-amd64-*", InstanceType: "t3.small", User: "admin", Keep: 5}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		// The parser stops at the first such fault.
		msg := strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			line, _ := strconv.Atoi(m[1])
			r.fault(line, "", "not YAML: %s", m[2])
			return
		}
		r.fault(1, "", "not YAML: %s", msg)
		return
	}
	if len(doc.Content) == 0 {
		r.fault(1, "", "empty, at least sites is needed")
		return
	}
	top := r.mapping(doc.Content[0], "")
	if top == nil {
		return
	}
	top.text("target", &c.Target, func(s string) error {
		if s != "lab" && s != "aws" {
			return fmt.Errorf("is %q, not lab or aws", s)
		}
		return nil
	})
	r.minimum(top)
	if m := top.child("trail", false); m != nil {
		m.text("remote", &c.Trail.Remote, notEmpty)
		m.text("branch", &c.Trail.Branch, like(branchName, "a branch name"))
		m.rest()
	}
	if m := top.child("bake", false); m != nil {
		m.text("owner", &c.Bake.Owner, like(accountID, "an account of 12 digits (in quotes)"))
		m.text("name", &c.Bake.Name, notEmpty)
		m.text("instance_type", &c.Bake.InstanceType, like(typeName, "an instance type"))
		m.text("user", &c.Bake.User, notEmpty)
		m.number("keep", &c.Bake.Keep, 1, 1000, false)
		m.rest()
	}
	if m := top.child("signing", false); m != nil {
		m.text("key", &c.Signing.Key, notEmpty)
		m.list("trusted", &c.Signing.Trusted, notEmpty)
		m.rest()
	}
	c.Sites = map[string]*Site{}
	if m := top.child("sites", true); m != nil {
		m.each("a site's name: lower-case letters, digits and hyphens", siteName, func(name string, n *node) {
			c.Sites[name] = r.site(name, n)
		})
	}
	r.images(c, top.child("images", false))
	top.rest()
}

// images reads those that chain.yaml names, and adds each site's own.
func (r *reader) images(c *Config, m *node) {
	c.Images = map[string]*Image{}
	for _, s := range c.Sites {
		c.Images[s.Role] = &Image{Role: s.Role, Puppet: s.Role, Specs: s.Role, Parameter: imageParameter}
	}
	if m == nil {
		return
	}
	used := map[string]string{}
	m.each("a role's name", roleName, func(role string, n *node) {
		i := c.Images[role]
		if i == nil {
			i = &Image{Role: role, Puppet: role, Specs: role}
			of := n.text
			if n.keys["site"] != nil || n.keys["parameter"] != nil { // both or neither
				of = n.need
			}
			of("site", &i.Site, func(v string) error {
				if c.Sites[v] == nil {
					return fmt.Errorf("is %q, there are sites %s", v, strings.Join(names(c.Sites), ", "))
				}
				return nil
			})
			of("parameter", &i.Parameter, like(parameterName, "a parameter's name"))
			if i.Parameter == imageParameter {
				r.fault(n.line("parameter"), n.path+".parameter", "is %s, which is of the site's own role", imageParameter)
			}
			at := i.Site + " " + i.Parameter
			if first := used[at]; first != "" && i.Site != "" {
				r.fault(n.line("parameter"), n.path+".parameter", "is that of image %s, too", first)
			}
			used[at] = role
		}
		n.text("puppet", &i.Puppet, like(roleName, "a role's name"))
		n.text("specs", &i.Specs, like(roleName, "a directory's name"))
		if role == toolsRole || i.Specs == contractSpecs {
			r.fault(n.n.Line, n.path, "is a name that the chain itself uses")
		}
		n.rest()
		c.Images[role] = i
	})
}

// imageParameter names a site's own image, in its templates.
const imageParameter = "ImageId"

// Names that a bake uses itself: for images and for specs.
const (
	toolsRole     = "tools"
	contractSpecs = "image_contract"
)

func (r *reader) site(name string, m *node) *Site {
	s := &Site{Name: name, Environments: map[string]*Environment{}}
	m.need("role", &s.Role, like(roleName, "a role's name"))
	m.need("domain", &s.Domain, like(domainName, "a domain name in lower case"))
	if _, rest, ok := strings.Cut(s.Domain, "."); ok {
		s.Zone = rest
	}
	m.text("zone", &s.Zone, like(domainName, "a domain name in lower case"))
	m.text("user_data", &s.UserData, func(v string) error {
		if path.IsAbs(v) || path.Clean(v) != v || strings.HasPrefix(v, "..") {
			return fmt.Errorf("is %q, not a path inside the repository", v)
		}
		return nil
	})
	if s.Domain != "" && s.Zone != "" && s.Domain != s.Zone && !strings.HasSuffix(s.Domain, "."+s.Zone) {
		r.fault(m.line("zone"), m.path+".zone", "%s is not in zone %s", s.Domain, s.Zone)
	}
	if envs := m.child("environments", true); envs != nil {
		envs.each("an environment's name: lower-case letters, digits and hyphens", siteName, func(name string, n *node) {
			if strings.HasPrefix(name, "test-") || name == "recovery" {
				r.fault(n.n.Line, n.path, "is a name that the chain itself uses")
			}
			s.Environments[name] = r.environment(s, name, n)
		})
	}
	m.rest()
	return s
}

func (r *reader) environment(s *Site, name string, m *node) *Environment {
	e := &Environment{Site: s, Name: name, Domain: s.Domain}
	e.Sizes = Sizes{Zones: 2, InstanceType: "t3.small"}
	if name != "production" && s.Zone != "" {
		e.Domain = s.Name + "-" + name + "." + s.Zone
	}
	m.text("account", &e.Account, like(accountID, "12 digits in quotes"))
	m.text("domain", &e.Domain, like(domainName, "a domain name in lower case"))
	m.text("certificate", &e.Certificate, like(certificate, "the ARN of an ACM certificate"))
	m.list("regions", &e.Regions, like(regionName, "a region's name"))
	if m.get("live") != nil {
		m.list("live", &e.Live, func(region string) error {
			if !slices.Contains(e.Regions, region) {
				return fmt.Errorf("is %q, which is not in regions", region)
			}
			return nil
		})
	} else if len(e.Regions) > 0 {
		e.Live = e.Regions[:1]
	}
	e.Rules = r.rules(m)
	e.Recovery = r.recovery(m)
	e.Monitor = r.monitor(m.child("monitor", false))
	if keys := m.child("keys", false); keys != nil {
		e.Keys = map[string]string{}
		for _, region := range e.Regions {
			key := ""
			keys.text(region, &key, like(kmsKey, "the ARN or alias of a KMS key"))
			e.Keys[region] = key
		}
		keys.rest()
	}
	m.duration("monitoring", &e.Monitoring, 3*time.Hour)
	if e.Monitoring%time.Minute != 0 {
		r.fault(m.line("monitoring"), m.path+".monitoring", "is %s, not whole minutes", e.Monitoring)
	}
	if z := m.child("sizes", true); z != nil {
		z.number("instances", &e.Sizes.Instances, 1, 50, true)
		z.number("zones", &e.Sizes.Zones, 2, 4, false)
		e.Sizes.Min, e.Sizes.Max = e.Sizes.Instances, 2*e.Sizes.Instances
		z.number("min", &e.Sizes.Min, 1, 50, false)
		z.number("max", &e.Sizes.Max, 2, 100, false)
		z.text("instance_type", &e.Sizes.InstanceType, like(typeName, "an instance type"))
		if e.Sizes.Max < 2*e.Sizes.Instances {
			r.fault(z.line("max"), z.path+".max", "is %d, less than twice instances (%d): an update starts all new instances before it ends an old one",
				e.Sizes.Max, 2*e.Sizes.Instances)
		}
		if e.Sizes.Min > e.Sizes.Instances {
			r.fault(z.line("min"), z.path+".min", "is %d, more than instances (%d)", e.Sizes.Min, e.Sizes.Instances)
		}
		z.rest()
	}
	e.Database = r.database(m.child("database", false))
	e.Rollback.Cancel = true
	if b := m.child("rollback", false); b != nil {
		b.duration("within", &e.Rollback.Within, 12*time.Hour)
		b.word("cancel", "false", "true", &e.Rollback.Cancel)
		b.rest()
	}
	m.rest()
	return e
}

// database reads what an environment says of its database, nil for none.
func (r *reader) database(m *node) *Database {
	if m == nil {
		return nil
	}
	d := &Database{Storage: 20, Version: "17"}
	m.need("class", &d.Class, like(databaseClass, "a database's class such as db.t4g.small"))
	m.number("storage", &d.Storage, 20, 65536, false)
	m.text("version", &d.Version, like(databaseVersion, "a version of PostgreSQL such as 17"))
	m.text("snapshot", &d.Snapshot, like(snapshotName, "the name or ARN of a database snapshot"))
	m.word("multi_az", "false", "true", &d.MultiAZ)
	m.word("rehearse", "copy", "empty", &d.Empty)
	m.rest()
	return d
}

func notEmpty(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return nil
}

func like(re *regexp.Regexp, what string) func(string) error {
	return func(s string) error {
		if !re.MatchString(s) {
			return fmt.Errorf("is %q, not %s", s, what)
		}
		return nil
	}
}
