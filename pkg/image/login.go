package image

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// loginTime bounds one try to log in.
const loginTime = 20 * time.Second

// logIn opens the shell of the machine, once it lets us in.
func (v *visit) logIn(ctx context.Context) error {
	signer, err := ssh.ParsePrivateKey([]byte(v.key))
	if err != nil {
		return fmt.Errorf("read the key of the machine: %w", err)
	}
	v.login = strings.Fields(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))[1]
	try, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	addr := v.machine.PublicIP + ":22"
	conn, err := v.o.Target.Dial(try, "tcp", addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(try, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: v.o.Bake.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		// A machine started a moment ago: its host key is new, and nothing is told to it.
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // see above
	})
	if !stop() && err == nil {
		err = try.Err()
	}
	if err != nil {
		_ = conn.Close()
		return err
	}
	v.shell = ssh.NewClient(c, chans, reqs)
	v.later("the login", func(context.Context) error { _ = v.shell.Close(); return nil })
	return nil
}

// ask runs one command on the machine and returns what it prints.
func (v *visit) ask(ctx context.Context, command string) (string, error) {
	session, err := v.shell.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	out, err := session.Output(command)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return string(out), err
}
