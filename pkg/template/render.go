package template

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/google/renameio/v2"

	"github.com/build-deploy-chain/chain/pkg/config"
)

const imageID = "ImageId"

// Extend changes a site's template before it is rendered: how another
// repository adds its own resources, parameters, alarms and outputs.
type Extend func(t *Template, e *config.Environment) error

// header of a rendered file. The trail edits the one line it names.
const header = `# The environment of site %s: rendered by "mage template", edit chain.yaml or the template's package instead.
# The default of ImageId is the image that runs. "mage bake" and "mage release" write it.
`

// Render is the template of an environment in a region, checked, with NotBaked
// as its image. It is the same for the same configuration, byte for byte.
func Render(c *config.Config, e *config.Environment, region string, extend ...Extend) ([]byte, error) {
	if !slices.Contains(e.Regions, region) {
		return nil, fmt.Errorf("%s is not in region %s", e.Stack(), region)
	}
	s := Shape{Site: e.Site.Name, Zones: e.Sizes.Zones, Database: e.Database != nil}
	s.Watch = Watch{Domain: e.Domain, Page: e.Monitor.Page, Tickets: e.Monitor.Tickets, Runbook: e.Monitor.Runbook, ImageAge: e.Monitor.ImageAge, BackupAge: e.Monitor.BackupAge}
	if e.Site.UserData != "" {
		b, err := os.ReadFile(filepath.Join(c.Dir, filepath.FromSlash(e.Site.UserData)))
		if err != nil {
			return nil, fmt.Errorf("read the user data of site %s: %w", e.Site.Name, err)
		}
		if !utf8.Valid(b) || bytes.ContainsAny(b, open+closing) {
			return nil, fmt.Errorf("the user data of site %s (%s) is not a text", e.Site.Name, e.Site.UserData)
		}
		s.UserData = string(b)
	}
	s.Region = region
	t := Environment(s)
	for _, i := range c.Roles(e.Site)[1:] {
		none := NotBaked
		t.Parameters = append(t.Parameters, Parameter{ID: i.Parameter, Type: imageType, Default: &none, Description: "Image of role " + i.Role + "."})
	}
	for _, fn := range extend {
		if err := fn(t, e); err != nil {
			return nil, fmt.Errorf("extend the template of %s: %w", e.Stack(), err)
		}
	}
	body, err := t.Body()
	if err != nil {
		return nil, fmt.Errorf("render the template of %s: %w", e.Stack(), err)
	}
	body = append(fmt.Appendf(nil, header, e.Site.Name), body...)
	return body, Check(body)
}

// Path of the rendered file, relative to the root of the repository.
func Path(e *config.Environment, region string) string {
	return filepath.Join("cloudformation", e.Site.Name, e.Name+"."+region+".yaml")
}

// Keep is a rendered body with the images of an older one.
func Keep(rendered, old []byte) ([]byte, error) {
	had, err := Images(old)
	if err != nil {
		return nil, err
	}
	has, err := Images(rendered)
	if err != nil {
		return nil, err
	}
	for _, parameter := range slices.Sorted(maps.Keys(has)) {
		if ami := had[parameter]; ami != "" {
			if rendered, err = SetImageOf(rendered, parameter, ami); err != nil {
				return nil, err
			}
		}
	}
	return rendered, nil
}

// Write renders the files of all environments below the configuration's root,
// keeping the images that are there, and returns the paths that changed. With
// dry it writes nothing.
func Write(c *config.Config, dry bool, extend ...Extend) (changed []string, err error) {
	for _, site := range sorted(c.Sites) {
		for _, e := range sorted(site.Environments) {
			for _, region := range e.Regions {
				path := Path(e, region)
				full := filepath.Join(c.Dir, path)
				body, err := Render(c, e, region, extend...)
				if err != nil {
					return changed, err
				}
				old, err := os.ReadFile(full)
				if err == nil {
					if body, err = Keep(body, old); err != nil {
						return changed, fmt.Errorf("keep the image of %s: %w", path, err)
					}
				} else if !errors.Is(err, os.ErrNotExist) {
					return changed, fmt.Errorf("read the old template: %w", err)
				}
				if bytes.Equal(old, body) {
					continue
				}
				changed = append(changed, path)
				if dry {
					continue
				}
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					return changed, fmt.Errorf("write %s: %w", path, err)
				}
				if err := renameio.WriteFile(full, body, 0o644); err != nil {
					return changed, fmt.Errorf("write %s: %w", path, err)
				}
			}
		}
	}
	return changed, nil
}

func sorted[V any](m map[string]V) []V {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	out := make([]V, 0, len(m))
	for _, k := range names {
		out = append(out, m[k])
	}
	return out
}

// Capacity are the parameters whose values come from the live group. They are
// no part of a digest.
var Capacity = []string{"DesiredCapacity", "MinSize", "MaxSize"}

// PerEnvironment are the parameters that differ between the environments of a
// site by their nature. They are no part of a digest, and a test stack gets
// its own.
var PerEnvironment = []string{"Domain", "ZoneName", "Certificate"}

// Parameters are the values of an environment's parameters, all that are sent:
// every one but ImageId.
func Parameters(e *config.Environment) map[string]string {
	out := map[string]string{
		"InstanceType":    e.Sizes.InstanceType,
		"DesiredCapacity": strconv.Itoa(e.Sizes.Instances),
		"MinSize":         strconv.Itoa(e.Sizes.Min),
		"MaxSize":         strconv.Itoa(e.Sizes.Max),
		"Domain":          e.Domain,
		"ZoneName":        e.Site.Zone,
		"Certificate":     e.Certificate,
	}
	if e.Database != nil {
		maps.Copy(out, databaseValues(e))
	}
	return out
}

// OfTest are the parameters whose values a test stack may have of its own.
var OfTest = append(slices.Clone(PerEnvironment), SnapshotID)

// ForTest are parameter values of a stack made like another one, under its own
// name: the declared per-environment values replaced, the others as they were.
// A certificate is for a name that a test stack does not have, so it gets none.
// What its database is restored from is the caller's to say.
func ForTest(values map[string]string, site *config.Site, stack string) map[string]string {
	out := maps.Clone(values)
	out["Domain"], out["ZoneName"], out["Certificate"] = stack+"."+site.Zone, site.Zone, ""
	return out
}

// WithCapacity are parameter values with the live group's desired capacity, the
// bounds widened to hold it: a roll needs room for as many instances again.
func WithCapacity(values map[string]string, desired int) map[string]string {
	out := maps.Clone(values)
	number := func(name string) int {
		n, err := strconv.Atoi(out[name])
		if err != nil {
			return 0
		}
		return n
	}
	out["DesiredCapacity"] = strconv.Itoa(desired)
	out["MaxSize"] = strconv.Itoa(max(number("MaxSize"), 2*desired))
	out["MinSize"] = strconv.Itoa(max(1, min(number("MinSize"), desired)))
	return out
}

// Digestible are the parameter values that count in a digest: without capacity
// and the per-environment ones.
func Digestible(values map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range values {
		if !slices.Contains(Capacity, k) && !slices.Contains(PerEnvironment, k) {
			out[k] = v
		}
	}
	return out
}
