package pipeline

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// Kind says what an Event is about.
type Kind string

// The kinds of events. They are part of the JSON that is kept: never rename one.
const (
	Started    Kind = "started"     // a step began
	Done       Kind = "done"        // it ended well
	Skipped    Kind = "skipped"     // it had nothing to do; Text is the reason
	Failed     Kind = "failed"      // it ended; Text is the error
	Note       Kind = "note"        // a line of news
	Fact       Kind = "fact"        // Name is Text
	Await      Kind = "await"       // Text is waited for; "" when nothing is
	Output     Kind = "output"      // a line that the child Name printed
	Tested     Kind = "tested"      // the expectation Name was looked at; Text is why it does not hold, "" if it does
	Measured   Kind = "measured"    // the number Name is Text
	Undoing    Kind = "undoing"     // Name is taken back
	LeftBehind Kind = "left-behind" // Name could not be taken back; Text is the error
)

// Event is what a pipeline tells while it runs. Secrets MUST never reach one.
type Event struct {
	Time  time.Time     `json:"time"`
	Kind  Kind          `json:"kind"`
	Step  string        `json:"step,omitempty"`
	Flow  string        `json:"flow,omitempty"`  // branch of Together it comes from, "" outside of any
	Index int           `json:"index,omitempty"` // 1-based place of the step, of Total
	Total int           `json:"total,omitempty"`
	Name  string        `json:"name,omitempty"`
	Text  string        `json:"text,omitempty"`
	Took  time.Duration `json:"took_ns,omitempty"`
}

// Output takes what a child of that name prints and tells it line by line. The
// caller closes it, which tells an unfinished last line. It is safe for use as
// stdout and stderr at once.
func (r *Run) Output(name string) io.WriteCloser { return &lines{run: r, name: name} }

type lines struct {
	run  *Run
	name string
	mu   sync.Mutex
	rest []byte
}

// maxLine is where a line without an end is cut, so that a child's progress bar cannot fill memory.
const maxLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			if len(l.rest) >= maxLine {
				l.line(l.rest)
				l.rest = nil
			}
			return len(p), nil
		}
		l.line(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = nil
	}
	return nil
}

func (l *lines) line(b []byte) {
	l.run.tell(Event{Kind: Output, Name: l.name, Text: string(bytes.TrimRight(b, "\r"))})
}
