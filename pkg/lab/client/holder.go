package client

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// holder is the process that listens on a port.
type holder struct {
	pid  int
	name string
}

func (h holder) String() string {
	if h.pid == 0 {
		return "a process of another user"
	}
	return fmt.Sprintf("%s, process %d", h.name, h.pid)
}

// holderOf looks up who listens at addr, as far as we may know it.
func holderOf(ctx context.Context, addr string) holder {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return holder{}
	}
	if h := procHolder(port); h.pid != 0 {
		return h
	}
	// Not Linux.
	out, err := exec.CommandContext(ctx, "lsof", "-nP", "-iTCP:"+port, "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return holder{}
	}
	var h holder
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "p") && h.pid == 0:
			h.pid, _ = strconv.Atoi(line[1:]) // 0 is "unknown"
		case strings.HasPrefix(line, "c") && h.name == "":
			h.name = line[1:]
		}
	}
	return h
}

// procHolder finds the socket in /proc/net and its owner among the processes.
func procHolder(port string) holder {
	n, err := strconv.Atoi(port)
	if err != nil {
		return holder{}
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) { // 0A: listening
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(sockets) == 0 {
		return holder{}
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !sockets[to] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm")) // gone again: no name
		return holder{pid, strings.TrimSpace(string(name))}
	}
	return holder{}
}
