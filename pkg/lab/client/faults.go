package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Break has the lab of a directory go wrong: a kind of fault, and words KEY=VALUE
// that say when and how. It returns the fault's id. Words that the lab does not
// know are an *Error with Usage set.
func Break(ctx context.Context, dir, kind string, words ...string) (id string, err error) {
	var out struct{ ID string }
	err = control(ctx, dir, http.MethodPost, "break", struct {
		Kind  string
		Words []string
	}{kind, words}, &out)
	return out.ID, err
}

// Mend takes a fault back, or with "" all of them.
func Mend(ctx context.Context, dir, id string) error {
	path := "faults"
	if id != "" {
		path += "/" + id
	}
	return control(ctx, dir, http.MethodDelete, path, nil, nil)
}

// Faults tells, line by line, what can be broken and what is broken now.
func Faults(ctx context.Context, dir string) ([]string, error) {
	var table struct {
		Kinds []struct {
			Name, What, To, Action string
			Match                  []string
			Args                   []struct {
				Name, Kind, What string
				Needed           bool
			}
		}
		Matches map[string][]string
	}
	var now []struct {
		ID, Kind    string
		Match, Args map[string]string
		Times       int
		Until       time.Time
	}
	if err := control(ctx, dir, http.MethodGet, "kinds", nil, &table); err != nil {
		return nil, err
	}
	if err := control(ctx, dir, http.MethodGet, "faults", nil, &now); err != nil {
		return nil, err
	}
	var lines []string
	for _, k := range table.Kinds {
		line := fmt.Sprintf("%-20s a %s: %s", k.Name, k.To, k.What)
		if k.Action != "" {
			line += " (" + k.Action + " unless action= names another)"
		}
		lines = append(lines, line)
		for _, a := range k.Args {
			must := ""
			if a.Needed {
				must = ", needed"
			}
			lines = append(lines, fmt.Sprintf("%-20s   %s=%s  %s%s", "", a.Name, strings.ToUpper(a.Kind), a.What, must))
		}
		for _, m := range k.Match {
			lines = append(lines, fmt.Sprintf("%-20s   %s=…  only this one, with * and ? as wildcards", "", m))
		}
	}
	lines = append(lines, "", "all: times=N or forever (1 unless told), for=DURATION")
	for _, to := range slices.Sorted(maps.Keys(table.Matches)) {
		line := "a " + to + ":"
		for _, m := range table.Matches[to] {
			line += " " + m + "="
		}
		lines = append(lines, line)
	}
	lines = append(lines, "")
	for _, f := range now {
		line := "broken now: " + f.ID + " " + f.Kind
		for _, m := range []map[string]string{f.Match, f.Args} {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				line += " " + k + "=" + m[k]
			}
		}
		if f.Times > 0 {
			line += fmt.Sprintf(", %d more times", f.Times)
		}
		if !f.Until.IsZero() {
			line += ", until " + f.Until.Format(time.RFC3339)
		}
		lines = append(lines, line)
	}
	if len(now) == 0 {
		lines = append(lines, "nothing is broken now")
	}
	return lines, nil
}

// control calls the own API of the lab of a directory.
func control(ctx context.Context, dir, method, path string, in, out any) error {
	l, err := Find(ctx, dir)
	if err != nil {
		return err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.API+"/_lab/"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	res, err := web.Do(req)
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	defer res.Body.Close()
	b, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("ask the lab: %w", err)
	}
	if res.StatusCode >= 300 {
		var refused struct{ Error string }
		_ = json.Unmarshal(b, &refused) // without it the status says enough
		if refused.Error == "" {
			refused.Error = "the lab answered " + res.Status
		}
		return &Error{What: refused.Error, State: "nothing was changed", Next: []string{"./station.sh lab:break -list"}, Usage: res.StatusCode < 500}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}
