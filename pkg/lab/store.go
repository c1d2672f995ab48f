package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// ErrHeld is wrapped when another process has the lab's state open.
var ErrHeld = errors.New("another process holds it")

// store keeps the world in one file of a directory, and what never changes again
// in one file each. The zero store keeps nothing.
type store struct {
	file  string
	ended string // directory of what never changes again
	lock  *os.File
}

// at is the store of a directory, whoever holds it.
func at(dir string) *store {
	return &store{file: filepath.Join(dir, "state.json"), ended: filepath.Join(dir, "ended")}
}

func openStore(dir string) (*store, error) {
	if dir == "" {
		return &store{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the lab's directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrHeld
		}
		return nil, fmt.Errorf("lock the lab's directory %s: %w", dir, err)
	}
	s := at(dir)
	s.lock = lock
	return s, nil
}

// load reads the world; nil if none was kept.
func (s *store) load() (*state.World, error) {
	if s.file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the lab's state: %w", err)
	}
	var head struct{ Version int }
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("read the lab's state in %s: %w", s.file, err)
	}
	if head.Version != state.Version {
		return nil, fmt.Errorf("the lab's state in %s has version %d, this lab reads version %d: destroy that lab, or use the build that made it", s.file, head.Version, state.Version)
	}
	w := &state.World{}
	if err := json.Unmarshal(b, w); err != nil {
		return nil, fmt.Errorf("read the lab's state in %s: %w", s.file, err)
	}
	w.Init()
	parts, _ := filepath.Glob(filepath.Join(s.ended, "*.json")) // the pattern is well formed
	for _, file := range parts {
		var e state.Ended
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &e)
		}
		if err == nil && e.Stack == nil {
			err = errors.New("there is no stack in it")
		}
		if err != nil {
			return nil, fmt.Errorf("read the lab's state in %s: %w", file, err)
		}
		w.Restore(e)
	}
	return w, nil
}

// archive keeps a part of the world in a file of its own, or drops it for nil.
func (s *store) archive(name string, part []byte) error {
	file := filepath.Join(s.ended, name+".json")
	if part == nil {
		if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(s.ended, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(file, part, 0o600)
}

// save writes a snapshot so that a reader ever sees the old one or the new one, whole.
func (s *store) save(b []byte) error {
	next := s.file + ".next"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.file)
}

// sync returns when the newest snapshot is on the disk, which takes milliseconds.
func (s *store) sync() error {
	for _, name := range []string{s.file, filepath.Dir(s.file)} { // the file, and that it has this name
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *store) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}
