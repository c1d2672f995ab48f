// Package command runs other programs: nothing is expanded by a shell, the
// environment is an allow-list, and a program is stopped gently before it is
// killed.
package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Cmd is one program to run.
type Cmd struct {
	Name  string    // looked up in PATH unless it holds a slash
	Args  []string  // nothing is expanded
	Dir   string    // "" is the caller's
	Env   []string  // KEY=VALUE, added to what Exec lets through; the last of a key wins
	Stdin io.Reader // nil is empty
	Out   io.Writer // gets stdout and stderr as they come; nil: nothing
	Stop  Stop      // how it is stopped gently
	// Grace is the time between the gentle stop and the kill; 0 is that of Exec.
	Grace time.Duration
	// Foreground keeps the program in the caller's process group, so that it may
	// read from the terminal (ssh asking for a passphrase). Only it, not its own
	// children, is then stopped.
	Foreground bool
}

// String is the command line, for people: secrets belong in Env or Stdin.
func (c Cmd) String() string {
	words := []string{c.Name}
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?&|;<>()") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Stop is how a program is asked to end.
type Stop int

const (
	// Interrupt sends SIGINT to the program's process group, as Ctrl-C does.
	Interrupt Stop = iota
	// Terminate sends SIGTERM to the program alone. Packer needs it: it hands
	// the signal on to its own children and removes what it made.
	Terminate
)

// Runner runs programs.
type Runner interface {
	// Run waits for the program's end and returns all it wrote to stdout. An
	// exit status other than zero is an *ExitError. When ctx ends, the program
	// is stopped gently and, after its grace, killed; the error then wraps
	// ctx's cause. A program that is not there is exec.ErrNotFound.
	Run(ctx context.Context, c Cmd) (stdout []byte, err error)
}

// ExitError is a program that ended with another status than zero.
type ExitError struct {
	Cmd    string // the command line
	Code   int    // exit status; 128 + n for signal n
	Stderr string // the end of what it wrote there
	Err    error  // why it was stopped, if it was
}

// Error is the program, its status and the last line it wrote to stderr.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: exit status %d", firstWord(e.Cmd), e.Code)
	if e.Err != nil {
		msg = fmt.Sprintf("%s: stopped: %v", firstWord(e.Cmd), e.Err)
	}
	if last := lastLine(e.Stderr); last != "" {
		msg += ": " + last
	}
	return msg
}

// Unwrap is why the program was stopped, nil if it ended by itself.
func (e *ExitError) Unwrap() error { return e.Err }

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

func lastLine(s string) string {
	s = strings.TrimRight(s, " \r\n\t")
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
