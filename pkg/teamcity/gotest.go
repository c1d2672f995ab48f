package teamcity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Relay takes the output of a program that runs tests and writes it for a build:
// the lines of `go test -json` become tests, each told at once when it has ended,
// "==> PART" opens a block, and everything else is neutral. Module is taken off
// the names of packages. Close it when the program has ended: a test that had not
// ended by then has failed.
type Relay struct {
	Out    io.Writer
	Module string

	mu    sync.Mutex
	rest  []byte
	block string
	open  map[string]*running
	order []string
}

type running struct {
	pkg, test string
	output    strings.Builder
}

// gotest is a line of `go test -json`, as `go doc test2json` has it.
type gotest struct {
	Action      string
	Package     string
	ImportPath  string // of what is built
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// Write takes output in pieces of any size.
func (r *Relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := string(bytes.TrimSuffix(r.rest[:i], []byte("\r")))
		r.rest = r.rest[i+1:]
		if err := r.line(line); err != nil {
			return len(p), err
		}
	}
}

// Close tells what had no end.
func (r *Relay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest) > 0 {
		if err := r.line(string(r.rest)); err != nil {
			return err
		}
		r.rest = nil
	}
	for _, key := range r.order {
		if t := r.open[key]; t != nil && t.test != "" {
			if err := r.end(key, "the test did not end", 0); err != nil {
				return err
			}
		}
	}
	return r.begin("")
}

func (r *Relay) line(l string) error {
	var e gotest
	if strings.HasPrefix(l, "{") && json.Unmarshal([]byte(l), &e) == nil && e.Action != "" {
		return r.event(e)
	}
	if part, ok := strings.CutPrefix(l, "==> "); ok {
		if err := r.begin(part); err != nil {
			return err
		}
	}
	return r.say(Neutral(l))
}

func (r *Relay) say(lines ...string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(r.Out, l); err != nil {
			return fmt.Errorf("relay the output: %w", err)
		}
	}
	return nil
}

// begin closes the block of a part and opens the next.
func (r *Relay) begin(part string) error {
	if r.block != "" {
		if err := r.say(Message("blockClosed", Attr{"name", r.block})); err != nil {
			return err
		}
	}
	r.block = part
	if part == "" {
		return nil
	}
	return r.say(Message("blockOpened", Attr{"name", part}), Single("progressMessage", part))
}

func (r *Relay) event(e gotest) error {
	pkg := strings.TrimPrefix(strings.TrimPrefix(e.Package, r.Module), "/")
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "build-output":
		return r.say(Neutral(strings.TrimRight(e.Output, "\n")))
	case "run", "start":
		r.at(key, pkg, e.Test)
	case "output":
		r.at(key, pkg, e.Test).output.WriteString(e.Output)
	case "pass", "skip":
		if e.Test == "" {
			delete(r.open, key)
			return r.say(Neutral(fmt.Sprintf("%s  %s  %.1fs", e.Action, pkg, e.Elapsed)))
		}
		if e.Action == "skip" {
			why := strings.TrimSpace(r.at(key, pkg, e.Test).output.String())
			delete(r.open, key)
			return r.say(Message("testIgnored", Attr{"name", pkg + ": " + e.Test}, Attr{"message", why}))
		}
		return r.end(key, "", e.Elapsed)
	case "fail":
		t := r.at(key, pkg, e.Test)
		if e.Test != "" {
			return r.end(key, "failed", e.Elapsed)
		}
		// Of a package: tests that never ended, or no test at all.
		for _, k := range r.order {
			if o := r.open[k]; o != nil && o.pkg == pkg && o.test != "" {
				if err := r.end(k, "the package ended before the test", 0); err != nil {
					return err
				}
			}
		}
		text := t.output.String()
		delete(r.open, key)
		return r.say(Neutral(strings.TrimRight(fmt.Sprintf("fail  %s  %.1fs\n%s", pkg, e.Elapsed, text), "\n")))
	}
	return nil
}

func (r *Relay) at(key, pkg, test string) *running {
	if r.open == nil {
		r.open = map[string]*running{}
	}
	if r.open[key] == nil {
		r.open[key] = &running{pkg: pkg, test: test}
		r.order = append(r.order, key)
	}
	return r.open[key]
}

// end tells a test, with what it printed only if it failed.
func (r *Relay) end(key, bad string, seconds float64) error {
	t := r.open[key]
	if t == nil {
		return nil
	}
	delete(r.open, key)
	if bad != "" {
		bad += "\n" + t.output.String()
	}
	return r.say(test(t.pkg+": "+t.test, time.Duration(seconds*float64(time.Second)), Attr{}, bad)...)
}
