package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/s3"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// contents of S3's objects: a file each in a directory, or in memory where there
// is none. The world names them by their digests.
type contents struct {
	dir string
	mu  sync.Mutex
	all map[string][]byte
}

// Put keeps a content until it is dropped, and returns its digest.
func (c *contents) Put(b []byte) (string, error) {
	digest := sha256.Sum256(b)
	sum := hex.EncodeToString(digest[:])
	if c.dir == "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all[sum] = bytes.Clone(b)
		return sum, nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return "", fmt.Errorf("keep an object: %w", err)
	}
	return sum, renameio.WriteFile(filepath.Join(c.dir, sum), b, 0o600)
}

// Get reads one.
func (c *contents) Get(sum string) ([]byte, error) {
	if c.dir != "" {
		return os.ReadFile(filepath.Join(c.dir, sum))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.all[sum]
	if !ok {
		return nil, os.ErrNotExist
	}
	return b, nil
}

// Drop forgets one.
func (c *contents) Drop(sum string) error {
	if c.dir != "" {
		return os.Remove(filepath.Join(c.dir, sum))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, sum)
	return nil
}

// objects answers a request to S3, whose signature holds.
func (l *Lab) objects(w http.ResponseWriter, r *http.Request, c *call) {
	in := s3.Read(r, c.body)
	c.action = in.Action
	if c.action == "" {
		c.action = r.Method + " " + r.URL.Path
	}
	l.count(c)
	send := func(a *s3.Reply) {
		for k, v := range a.Header {
			w.Header()[k] = v
		}
		w.Header().Set("X-Amz-Request-Id", c.id)
		if a.Content != nil {
			http.ServeContent(w, r, "", a.Modified, bytes.NewReader(a.Content)) // parts and conditions as HTTP has them
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}
	f, err := l.faultsFor(c, in)
	if err == nil && f.delay > 0 && l.opts.Clock.Sleep(r.Context(), f.delay) != nil {
		return
	}
	if err == nil && f.err != nil {
		err = f.err
	}
	if err == nil && f.cut && f.before {
		cut(w)
		return
	}
	var out *s3.Reply
	if err == nil {
		out, err = l.doObjects(c, in)
	}
	if f.cut {
		cut(w)
		return
	}
	var e *wire.Error
	switch {
	case err == nil:
		send(out)
	case errors.As(err, &e):
		send(s3.Refusal(e, c.id, r.Method))
	default:
		l.opts.Log.Error("a call failed", "action", c.service+"."+c.action, "error", err)
		send(s3.Refusal(&wire.Error{Code: "InternalError", Status: http.StatusInternalServerError, Message: err.Error()}, c.id, r.Method))
	}
}

func (l *Lab) doObjects(c *call, in *s3.Request) (out *s3.Reply, err error) {
	service := s3.Service{Contents: l.contents}
	if err := l.ready(c.region); err != nil {
		return nil, err
	}
	if !in.Reads() {
		err = l.core.Do(c.region, func(tx *core.Tx) error {
			l.remember(tx)
			out, err = service.Do(tx, in)
			return err
		})
		return out, err
	}
	l.core.View(c.region, func(tx *core.Tx) { out, err = service.Do(tx, in) })
	return out, err
}
