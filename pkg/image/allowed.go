package image

import (
	"fmt"
	"regexp"
	"strings"
)

// Allowed is what an image may have beyond its base image and the packages that
// packer/packages/ROLE declares, as packer/allowed/ROLE and packer/allowed/all
// say it. Each line has a kind and a pattern, in which * stands for anything
// but a slash and ** for anything:
//
//	file PATH      a new file, directory or link, or one with another content
//	unit NAME      an enabled unit
//	port tcp/N     a listening port; "port tcp/N local" on the machine's loopback alone
//	user NAME      an account
//	setuid PATH    a program that runs as somebody else, or has capabilities
//	secret PATH    a key or credentials that the machine makes when it boots; on the image it is a leak
type Allowed struct {
	rules    map[string][]*regexp.Regexp
	packages map[string]bool
}

var allowedKinds = []string{"file", "unit", "port", "user", "setuid", "secret"}

// add reads a list; name is where it is from.
func (a *Allowed) add(name, text string) error {
	if a.rules == nil {
		a.rules, a.packages = map[string][]*regexp.Regexp{}, map[string]bool{}
	}
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		kind, pattern, _ := strings.Cut(strings.TrimSpace(line), " ")
		pattern = strings.TrimSpace(pattern)
		if kind == "" {
			continue
		}
		known := false
		for _, k := range allowedKinds {
			known = known || k == kind
		}
		if !known || pattern == "" || pattern == "**" || pattern == "/**" {
			return fmt.Errorf("%s:%d: %q is not KIND PATTERN, KIND being one of %s", name, n+1, line, strings.Join(allowedKinds, ", "))
		}
		a.rules[kind] = append(a.rules[kind], glob(pattern))
	}
	return nil
}

// declare reads a list of packages.
func (a *Allowed) declare(text string) {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if p := strings.TrimSpace(line); p != "" {
			a.packages[p] = true
		}
	}
}

func (a *Allowed) has(kind, what string) bool {
	for _, r := range a.rules[kind] {
		if r.MatchString(what) {
			return true
		}
	}
	return false
}

func glob(pattern string) *regexp.Regexp {
	q := regexp.QuoteMeta(pattern)
	q = strings.ReplaceAll(q, `\*\*`, ".*")
	q = strings.ReplaceAll(q, `\*`, "[^/]*")
	return regexp.MustCompile("^" + q + "$")
}
