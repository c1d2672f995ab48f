package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Leak is something on an image that must not be there.
type Leak struct {
	Class string // one of the Leak constants
	Text  string
}

// String is class and text.
func (l Leak) String() string { return l.Class + ": " + l.Text }

// The classes of leaks.
const (
	LeakTools    = "tools of the bake"
	LeakPackages = "packages"
	LeakLogin    = "keys that may log in"
	LeakHostKeys = "host keys"
	LeakIdentity = "machine identity"
	LeakHistory  = "shell history"
	LeakCloud    = "cloud-init state"
	LeakCaches   = "caches"
	LeakLogs     = "logs"
	LeakSecrets  = "secrets"
	LeakTemp     = "temporary files"
	LeakFiles    = "files"
	LeakUsers    = "users"
	LeakUnits    = "units"
	LeakFailed   = "failed units"
	LeakPorts    = "ports"
	LeakSetuid   = "programs that run as somebody else"
	LeakClock    = "clock"
	LeakLocale   = "locale"
	LeakPackager = "package system"
)

// skew is how far a machine's clock may be off ours.
const skew = time.Minute

// judge compares what was seen on a machine of the image with one of its base
// image, seen the same way, and explains every difference by a declared package
// or a declared allowance. login is the public key that the machine was started
// with; now is our time when the survey was taken.
func judge(is, base *survey, a *Allowed, login string, asked, answered time.Time) []Leak {
	j := &verdict{is: is, base: base, a: a}
	j.packages()
	j.files()
	j.names("unit", LeakUnits, is.Units, base.Units, "is enabled")
	j.names("port", LeakPorts, is.Ports, base.Ports, "is listened on")
	j.names("setuid", LeakSetuid, is.Setuid, base.Setuid, "is setuid or setgid")
	for _, c := range is.Capabilities {
		if path, _, _ := strings.Cut(c, " "); !slices.Contains(base.Capabilities, c) && !a.has("setuid", path) {
			j.leak(LeakSetuid, "%s has capabilities and is neither so in the base image nor declared", c)
		}
	}
	j.users()
	j.machine(login, asked, answered)
	return j.leaks
}

type verdict struct {
	is, base *survey
	a        *Allowed
	leaks    []Leak
}

func (j *verdict) leak(class, format string, args ...any) {
	l := Leak{class, fmt.Sprintf(format, args...)}
	if !slices.Contains(j.leaks, l) {
		j.leaks = append(j.leaks, l)
	}
}

var tool = regexp.MustCompile(`(?i)puppet|(^|[^a-z])ruby|facter|hiera|serverspec|rspec|rubygems|(^|/)gems?(/|$)|augeas|packer`)

func (j *verdict) packages() {
	had := map[string]bool{}
	for _, p := range j.base.Packages {
		had[p.Name] = true
	}
	for _, p := range j.is.Packages {
		switch {
		case had[p.Name] || j.a.packages[p.Name]:
		case tool.MatchString(p.Name):
			j.leak(LeakTools, "package %s %s", p.Name, p.Version)
		default:
			j.leak(LeakPackages, "%s %s is neither in the base image nor declared", p.Name, p.Version)
		}
	}
	if j.is.audit != "" {
		j.leak(LeakPackager, "%s", strings.Join(strings.Fields(j.is.audit), " "))
	}
}

func (j *verdict) files() {
	base := map[string]File{}
	for _, list := range [][]File{j.base.Files, j.base.Changed} {
		for _, f := range list {
			base[f.Path] = f
		}
	}
	covered := "" // below a directory that was told, nothing is told again
	for _, list := range [][]File{j.is.Files, j.is.Changed} {
		for _, f := range list {
			was, had := base[f.Path]
			switch {
			case had && was.same(f), j.a.has("file", f.Path):
			case f.Kind == "f" && f.Size == 0 && strings.HasPrefix(f.Path, "/var/log/"):
			case covered != "" && strings.HasPrefix(f.Path, covered):
			case had && f.Kind == "d" && was.Kind == "d" && was.Mode == f.Mode && was.Owner == f.Owner:
			case had:
				j.leak(classOf(f.Path, LeakFiles), "%s is not as in the base image", f.Path)
			case j.is.owned[f.Path]:
				j.leak(classOf(f.Path, LeakFiles), "%s is not as its package brought it", f.Path)
			default:
				j.leak(classOf(f.Path, LeakFiles), "%s is from no declared package", f.Path)
				if f.Kind == "d" {
					covered = f.Path + "/"
				}
			}
		}
	}
}

// classes name a leaked file by where it is.
var classes = []struct {
	path  *regexp.Regexp
	class string
}{
	{regexp.MustCompile(`/authorized_keys`), LeakLogin},
	{regexp.MustCompile(`^/etc/ssh/ssh_host_`), LeakHostKeys},
	{regexp.MustCompile(`/machine-id$|/random-seed$|/credential\.secret$`), LeakIdentity},
	{regexp.MustCompile(`/\.[a-z_]*history$|/\.viminfo$|/\.lesshst$`), LeakHistory},
	{regexp.MustCompile(`^/var/lib/cloud(/|$)`), LeakCloud},
	{regexp.MustCompile(`^/var/log(/|$)`), LeakLogs},
	{regexp.MustCompile(`(?i)/\.aws(/|$)|/\.netrc$|/\.npmrc$|/\.pgpass$|/\.git-credentials$|/\.docker(/|$)|/\.gnupg(/|$)|/\.ssh/id_|\.pem$|/credentials$|\.key$|/\.env$`), LeakSecrets},
	{tool, LeakTools},
	{regexp.MustCompile(`^/var/lib/apt/lists|^/var/cache(/|$)|/\.cache(/|$)|-old$`), LeakCaches},
	{regexp.MustCompile(`^/(var/)?tmp(/|$)`), LeakTemp},
	{regexp.MustCompile(`/\.ssh(/|$)`), LeakLogin},
}

func classOf(path, otherwise string) string {
	for _, c := range classes {
		if c.path.MatchString(path) {
			return c.class
		}
	}
	return otherwise
}

// names compares lists of names.
func (j *verdict) names(kind, class string, is, was []string, what string) {
	for _, n := range is {
		// "tcp/80" allows it on loopback, too; "tcp/80 local" there alone.
		if !slices.Contains(was, n) && !j.a.has(kind, n) && !j.a.has(kind, strings.TrimSuffix(n, " local")) {
			j.leak(class, "%s %s and is neither so in the base image nor declared", n, what)
		}
	}
}

func (j *verdict) users() {
	name := func(u string) string { n, _, _ := strings.Cut(u, ":"); return n }
	for _, u := range j.is.Users {
		if slices.Contains(j.base.Users, u) || j.a.has("user", name(u)) {
			continue
		}
		class := LeakUsers
		if tool.MatchString(name(u)) {
			class = LeakTools
		}
		j.leak(class, "account %s (%s)", name(u), u)
	}
}

// machine is what the machine itself must be like.
func (j *verdict) machine(login string, asked, answered time.Time) {
	for _, k := range j.is.keys {
		file, key, _ := strings.Cut(k, " ")
		if login == "" || !strings.Contains(key, login) {
			j.leak(LeakLogin, "%s has a key that this machine was not started with", file)
		}
	}
	for _, f := range j.is.secrets {
		// A machine makes its host keys at its first boot; older ones are told by their files.
		if strings.HasPrefix(f, "/etc/ssh/ssh_host_") || slices.Contains(j.base.secrets, f) {
			continue
		}
		// Another key may be made at the boot, too, where the role says so.
		if slices.Contains(j.is.fresh, f) && j.a.has("secret", f) {
			continue
		}
		j.leak(LeakSecrets, "%s holds a private key or AWS credentials", f)
	}
	if j.is.identity != "" {
		j.leak(LeakIdentity, "%s is older than this machine", j.is.identity)
	}
	if n := len(j.is.clouds); n > max(1, len(j.base.clouds)) {
		j.leak(LeakCloud, "cloud-init knows %d instances: %s", n, strings.Join(j.is.clouds, ", "))
	}
	for _, u := range j.is.failed {
		j.leak(LeakFailed, "%s failed", u)
	}
	// It was told at some time between the two, which is long on a busy machine.
	if off := max(asked.Sub(j.is.now), j.is.now.Sub(answered)); off > skew {
		j.leak(LeakClock, "it is off by %s", off.Round(time.Second))
	}
	if j.is.zone != "+0000" {
		j.leak(LeakClock, "its time zone is UTC%s, not UTC", j.is.zone)
	}
	if l := j.is.lang; l != "" && !slices.ContainsFunc(j.is.locales, func(have string) bool { return plainLocale(have) == plainLocale(l) }) {
		j.leak(LeakLocale, "LANG is %s, which is not there", l)
	}
}

// plainLocale writes C.UTF-8 and C.utf8 the same way.
func plainLocale(l string) string {
	return strings.ToLower(strings.ReplaceAll(l, "-", ""))
}
