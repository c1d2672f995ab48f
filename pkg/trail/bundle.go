package trail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Bundle is the whole trail as one file of Git's: its branch with the user's
// commits below it, and the tags of the releases. tip is the newest commit in it.
func (t *Trail) Bundle(ctx context.Context) (content []byte, tip string, err error) {
	dir, err := os.MkdirTemp("", "trail-")
	if err != nil {
		return nil, "", fmt.Errorf("bundle the trail: %w", err)
	}
	defer os.RemoveAll(dir)
	op := "bundle the trail of " + t.Remote()
	bare, file := filepath.Join(dir, "bare"), filepath.Join(dir, "bundle")
	g := git{runner: t.clone.git.runner, dir: dir}
	if _, err := g.remote(ctx, t.o.Timeout, op, "clone", "--quiet", "--bare", "--single-branch", "--branch", t.o.Branch, t.url, bare); err != nil {
		return nil, "", err
	}
	g.dir = bare
	shallow, err := g.line(ctx, op, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, "", err
	}
	if shallow == "true" {
		return nil, "", &Error{
			Kind: Broken, Op: op, Text: "it was pushed from a shallow clone, so that what lies below is missing",
			Next: []string{"git fetch --unshallow && git push " + t.o.Remote + " " + t.o.Branch + "  # in a clone with the whole history"},
		}
	}
	if tip, err = g.line(ctx, op, "rev-parse", t.branchRef()); err != nil {
		return nil, "", err
	}
	if _, err := g.run(ctx, op, nil, "bundle", "create", "--quiet", file, "--all"); err != nil {
		return nil, "", err
	}
	if content, err = os.ReadFile(file); err != nil {
		return nil, "", fmt.Errorf("%s: %w", op, err)
	}
	return content, tip, nil
}

// Unbundle clones what Bundle made, as somebody would who has nothing else, and
// reads a file of its newest commit. ok is false if that has none.
func (t *Trail) Unbundle(ctx context.Context, content []byte, path string) (body []byte, ok bool, err error) {
	dir, err := os.MkdirTemp("", "trail-")
	if err != nil {
		return nil, false, fmt.Errorf("clone from a bundle: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "bundle")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return nil, false, fmt.Errorf("clone from a bundle: %w", err)
	}
	g := git{runner: t.clone.git.runner, dir: dir}
	if _, err := g.run(ctx, "clone from a bundle", nil, "clone", "--quiet", "--branch", t.o.Branch, file, "clone"); err != nil {
		return nil, false, err
	}
	g.dir = filepath.Join(dir, "clone")
	if _, err := g.run(ctx, "look for damage in a bundle", nil, "fsck", "--no-dangling", "--no-progress"); err != nil {
		return nil, false, err
	}
	return read(ctx, g, "HEAD", path)
}
