//go:build !linux

package command

import "syscall"

// attributes put the program in a process group of its own, unless it is to
// read the terminal.
func attributes(c Cmd) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !c.Foreground}
}
