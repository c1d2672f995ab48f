package trail

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/build-deploy-chain/chain/pkg/command"
)

// Clone is the user's clone of the repository. Nothing here ever changes it.
type Clone struct {
	// Root is its top directory.
	Root    string
	git     git
	objects string
}

// State is what a clone is like.
type State struct {
	Head    string   // commit
	Branch  string   // "" when HEAD is detached
	Dirty   []string // paths that are not as in HEAD, new ones included; sorted as Git does
	Shallow bool
}

// File is one entry of a tree.
type File struct {
	Mode string // "100644", "100755", "120000", "160000"
	ID   string // object id
	Path string
}

// Identity is who writes commits.
type Identity struct{ Name, Email string }

// String is "Name <email>".
func (i Identity) String() string { return i.Name + " <" + i.Email + ">" }

// OpenClone finds the clone that dir is in. r may be nil.
func OpenClone(ctx context.Context, r command.Runner, dir string) (*Clone, error) {
	if r == nil {
		r = Runner()
	}
	g := git{runner: r, dir: dir}
	out, err := g.line(ctx, "look for the clone in "+dir, "rev-parse", "--is-bare-repository", "--git-path", "objects")
	if err != nil {
		return nil, err
	}
	bare, objects, _ := strings.Cut(out, "\n")
	if bare == "true" {
		return nil, &Error{Kind: NotClone, Op: "look for the clone in " + dir, Text: "this is a bare repository", Next: nextOf[NotClone]}
	}
	root, err := g.line(ctx, "look for the clone in "+dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(objects) {
		objects = filepath.Join(dir, objects)
	}
	if objects, err = filepath.Abs(objects); err != nil {
		return nil, fmt.Errorf("look for the clone in %s: %w", dir, err)
	}
	return &Clone{Root: root, git: git{runner: r, dir: root, kept: &sync.Map{}}, objects: objects}, nil
}

// Head is the commit that HEAD names.
func (c *Clone) Head(ctx context.Context) (string, error) {
	out, err := c.git.line(ctx, "read HEAD", "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil {
		return "", &Error{Kind: NoCommits, Op: "read HEAD of " + c.Root, Err: err, Text: "the repository has no commit yet", Next: nextOf[NoCommits]}
	}
	return out, nil
}

// State reads HEAD, its branch and what is not committed. What lies in .chain
// is ours and never counts.
func (c *Clone) State(ctx context.Context) (State, error) {
	head, err := c.Head(ctx)
	if err != nil {
		return State{}, err
	}
	s := State{Head: head}
	// A detached HEAD is no error: the status is 1 and the branch stays empty.
	s.Branch, _ = c.git.line(ctx, "read the branch", "symbolic-ref", "--quiet", "--short", "HEAD")
	shallow, err := c.git.line(ctx, "read the clone", "rev-parse", "--is-shallow-repository")
	if err != nil {
		return State{}, err
	}
	s.Shallow = shallow == "true"
	out, err := c.git.run(ctx, "read the status", nil, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
	if err != nil {
		return State{}, err
	}
	for _, entry := range strings.Split(out, "\x00") {
		if len(entry) < 4 {
			continue
		}
		if path := entry[3:]; path != ".chain" && !strings.HasPrefix(path, ".chain/") {
			s.Dirty = append(s.Dirty, path)
		}
	}
	return s, nil
}

// Read is a file as the commit has it, and whether it does.
func (c *Clone) Read(ctx context.Context, commit, path string) ([]byte, bool, error) {
	return read(ctx, c.git, commit, path)
}

// Tree lists the files that the commit has below the given paths, all of them
// if none is given, sorted by path.
func (c *Clone) Tree(ctx context.Context, commit string, paths ...string) ([]File, error) {
	return tree(ctx, c.git, commit, paths)
}

// Changed lists the files that differ between two commits, below the given
// paths or all.
func (c *Clone) Changed(ctx context.Context, from, to string, paths ...string) ([]string, error) {
	return changed(ctx, c.git, from, to, paths)
}

// Export writes the files that the commit has below the paths into dir, byte
// for byte: no attribute and no filter of the clone changes them.
func (c *Clone) Export(ctx context.Context, commit, dir string, paths ...string) error {
	files, err := c.Tree(ctx, commit, paths...)
	if err != nil {
		return err
	}
	var ids strings.Builder
	for _, f := range files {
		if f.Mode == "160000" {
			return fmt.Errorf("export %s: submodules are not supported", f.Path)
		}
		ids.WriteString(f.ID + "\n")
	}
	out, err := c.git.run(ctx, "export "+commit, strings.NewReader(ids.String()), "cat-file", "--batch")
	if err != nil {
		return err
	}
	for _, f := range files {
		// "ID TYPE SIZE\nCONTENT\n"
		head, rest, _ := strings.Cut(out, "\n")
		fields := strings.Fields(head)
		size := -1
		if len(fields) == 3 {
			size, _ = strconv.Atoi(fields[2])
		}
		if size < 0 || size >= len(rest) {
			return fmt.Errorf("export %s: git answered %q", f.Path, head)
		}
		content := rest[:size]
		out = rest[size+1:]
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("export %s: %w", f.Path, err)
		}
		switch f.Mode {
		case "120000":
			err = os.Symlink(content, to)
		case "100755":
			err = os.WriteFile(to, []byte(content), 0o755)
		default:
			err = os.WriteFile(to, []byte(content), 0o644)
		}
		if err != nil {
			return fmt.Errorf("export %s: %w", f.Path, err)
		}
	}
	return nil
}

// Describe is the subject of a commit, for people.
func (c *Clone) Describe(ctx context.Context, commit string) (string, error) {
	return c.git.line(ctx, "read commit "+commit, "show", "--no-patch", "--no-notes", "--format=%s", commit)
}

// Identity is the user's as Git knows it, else the machine's user.
func (c *Clone) Identity(ctx context.Context) Identity {
	// `git var` knows every place an identity may come from, and fails where
	// Git would refuse to make one up.
	if out, err := c.git.with("GIT_AUTHOR_DATE=@0 +0000").line(ctx, "read the identity", "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"); err == nil {
		if name, rest, ok := strings.Cut(out, " <"); ok {
			if email, _, ok := strings.Cut(rest, ">"); ok && name != "" {
				return Identity{name, email}
			}
		}
	}
	name, host := "chain", "localhost"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		host = h
	}
	return Identity{name, name + "@" + host}
}

func read(ctx context.Context, g git, commit, path string) ([]byte, bool, error) {
	name := commit + ":" + path
	ask := func() (string, error) {
		return g.run(ctx, "read "+path, strings.NewReader(name+"\n"), "cat-file", "--batch")
	}
	var out string
	var err error
	if wholeID.MatchString(commit) {
		out, err = g.keep("read\x00"+name, ask)
	} else {
		out, err = ask()
	}
	if err != nil {
		return nil, false, err
	}
	// "ID blob SIZE", a line of its own before the content, or "NAME missing".
	head, content, _ := strings.Cut(out, "\n")
	if f := strings.Fields(head); len(f) != 3 || f[1] != "blob" || f[2] == "missing" {
		return nil, false, nil
	}
	return []byte(strings.TrimSuffix(content, "\n")), true, nil
}

func tree(ctx context.Context, g git, commit string, paths []string) ([]File, error) {
	args := []string{"--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", commit}
	if len(paths) > 0 {
		args = append(append(args, "--"), paths...)
	}
	out, err := g.once(ctx, "read the tree of "+commit, commit, args...)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range strings.Split(out, "\x00") {
		meta, path, ok := strings.Cut(entry, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) != 3 {
			continue
		}
		files = append(files, File{Mode: f[0], ID: f[2], Path: path})
	}
	return files, nil
}

func changed(ctx context.Context, g git, from, to string, paths []string) ([]string, error) {
	args := []string{"--literal-pathspecs", "diff-tree", "-r", "-z", "--name-only", "--no-renames", from, to}
	if len(paths) > 0 {
		args = append(append(args, "--"), paths...)
	}
	out, err := g.run(ctx, "compare "+from+" and "+to, nil, args...)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range strings.Split(out, "\x00") {
		if p != "" {
			list = append(list, p)
		}
	}
	return list, nil
}
