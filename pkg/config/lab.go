package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// ErrNoLab is wrapped when the target is the lab and none runs.
var ErrNoLab = errors.New("the lab is not running")

// labAccount is the account that the lab plays.
const labAccount = "111111111111"

// LabDir is the directory of the lab's state.
func (c *Config) LabDir() string {
	dir := c.environ["CHAIN_LAB"]
	if dir == "" {
		dir = filepath.Join(".chain", "lab")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.Dir, dir)
	}
	return dir
}

// lab fills in a target from the file that the lab leaves in its directory.
func (c *Config) lab(t *Target) error {
	dir := c.LabDir()
	b, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (nothing in %s)", ErrNoLab, dir)
	}
	if err != nil {
		return fmt.Errorf("find the lab: %w", err)
	}
	var l struct {
		API, SOCKS string
		Factor     float64
	}
	if err := json.Unmarshal(b, &l); err != nil || l.API == "" || l.SOCKS == "" {
		return fmt.Errorf("%w (%s does not tell its ports)", ErrNoLab, filepath.Join(dir, "lab.json"))
	}
	t.Account = labAccount
	t.Endpoint = "http://" + l.API
	t.SOCKS = l.SOCKS
	t.From = []string{"192.0.2.1/32"} // whoever comes through the lab's proxy
	t.Credentials = credentials.NewStaticCredentialsProvider("AKIALAB0000000000000", "lab", "")
	t.Remote = filepath.Join(dir, "trail.git")
	t.GitDir = filepath.Join(dir, "trail")
	t.Hear = "127.0.0.1:0"
	t.Poll = Poll{100 * time.Millisecond, time.Second}
	t.PinFirst = true
	key := filepath.Join(dir, "signing.pem")
	t.Signing = Signing{Key: key, Trusted: []string{key + ".pub"}, Make: true}
	t.Factor = 10
	if l.Factor > 0 {
		t.Factor = l.Factor
	}
	if s := c.environ["CHAIN_LAB_FACTOR"]; s != "" {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f <= 0 {
			return fmt.Errorf("CHAIN_LAB_FACTOR is %q, not a number above 0", s)
		}
		t.Factor = f
	}
	return nil
}
