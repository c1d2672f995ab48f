package config

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Version is the chain's own, of the heading that CHANGELOG.md gets next. It is
// raised where an older chain could not read what this one writes into Git.
const Version = "0.1.0"

// Rules are what an environment says about releases of it.
type Rules struct {
	// Evidence is how long a rehearsal counts after it ended. A week unless told.
	Evidence time.Duration
	// Releasers may release: e-mail addresses of Git's user or ARNs of AWS's
	// caller, with the wildcards * and ? and [a-z]. Empty: everybody whom AWS lets.
	Releasers []string
	Freezes   []Freeze
}

// Freeze is a time in which nothing is released. Rollbacks are.
type Freeze struct {
	From, To time.Time // To is the first moment after it; both zero: it is weekly
	Weekly   Week
	Owner    string // whom to ask
	Reason   string
}

// Week is a part of every week; it may go over Sunday's end.
type Week struct {
	From, To time.Duration // since Sunday 00:00, by the clock on the wall
	Zone     *time.Location
	text     string
}

// Holds says whether t is in the freeze.
func (f Freeze) Holds(t time.Time) bool {
	if f.Weekly.Zone == nil {
		return !t.Before(f.From) && t.Before(f.To)
	}
	l := t.In(f.Weekly.Zone)
	hour, minute, second := l.Clock()
	at := time.Duration(l.Weekday())*24*time.Hour + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	if f.Weekly.From <= f.Weekly.To {
		return at >= f.Weekly.From && at < f.Weekly.To
	}
	return at >= f.Weekly.From || at < f.Weekly.To
}

// String is when it is.
func (f Freeze) String() string {
	if f.Weekly.Zone != nil {
		return "every week " + f.Weekly.text
	}
	const layout = "2006-01-02 15:04 MST"
	return f.From.Format(layout) + " to " + f.To.Format(layout)
}

// Frozen is the first freeze that holds at t, nil if none does.
func (r Rules) Frozen(t time.Time) *Freeze {
	for i := range r.Freezes {
		if r.Freezes[i].Holds(t) {
			return &r.Freezes[i]
		}
	}
	return nil
}

// MayRelease says whether one of the names, an e-mail address or an ARN, is a
// releaser's. Letters' case does not matter.
func (r Rules) MayRelease(names ...string) bool {
	for _, pattern := range r.Releasers {
		for _, n := range names {
			// An ARN has slashes, which path.Match's * stops at.
			flat := strings.NewReplacer("/", "\x00")
			if ok, err := path.Match(flat.Replace(strings.ToLower(pattern)), flat.Replace(strings.ToLower(n))); ok && err == nil {
				return true
			}
		}
	}
	return len(r.Releasers) == 0
}

var (
	versionText = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	weekText    = regexp.MustCompile(`^(?i)(sun|mon|tue|wed|thu|fri|sat)[a-z]* ([0-9]{1,2}):([0-9]{2}) *- *(sun|mon|tue|wed|thu|fri|sat)[a-z]* ([0-9]{1,2}):([0-9]{2})(?: ([A-Za-z_/+-]+))?$`)
	days        = map[string]int{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
)

// rules reads what an environment says about its releases.
func (r *reader) rules(m *node) Rules {
	out := Rules{Evidence: 7 * 24 * time.Hour}
	m.duration("evidence", &out.Evidence, 365*24*time.Hour)
	if m.keys["releasers"] != nil {
		m.list("releasers", &out.Releasers, func(s string) error {
			if _, err := path.Match(s, ""); err != nil || s == "" {
				return fmt.Errorf("is %q, not a pattern of e-mail addresses or ARNs", s)
			}
			return nil
		})
	}
	for _, item := range m.items("freezes") {
		out.Freezes = append(out.Freezes, r.freeze(item))
	}
	return out
}

func (r *reader) freeze(m *node) Freeze {
	var f Freeze
	m.need("owner", &f.Owner, notEmpty)
	m.need("reason", &f.Reason, notEmpty)
	weekly := ""
	m.text("weekly", &weekly, func(s string) (err error) {
		f.Weekly, err = week(s)
		return err
	})
	_, once := m.keys["from"]
	if _, always := m.keys["weekly"]; always == once {
		r.fault(m.n.Line, m.path, "needs either weekly, or from and to")
	}
	if once {
		var from, to string
		m.need("from", &from, moment(&f.From))
		m.need("to", &to, moment(&f.To))
		if from != "" && to != "" && !f.To.After(f.From) {
			r.fault(m.line("to"), m.at("to"), "is not after from")
		}
	}
	m.rest()
	return f
}

// moment reads a date, meaning its beginning in UTC, or a time with its zone.
func moment(to *time.Time) func(string) error {
	return func(s string) error {
		for _, layout := range []string{time.DateOnly, "2006-01-02T15:04Z07:00", time.RFC3339} {
			if t, err := time.Parse(layout, s); err == nil {
				*to = t
				return nil
			}
		}
		return fmt.Errorf("is %q, not a date such as 2026-12-20 or a time such as 2026-12-20T16:00+01:00", s)
	}
}

func week(s string) (Week, error) {
	m := weekText.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Week{}, fmt.Errorf("is %q, not such as Fri 16:00 - Mon 07:00 Europe/Berlin", s)
	}
	w := Week{Zone: time.UTC, text: m[0]}
	if m[7] != "" {
		zone, err := time.LoadLocation(m[7])
		if err != nil || strings.EqualFold(m[7], "local") {
			return Week{}, fmt.Errorf("%q is no time zone; one is such as Europe/Berlin", m[7])
		}
		w.Zone = zone
	}
	at := func(day, hour, minute string) (time.Duration, error) {
		h, _ := strconv.Atoi(hour)
		n, _ := strconv.Atoi(minute)
		if h > 24 || n > 59 || h == 24 && n > 0 {
			return 0, fmt.Errorf("%s:%s is no time of day", hour, minute)
		}
		return time.Duration(days[strings.ToLower(day)]*24+h)*time.Hour + time.Duration(n)*time.Minute, nil
	}
	var first, second error
	w.From, first = at(m[1], m[2], m[3])
	w.To, second = at(m[4], m[5], m[6])
	if w.From == w.To {
		second = errors.Join(second, errors.New("it begins when it ends"))
	}
	return w, errors.Join(first, second)
}

// items are the mappings of a list, if it is there.
func (m *node) items(key string) []*node {
	v := m.get(key)
	if v == nil {
		return nil
	}
	if v.Kind != yaml.SequenceNode {
		m.r.fault(m.lines[key], m.at(key), "is %s, not a list", kind(v))
		return nil
	}
	var out []*node
	for i, item := range v.Content {
		if c := m.r.mapping(item, fmt.Sprintf("%s[%d]", m.at(key), i)); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// older says whether version a comes before version b; both are three numbers.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, _ := strconv.Atoi(x[i])
		o, _ := strconv.Atoi(y[i])
		if n != o {
			return n < o
		}
	}
	return false
}

// minimum refuses a configuration that wants a newer chain.
func (r *reader) minimum(m *node) {
	var least string
	m.text("minimum", &least, func(s string) error {
		if !versionText.MatchString(s) {
			return fmt.Errorf("is %q, not a version of three numbers", s)
		}
		if older(Version, s) {
			return fmt.Errorf("wants version %s of the chain, and this is %s: git pull, or `go get` of it", s, Version)
		}
		return nil
	})
}
