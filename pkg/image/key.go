package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// RecipePaths are the directories an image is made of.
var RecipePaths = []string{"packer", "puppet", "serverspec"}

// Recipe is everything an image is made of.
type Recipe struct {
	Key    string `json:"key"`
	Role   string `json:"role"`
	Commit string `json:"-"` // where it was read; not part of the key
	Base   Base   `json:"base"`
	// Parts are the digests that the key is made of, by what they are of: a
	// directory of RecipePaths, "role", "base". Two keys differ in one of them.
	Parts map[string]string `json:"parts"`
	// Files are the recipe's files as Git knows them, mode and blob by path: they
	// tell which of them differs where a part does.
	Files map[string]string `json:"files,omitempty"`
	// Tools are the declared versions of what installs and tests: they are in
	// packer/tools.env and thereby in the key.
	Tools map[string]string `json:"tools"`
}

// keyLength is in hexadecimal digits: 96 bits, and short enough for names.
const keyLength = 24

// toolsFile declares the versions of Puppet and Serverspec.
const toolsFile = "packer/tools.env"

// Key reads the recipe of a role as a commit has it, not as the working tree
// does: line endings, file modes, ignored and untracked files of a laptop do not
// count, nor do its locale and the way it was cloned. A submodule is refused,
// since the commit does not hold what is in it.
func Key(ctx context.Context, c *trail.Clone, commit, role string, base Base) (Recipe, error) {
	return keyOf(ctx, c, commit, role, base, nil)
}

// keyOf is Key for a role that has other names, too: by what they are of.
func keyOf(ctx context.Context, c *trail.Clone, commit, role string, base Base, others map[string]string) (Recipe, error) {
	r := Recipe{Role: role, Commit: commit, Base: base, Parts: map[string]string{"role": role, "base": base.ID}, Files: map[string]string{}, Tools: map[string]string{}}
	maps.Copy(r.Parts, others)
	for _, dir := range RecipePaths {
		files, err := c.Tree(ctx, commit, dir)
		if err != nil {
			return r, err
		}
		if len(files) == 0 {
			return r, fmt.Errorf("there is no %s/ in commit %s", dir, commit)
		}
		h := sha256.New()
		for _, f := range files {
			if f.Mode == "160000" {
				return r, fmt.Errorf("%s in commit %s is a submodule: the commit does not hold what an image would be made of", f.Path, commit)
			}
			fmt.Fprintf(h, "%s %s %s\x00", f.Mode, f.ID, f.Path)
			r.Files[f.Path] = f.Mode + " " + f.ID
		}
		r.Parts[dir] = hex.EncodeToString(h.Sum(nil))
	}
	env, ok, err := c.Read(ctx, commit, toolsFile)
	if err != nil {
		return r, err
	}
	if !ok {
		return r, fmt.Errorf("there is no %s in commit %s: it declares PUPPET and SERVERSPEC", toolsFile, commit)
	}
	for _, line := range strings.Split(string(env), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(name, "#") {
			r.Tools[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	for _, tool := range []string{"puppet", "serverspec"} {
		if r.Tools[tool] == "" {
			return r, fmt.Errorf("%s in commit %s does not declare %s", toolsFile, commit, strings.ToUpper(tool))
		}
	}
	parts, err := json.Marshal(r.Parts) // sorted by name
	if err != nil {
		return r, fmt.Errorf("digest the recipe: %w", err)
	}
	sum := sha256.Sum256(parts)
	r.Key = hex.EncodeToString(sum[:])[:keyLength]
	return r, nil
}

// Differs names what two recipes differ in, sorted.
func (r Recipe) Differs(o Recipe) []string {
	var list []string
	for name, digest := range r.Parts {
		if o.Parts[name] != digest {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Changes words what changed from another recipe to this one, each input on its
// own: "puppet/page changed", "base image ami-1 -> ami-2". It is empty if
// nothing did.
func (r Recipe) Changes(from Recipe) []string {
	var list []string
	if r.Role != from.Role {
		list = append(list, fmt.Sprintf("role %s -> %s", from.Role, r.Role))
	}
	if r.Base.ID != from.Base.ID {
		list = append(list, fmt.Sprintf("base image %s -> %s", from.Base, r.Base))
	}
	for _, name := range []string{"puppet class", "specs"} {
		if is, was := r.Parts[name], from.Parts[name]; is != was {
			list = append(list, fmt.Sprintf("%s %s -> %s", name, cmp.Or(was, from.Role), cmp.Or(is, r.Role)))
		}
	}
	told := false // a version tells more than that its file changed
	for _, tool := range union(r.Tools, from.Tools) {
		if is, was := r.Tools[tool], from.Tools[tool]; is != was {
			told = true
			list = append(list, fmt.Sprintf("%s %s -> %s", tool, orNone(was), orNone(is)))
		}
	}
	if len(from.Files) == 0 {
		// A record of before files were told apart.
		for _, part := range r.Differs(from) {
			if slices.Contains(RecipePaths, part) {
				list = append(list, part+"/ changed")
			}
		}
		return list
	}
	for _, path := range union(r.Files, from.Files) {
		is, ok := r.Files[path]
		was, had := from.Files[path]
		switch {
		case is == was || path == toolsFile && told:
		case !had:
			list = append(list, path+" added")
		case !ok:
			list = append(list, path+" removed")
		case strings.Fields(is)[1] == strings.Fields(was)[1]:
			list = append(list, fmt.Sprintf("%s mode %s -> %s", path, strings.Fields(was)[0], strings.Fields(is)[0]))
		default:
			list = append(list, path+" changed")
		}
	}
	return list
}

func union(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Find is the good image of a key, nil if there is none. Of several, copies or
// forced bakes, prefer is taken if it is among them, else the newest.
func Find(ctx context.Context, c *compute.Client, role, key, prefer string) (*compute.Image, error) {
	list, err := c.Images(ctx, compute.ImageQuery{Owner: "self", Tags: compute.Tags{TagKey: key, TagRole: role, TagState: Good}})
	if err != nil {
		return nil, err
	}
	var found *compute.Image
	for _, i := range list {
		if i.State != "available" {
			continue
		}
		if i.ID == prefer {
			return &i, nil
		}
		if found == nil {
			found = &i
		}
	}
	return found, nil
}

// attempts is the highest attempt of a key that has left an image, good or not.
func attempts(ctx context.Context, c *compute.Client, role, key string) (int, error) {
	prefix := role + "-" + key + "-"
	list, err := c.Images(ctx, compute.ImageQuery{Owner: "self", Name: prefix + "*"})
	if err != nil {
		return 0, err
	}
	highest := 0
	for _, i := range list {
		n := 0
		if _, err := fmt.Sscanf(strings.TrimPrefix(i.Name, prefix), "%d", &n); err == nil {
			highest = max(highest, n)
		}
	}
	return highest, nil
}

// name of an attempt.
func name(role, key string, attempt int) string { return fmt.Sprintf("%s-%s-%d", role, key, attempt) }
