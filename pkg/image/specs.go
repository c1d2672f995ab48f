package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// expects refuses a recipe without the specs that every image is judged by.
func (v *visit) expects() error {
	for _, of := range []string{v.o.Specs, contract} {
		if _, err := os.Stat(filepath.Join(v.s.tree, "serverspec", "spec", of)); err != nil {
			return &badError{what: "there is no serverspec/spec/" + of + ": an image that nothing is expected of proves nothing"}
		}
	}
	return nil
}

// specs runs those of one directory over SSH. That examples fail is no error of
// it.
func (v *visit) specs(ctx context.Context, of string) (examples, error) {
	results := filepath.Join(v.dir, "rspec."+of+".json")
	log, err := os.Create(filepath.Join(v.dir, "rspec."+of+".log"))
	if err != nil {
		return examples{}, fmt.Errorf("make the log of the specs: %w", err)
	}
	defer log.Close()
	v.run.Await("Serverspec")
	_, err = v.o.Runner.Run(ctx, command.Cmd{
		Name: "rspec", Args: []string{"--no-color", "--format", "documentation", "--format", "json", "--out", results, "spec/" + of},
		Dir: filepath.Join(v.s.tree, "serverspec"), Out: log, Grace: 5 * time.Second,
		Env: []string{
			"TARGET_HOST=127.0.0.1", "TARGET_PORT=" + v.ssh.port(), "TARGET_USER=" + v.o.Bake.User, "TARGET_KEY=" + v.keyFile,
			"TARGET_HTTP_PORT=" + v.http.port(), "TARGET_SINCE=" + v.since, "IMAGE_KEY=" + v.s.Result.Recipe.Key, "LC_ALL=C.UTF-8",
			// The connections go to this machine, whatever proxies the user has.
			"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "HTTP_PROXY=", "http_proxy=",
		},
	})
	v.run.Await("")
	if errors.Is(err, exec.ErrNotFound) {
		return examples{}, &report.Failure{
			Code: report.Usage, ID: "E-BAKE-06", What: "Serverspec is not installed",
			State: v.image.ID + " waits to be judged; the templates are unchanged",
			Next:  []string{"./station.sh bake  # installs what is missing"}, Err: err,
		}
	}
	if ctx.Err() != nil {
		return examples{}, context.Cause(ctx)
	}
	got, readErr := readExamples(results)
	for _, x := range got.tests {
		v.run.Test("serverspec "+of+": "+x.name, x.bad, x.took)
	}
	switch {
	case readErr == nil && len(got.failed) > 0:
		return got, nil
	case err != nil:
		return got, fmt.Errorf("run the specs from outside: %w", err)
	case readErr == nil && got.of["spec/"+of] == 0:
		return got, &badError{what: "serverspec/spec/" + of + " has no example: an image that nothing is expected of proves nothing"}
	}
	return got, readErr
}

// met judges what the specs of all directories found.
func (v *visit) met(all ...examples) error {
	count := 0
	var failed []string
	for _, e := range all {
		count += e.count
		failed = append(failed, e.failed...)
	}
	if len(failed) > 0 {
		return &badError{what: fmt.Sprintf("%d of %d expectations are not met", len(failed), count), list: first(failed)}
	}
	v.s.Result.Examples = count
	v.run.Fact("expectations met", count)
	return nil
}

// examples is what rspec found.
type examples struct {
	count  int
	of     map[string]int // by directory: "spec/web"
	failed []string
	tests  []example
}

type example struct {
	name, bad string
	took      time.Duration
}

func readExamples(path string) (examples, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return examples{}, fmt.Errorf("read what the specs found: %w", err)
	}
	var r struct {
		Examples []struct {
			Description string  `json:"full_description"`
			Status      string  `json:"status"`
			File        string  `json:"file_path"`
			Line        int     `json:"line_number"`
			Seconds     float64 `json:"run_time"`
			Exception   struct {
				Message string `json:"message"`
			} `json:"exception"`
		} `json:"examples"`
		Summary struct {
			Outside int `json:"errors_outside_of_examples_count"`
		} `json:"summary"`
		Messages []string `json:"messages"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return examples{}, fmt.Errorf("read what the specs found: %w", err)
	}
	e := examples{count: len(r.Examples), of: map[string]int{}}
	for _, x := range r.Examples {
		if dir := strings.Split(strings.TrimPrefix(x.File, "./"), "/"); len(dir) > 2 {
			e.of[dir[0]+"/"+dir[1]]++
		}
		name, bad := strings.Join(strings.Fields(x.Description), " "), ""
		if x.Status != "passed" {
			e.failed = append(e.failed, fmt.Sprintf("%s (%s:%d)", name, strings.TrimPrefix(x.File, "./"), x.Line))
			bad = cmp.Or(strings.TrimSpace(x.Exception.Message), x.Status)
		}
		e.tests = append(e.tests, example{name, bad, time.Duration(x.Seconds * float64(time.Second))})
	}
	if r.Summary.Outside > 0 {
		e.failed = append(e.failed, fmt.Sprintf("%d errors in the specs themselves: %s", r.Summary.Outside, strings.Join(strings.Fields(strings.Join(r.Messages, " ")), " ")))
	}
	return e, nil
}
