// Command lab runs the local AWS as a process of its own.
//
// pkg/lab/client starts and stops it; by hand:
//
//	lab -dir .chain/lab -id mylab
//
// It writes lab.json into its directory once both ports listen, and removes it
// when it ends by SIGTERM or SIGINT. Killed in any other way, it goes on where
// it was when it is started again with the same directory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/base"
	"github.com/build-deploy-chain/chain/pkg/lab/client"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/docker"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
)

type options struct {
	dir, id, api, socks, cache, build, kind, host, keys string

	factor float64
	down   bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "directory of the lab's state")
	flag.StringVar(&o.id, "id", "", "id with which all it makes is labelled: small letters and digits")
	flag.StringVar(&o.api, "api", client.DefaultAPI, "address of the AWS API")
	flag.StringVar(&o.socks, "socks", client.DefaultSOCKS, "address of the SOCKS5 port")
	flag.Float64Var(&o.factor, "factor", 10, "AWS waits are divided by it")
	flag.StringVar(&o.cache, "cache", client.Cache(), "directory of base images and packages")
	flag.StringVar(&o.build, "build", "", "digest of this program, for the status")
	flag.StringVar(&o.kind, "runtime", "docker", "what machines are made of: docker or memory")
	flag.StringVar(&o.host, "host", "", "Docker engine; the environment's unless set")
	flag.StringVar(&o.keys, "keys", "", "file of access keys, one \"ID SECRET [TOKEN]\" a line: only what they, or the chain's own, signed is answered; none: any signature is taken")
	flag.BoolVar(&o.down, "down", false, "destroy all that carries the id, and end")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	signal.Ignore(syscall.SIGHUP) // a terminal that closes is no reason
	err := o.check()
	if err == nil && o.down {
		err = o.destroy(ctx)
	} else if err == nil {
		err = o.run(ctx, log)
	}
	if err != nil {
		log.Error("the lab ends", "error", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("arguments that no flag takes: %s", strings.Join(flag.Args(), " "))
	case o.dir == "" || o.id == "":
		return errors.New("-dir and -id are needed")
	case o.factor <= 0:
		return fmt.Errorf("-factor is %v, not above 0", o.factor)
	case o.kind != "docker" && o.kind != "memory":
		return fmt.Errorf("-runtime is %q, not docker or memory", o.kind)
	}
	dir, err := filepath.Abs(o.dir)
	o.dir = dir
	return err
}

// destroy removes what the lab made in the engine.
func (o *options) destroy(ctx context.Context) error {
	api, err := docker.Connect(ctx, o.host)
	if err != nil {
		return err
	}
	defer api.Close()
	if err := docker.Destroy(ctx, api, o.id); err != nil {
		return err
	}
	return base.Drop(ctx, api, o.cache)
}

// run is the lab's whole life.
func (o *options) run(ctx context.Context, log *slog.Logger) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	unlock, err := o.lock()
	if err != nil {
		return err
	}
	defer unlock()
	keys, err := o.credentials()
	if err != nil {
		return err
	}
	log.Info("lab", "id", o.id, "pid", os.Getpid(), "dir", o.dir, "build", o.build, "runtime", o.kind)
	machines, image, err := o.runtime(ctx, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := machines.Close(); err != nil {
			log.Warn("close the machines' runtime", "error", err)
		}
	}()
	l, err := lab.New(lab.Options{
		Runtime: machines, Dir: o.dir, ID: o.id, Build: o.build, API: o.api, SOCKS: o.socks,
		Factor: o.factor, Base: image, Log: log, Credentials: keys,
	})
	if err != nil {
		return err
	}
	if err := l.Start(ctx); err != nil {
		return errors.Join(err, l.Close())
	}
	file := filepath.Join(o.dir, client.File)
	if err := o.announce(file, l); err != nil {
		return errors.Join(err, l.Close())
	}
	log.Info("up", "api", l.Endpoint(), "socks", l.SOCKS())
	select {
	case <-ctx.Done():
	case <-l.Stopped():
	}
	log.Info("stopping; machines and state stay")
	return errors.Join(os.Remove(file), l.Close())
}

// credentials are the keys that requests must be signed with.
func (o *options) credentials() ([]sigv4.Key, error) {
	if o.keys == "" {
		return nil, nil
	}
	b, err := os.ReadFile(o.keys)
	if err != nil {
		return nil, fmt.Errorf("read the access keys: %w", err)
	}
	list := []sigv4.Key{{ID: client.KeyID, Secret: client.Secret}}
	for n, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 2 && len(f) != 3 {
			return nil, fmt.Errorf("read the access keys: line %d of %s is not \"ID SECRET [TOKEN]\"", n+1, o.keys)
		}
		list = append(list, sigv4.Key{ID: f[0], Secret: f[1], Token: strings.Join(f[2:], "")})
	}
	return list, nil
}

// lock makes sure that one process works in the directory, and writes its number
// where pkg/lab/client looks for it. It is held until the process ends, however
// it ends.
func (o *options) lock() (func(), error) {
	f, err := os.OpenFile(filepath.Join(o.dir, client.ProcessFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another lab works in %s: %w", o.dir, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// runtime makes what machines are made of, and the base image.
func (o *options) runtime(ctx context.Context, log *slog.Logger) (runtime.Runtime, ec2.Base, error) {
	var image ec2.Base
	if o.kind == "memory" {
		r, err := memory.New(memory.Options{File: filepath.Join(o.dir, "machines.json")})
		return r, image, err
	}
	api, err := docker.Connect(ctx, o.host)
	if err != nil {
		return nil, image, err
	}
	defer api.Close()
	release, err := base.Hold(o.cache)
	if err != nil {
		return nil, image, err
	}
	defer release()
	begin := time.Now()
	making := base.Options{
		Engine: api, Cache: o.cache, Log: log,
		Progress: func(line string) { log.Info("image", "progress", line) },
	}
	ref, err := base.Prepare(ctx, making)
	if err != nil {
		return nil, image, err
	}
	log.Info("base image", "ref", ref, "took", time.Since(begin).Round(time.Millisecond))
	_, image.Digest, _ = strings.Cut(ref, ":")
	r, err := docker.New(ctx, docker.Options{
		Lab: o.id, Base: ref, Host: o.host, Log: log,
		Packages: docker.Packages{Dir: filepath.Join(o.cache, "packages"), Mirrors: base.Mirrors(ctx)},
		Database: func(ctx context.Context) (string, error) {
			api, err := docker.Connect(ctx, o.host)
			if err != nil {
				return "", err
			}
			defer api.Close()
			making.Engine = api
			return base.Database(ctx, making, ref)
		},
	})
	return r, image, err
}

// announce tells in lab.json where the lab is.
func (o *options) announce(file string, l *lab.Lab) error {
	b, err := json.MarshalIndent(client.Lab{
		ID: l.ID(), PID: os.Getpid(), API: strings.TrimPrefix(l.Endpoint(), "http://"), SOCKS: l.SOCKS(),
		Build: o.build, Factor: o.factor, Started: time.Now().UTC(), Dir: o.dir,
	}, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, append(b, '\n'), 0o644)
}
