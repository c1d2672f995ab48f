package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/provenance"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Compare words what changed from one inventory to another: packages, files,
// units, ports, accounts, setuid programs and the size. Nothing changed: nil.
func Compare(from, to Inventory) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	was, is := map[string]Package{}, map[string]Package{}
	for _, p := range from.Packages {
		was[p.Name+":"+p.Architecture] = p
	}
	for _, p := range to.Packages {
		is[p.Name+":"+p.Architecture] = p
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		a, had := was[k]
		b, has := is[k]
		switch {
		case !had:
			say("package added: %s %s", b.Name, b.Version)
		case !has:
			say("package removed: %s %s", a.Name, a.Version)
		case a.Version != b.Version && newer(a.Version, b.Version) > 0:
			say("package downgraded: %s %s -> %s", a.Name, a.Version, b.Version)
		case a.Version != b.Version:
			say("package upgraded: %s %s -> %s", a.Name, a.Version, b.Version)
		}
	}
	files := func(i Inventory) map[string]File {
		m := map[string]File{}
		for _, f := range slices.Concat(i.Files, i.Changed) {
			m[f.Path] = f
		}
		return m
	}
	old, now := files(from), files(to)
	both := maps.Clone(old)
	maps.Copy(both, now)
	for _, path := range slices.Sorted(maps.Keys(both)) {
		a, had := old[path]
		b, has := now[path]
		switch {
		case !had:
			say("file added: %s", path)
		case !has:
			say("file removed: %s", path)
		case !a.same(b):
			say("file changed: %s%s", path, how(a, b))
		}
	}
	for _, l := range []struct {
		what    string
		was, is []string
	}{{"unit enabled", from.Units, to.Units}, {"port", from.Ports, to.Ports}, {"account", from.Users, to.Users}, {"setuid", from.Setuid, to.Setuid}, {"capabilities", from.Capabilities, to.Capabilities}} {
		for _, x := range l.is {
			if !slices.Contains(l.was, x) {
				say("%s added: %s", l.what, x)
			}
		}
		for _, x := range l.was {
			if !slices.Contains(l.is, x) {
				say("%s removed: %s", l.what, x)
			}
		}
	}
	// A file system's blocks come and go; a quarter of a mebibyte tells nothing.
	if d := to.KiB - from.KiB; len(out) > 0 && (d > 256 || d < -256) {
		say("size: %.1f MiB -> %.1f MiB (%+.1f)", float64(from.KiB)/1024, float64(to.KiB)/1024, float64(d)/1024)
	}
	return out
}

func how(a, b File) string {
	var list []string
	for _, x := range [][3]string{{"kind", a.Kind, b.Kind}, {"mode", a.Mode, b.Mode}, {"owner", a.Owner, b.Owner}, {"to", a.Link, b.Link}} {
		if x[1] != x[2] {
			list = append(list, fmt.Sprintf("%s %s -> %s", x[0], x[1], x[2]))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// newer compares versions as dpkg does: above zero if a is newer than b.
func newer(a, b string) int {
	cut := func(v string) (epoch, upstream, revision string) {
		epoch, upstream, ok := strings.Cut(v, ":")
		if !ok {
			epoch, upstream = "0", v
		}
		if i := strings.LastIndex(upstream, "-"); i >= 0 {
			upstream, revision = upstream[:i], upstream[i+1:]
		}
		return epoch, upstream, revision
	}
	ae, au, ar := cut(a)
	be, bu, br := cut(b)
	return cmp.Or(part(ae, be), part(au, bu), part(ar, br))
}

// part compares parts of versions: text and numbers in turn, a tilde before the end.
func part(a, b string) int {
	rank := func(s string) int {
		switch {
		case s == "" || s[0] >= '0' && s[0] <= '9':
			return 0
		case s[0] == '~':
			return -1
		case s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	digits := func(s string) (number, rest string) {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return strings.TrimLeft(s[:i], "0"), s[i:]
	}
	for a != "" || b != "" {
		for rank(a) != 0 || rank(b) != 0 {
			if d := cmp.Compare(rank(a), rank(b)); d != 0 {
				return d
			}
			a, b = a[1:], b[1:]
		}
		var x, y string
		x, a = digits(a)
		y, b = digits(b)
		if d := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); d != 0 {
			return d
		}
	}
	return 0
}

// Diff words what changed from one image to another, as they were inspected.
func Diff(ctx context.Context, o Options, from, to string) ([]string, error) {
	var both [2]Inventory
	for n, ami := range []string{from, to} {
		i, ok, err := InventoryOf(ctx, o, ami)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &report.Failure{
				Code: report.Usage, ID: "E-IMG-03", What: "nothing is on record of what is on " + ami, State: "nothing was changed",
				Next: []string{"./station.sh image:inspect " + ami + "  # looks at a machine of it"},
			}
		}
		both[n] = i
	}
	out := Compare(both[0], both[1])
	a, okA, _ := Story(ctx, o, from) // what nobody vouches for is not told
	b, okB, _ := Story(ctx, o, to)
	if okA && okB {
		is := Recipe{Role: b.Role, Base: Base{ID: b.Base.ID, Name: b.Base.Name}, Parts: b.Parts, Files: b.Files, Tools: b.Tools}
		was := Recipe{Role: a.Role, Base: Base{ID: a.Base.ID, Name: a.Base.Name}, Parts: a.Parts, Files: a.Files, Tools: a.Tools}
		for _, c := range is.Changes(was) {
			out = append(out, "recipe: "+c)
		}
	}
	return out, nil
}

// Show tells the story of an image: where it came from, who vouches for it, what
// is on it.
func Show(ctx context.Context, o Options, ami string) ([]string, error) {
	o = o.filled()
	i, err := o.Client.Image(ctx, ami)
	if err != nil {
		return nil, err
	}
	s, signed, serr := Story(ctx, o, ami)
	if i == nil && !signed {
		return nil, noSuchImage(ami, o)
	}
	var out []string
	say := func(name, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-11s", name)+fmt.Sprintf(format, args...))
	}
	if i == nil {
		say("image", "%s (%s), which is not there any more", ami, s.Name)
	} else {
		say("image", "%s (%s), %s, made %s", ami, i.Name, i.State, i.Created.UTC().Format(time.RFC3339))
		say("snapshots", "%s", strings.Join(i.Snapshots, ", "))
	}
	if signed {
		tellStory(s, say)
	}
	_, verr := Verify(ctx, o, ami)
	switch {
	case verr == nil:
		say("vouched", "yes: signed by a trusted key, and image, snapshots and tags are as signed")
	case serr != nil:
		say("vouched", "NO: %v", serr)
	default:
		if f := (*report.Failure)(nil); errors.As(verr, &f) && f.Err != nil {
			verr = f.Err
		}
		say("vouched", "NO: %v", verr)
	}
	if inventory, ok, err := InventoryOf(ctx, o, ami); err != nil {
		return out, err
	} else if ok {
		say("on it", "%d packages, %.0f MiB in files, ports %s", len(inventory.Packages), float64(inventory.KiB)/1024, strings.Join(inventory.Ports, " "))
		say("records", "%s", "cloudformation/evidence/images/"+ami+"/ of the trail: "+strings.Join([]string{statementFile, inventoryFile, sbomFile}, ", "))
	}
	return out, nil
}

func tellStory(s provenance.Story, say func(name, format string, args ...any)) {
	say("role", "%s, key %s", s.Role, s.Key)
	say("commit", "%s", s.Commit)
	say("base", "%s (%s) of account %s", s.Base.ID, s.Base.Name, s.Base.Owner)
	var tools []string
	for _, k := range slices.Sorted(maps.Keys(s.Tools)) {
		tools = append(tools, k+" "+s.Tools[k])
	}
	say("made with", "%s", strings.Join(tools, ", "))
	say("proved", "%d expectations met from outside, in run %s, %s", s.Examples, s.Run, s.Ended.Format(time.RFC3339))
	if s.Copy != "" {
		say("copy of", "%s", s.Copy)
	}
	say("content", "sha256:%s", s.Content)
}
