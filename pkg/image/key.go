package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
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
	// Tools are the declared versions of what installs and tests: they are in
	// packer/tools.env and thereby in the key.
	Tools map[string]string `json:"tools"`
}

// Base is the image that another is made from.
type Base struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// keyLength is in hexadecimal digits: 96 bits, and short enough for names.
const keyLength = 24

// toolsFile declares the versions of Puppet and Serverspec.
const toolsFile = "packer/tools.env"

// Key reads the recipe of a role as a commit has it, not as the working tree
// does. It is the same on every machine.
func Key(ctx context.Context, c *trail.Clone, commit, role string, base Base) (Recipe, error) {
	r := Recipe{Role: role, Commit: commit, Base: base, Parts: map[string]string{"role": role, "base": base.ID}, Tools: map[string]string{}}
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
			fmt.Fprintf(h, "%s %s %s\x00", f.Mode, f.ID, f.Path)
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

// NoBaseError says that no base image fits chain.yaml.
type NoBaseError struct {
	Bake   config.Bake
	Region string
}

// Error names what was looked for.
func (e *NoBaseError) Error() string {
	return fmt.Sprintf("no image of owner %s named %q in %s", e.Bake.Owner, e.Bake.Name, e.Region)
}

// FindBase picks the base image. The last one stays as long as it is there and
// fits: a new one that appears must not replace machines unasked. With newest,
// or without a last one, the newest is taken.
func FindBase(ctx context.Context, c *compute.Client, b config.Bake, region, last string, newest bool) (Base, error) {
	list, err := c.Images(ctx, compute.ImageQuery{Owner: b.Owner, Name: b.Name})
	if err != nil {
		return Base{}, err
	}
	list = slices.DeleteFunc(list, func(i compute.Image) bool { return i.State != "available" })
	if len(list) == 0 {
		return Base{}, &NoBaseError{b, region}
	}
	for _, i := range list {
		if i.ID == last && !newest {
			return Base{i.ID, i.Name}, nil
		}
	}
	return Base{list[0].ID, list[0].Name}, nil
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
