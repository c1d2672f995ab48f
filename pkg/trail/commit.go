package trail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unchanged tells whether the trail says all of it already.
func (t *Trail) unchanged(ctx context.Context, e Entry) (bool, error) {
	if e.Tag != "" && t.refs["refs/tags/"+e.Tag] == "" {
		return false, nil
	}
	at := t.tip
	if at == "" {
		at = t.head
	}
	for path, want := range e.Files {
		is, ok, err := read(ctx, t.git, at, path)
		if err != nil {
			return false, err
		}
		if ok != (want != nil) || string(is) != string(want) {
			return false, nil
		}
	}
	return true, nil
}

// commit makes the commit: HEAD's tree, what the trail owns, what is new.
func (t *Trail) commit(ctx context.Context, e Entry) (string, error) {
	op := "write the trail's commit"
	dir, err := os.MkdirTemp(t.o.Cache, "index-")
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	defer os.RemoveAll(dir)
	g := t.git.with("GIT_INDEX_FILE=" + filepath.Join(dir, "index"))
	if _, err := g.run(ctx, op, nil, "read-tree", t.head); err != nil {
		return "", err
	}
	info, err := t.changes(ctx, e)
	if err != nil {
		return "", err
	}
	if _, err := g.run(ctx, op, strings.NewReader(info), "update-index", "-z", "--index-info"); err != nil {
		return "", err
	}
	top, err := g.line(ctx, op, "write-tree")
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", top}
	if t.tip != "" {
		args = append(args, "-p", t.tip)
	}
	args = append(args, "-p", t.head)
	out, err := t.signed().run(ctx, op, strings.NewReader(message(e)), args...)
	return strings.TrimSpace(out), err
}

// changes are the lines for the index that differ from HEAD's tree.
func (t *Trail) changes(ctx context.Context, e Entry) (string, error) {
	var b strings.Builder
	set := func(path string, content []byte) error {
		id, err := t.blob(ctx, content)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "100644 %s\t%s\x00", id, path)
		return nil
	}
	remove := func(path string) {
		fmt.Fprintf(&b, "0 %s\t%s\x00", strings.Repeat("0", len(t.head)), path)
	}
	if t.tip != "" {
		mine, err := tree(ctx, t.git, t.head, []string{strings.TrimSuffix(templateDir, "/")})
		if err != nil {
			return "", err
		}
		for _, f := range mine {
			switch {
			case isEvidence(f.Path):
				remove(f.Path)
			case isTemplate(f.Path) && e.Files[f.Path] == nil:
				body, _, err := read(ctx, t.git, t.head, f.Path)
				if err != nil {
					return "", err
				}
				carried, err := t.carry(ctx, f.Path, body)
				if err != nil {
					return "", err
				}
				if string(carried) != string(body) {
					if err := set(f.Path, carried); err != nil {
						return "", err
					}
				}
			}
		}
		evidence, err := tree(ctx, t.git, t.tip, []string{strings.TrimSuffix(evidenceDir, "/")})
		if err != nil {
			return "", err
		}
		for _, f := range evidence {
			fmt.Fprintf(&b, "%s %s\t%s\x00", f.Mode, f.ID, f.Path)
		}
	}
	paths := make([]string, 0, len(e.Files))
	for path := range e.Files {
		if !isEvidence(path) && !isTemplate(path) {
			return "", fmt.Errorf("write the trail's commit: %s is not the target's to change", path)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if e.Files[path] == nil {
			remove(path)
		} else if err := set(path, e.Files[path]); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (t *Trail) blob(ctx context.Context, content []byte) (string, error) {
	return t.git.write(ctx, "write the trail's commit", string(content), "hash-object", "-w", "--stdin")
}

// signed names author and committer.
func (t *Trail) signed() git {
	when := fmt.Sprintf("@%d +0000", t.o.Clock.Now().Unix())
	return t.git.with(
		"GIT_AUTHOR_NAME="+t.who.Name, "GIT_AUTHOR_EMAIL="+t.who.Email, "GIT_AUTHOR_DATE="+when,
		"GIT_COMMITTER_NAME="+t.who.Name, "GIT_COMMITTER_EMAIL="+t.who.Email, "GIT_COMMITTER_DATE="+when,
	)
}

func (t *Trail) tag(ctx context.Context, e Entry, commit string) (string, error) {
	text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger %s %d +0000\n\n%s", commit, e.Tag, t.who, t.o.Clock.Now().Unix(), message(e))
	out, err := t.git.run(ctx, "write the tag "+e.Tag, strings.NewReader(text), "mktag")
	return strings.TrimSpace(out), err
}

// message is subject, body and trailers, each trailer in one line.
func message(e Entry) string {
	var b strings.Builder
	b.WriteString(oneLine(e.Subject) + "\n\n")
	if body := strings.TrimSpace(e.Body); body != "" {
		b.WriteString(body + "\n\n")
	}
	for _, tr := range append([]Trailer{{"Chain-Trail", e.Kind}}, e.Trailers...) {
		if tr.Value != "" {
			fmt.Fprintf(&b, "%s: %s\n", tr.Key, oneLine(tr.Value))
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
