package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
)

// serveWait is how long a database server may take to come up and to be set up.
const serveWait = 2 * time.Minute

// database is the image that database servers are made of.
func (r *Runtime) database(ctx context.Context) (string, error) {
	if r.opts.Database == nil {
		return "", errors.New("this runtime was given no image of a database server")
	}
	r.making.Lock() // the first one makes it, the others wait for that
	defer r.making.Unlock()
	return r.opts.Database(ctx)
}

// serve waits until a database server is up and makes it what s says.
func (r *Runtime) serve(ctx context.Context, s runtime.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, serveWait)
	defer cancel()
	d := s.Database
	out, err := r.exec(ctx, s.ID, []string{"/usr/local/sbin/lab-database"}, []string{
		"LAB_PORT=" + strconv.Itoa(d.Port), "LAB_USER=" + d.User, "LAB_PASSWORD=" + d.Password, "LAB_NAME=" + d.Name,
	})
	if err != nil {
		return fmt.Errorf("set the database up: %w: %s", err, out)
	}
	c, err := r.Dial(ctx, s.ID, d.Port)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return c.Close()
}

// exec runs a command as root in a machine, to its end, and returns what it printed.
func (r *Runtime) exec(ctx context.Context, id string, command, env []string) (string, error) {
	e, err := r.api.ExecCreate(ctx, r.container(id), client.ExecCreateOptions{User: "0", Cmd: command, Env: env, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", err
	}
	a, err := r.api.ExecAttach(ctx, e.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer a.Close()
	defer context.AfterFunc(ctx, a.Close)()
	var b strings.Builder
	if _, err := stdcopy.StdCopy(&b, &b, a.Reader); err != nil && !errors.Is(err, io.EOF) {
		return b.String(), errors.Join(ctx.Err(), err)
	}
	res, err := r.api.ExecInspect(ctx, e.ID, client.ExecInspectOptions{})
	if err == nil && res.ExitCode != 0 {
		err = fmt.Errorf("exit status %d", res.ExitCode)
	}
	return strings.TrimSpace(b.String()), errors.Join(ctx.Err(), err)
}
