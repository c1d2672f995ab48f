package command

import "syscall"

// attributes put the program in a process group of its own, unless it is to
// read the terminal, and have the kernel stop it when we die without a word:
// a bake whose caller was killed must not go on beside the next one.
func attributes(c Cmd) *syscall.SysProcAttr {
	sig := syscall.SIGINT
	if c.Stop == Terminate {
		sig = syscall.SIGTERM
	}
	return &syscall.SysProcAttr{Setpgid: !c.Foreground, Pdeathsig: sig}
}
