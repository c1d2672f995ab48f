package cloudformation

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ssm"
)

var dynamic = regexp.MustCompile(`\{\{resolve:([a-z-]+):([^{}]+)\}\}`)

// resolve puts values of the parameter store in the place of dynamic references.
// A stack keeps the references themselves: a value that changed in the store
// is no change of the stack.
func resolve(tx *core.Tx, v any) (any, error) {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, y := range x {
			r, err := resolve(tx, y)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, y := range x {
			r, err := resolve(tx, y)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	case string:
		if !strings.Contains(x, "{{resolve:") {
			return x, nil
		}
		var failed error
		text := dynamic.ReplaceAllStringFunc(x, func(m string) string {
			parts := dynamic.FindStringSubmatch(m)
			value, err := stored(tx, parts[1], parts[2])
			if err != nil {
				failed = err
			}
			return value
		})
		return text, failed
	}
	return v, nil
}

// stored is the value of one dynamic reference: "name" or "name:version".
func stored(tx *core.Tx, service, key string) (string, error) {
	secure := service == "ssm-secure"
	if service != "ssm" && !secure {
		return "", invalid("Dynamic references to %s are not supported by this lab: {{resolve:%s:%s}}", service, service, key)
	}
	name, last, versioned := strings.Cut(key, ":")
	version := int64(0)
	if versioned {
		var err error
		if version, err = strconv.ParseInt(last, 10, 64); err != nil || version < 1 {
			return "", invalid("Incorrect format is used in the following SSM reference: [{{resolve:ssm:%s}}]", key)
		}
	}
	p := ssm.Find(tx, name)
	switch {
	case p == nil:
		return "", invalid("Parameters: [%s] cannot be found.", name)
	case secure && p.Type != "SecureString":
		return "", invalid("Parameters: [%s] is no secure string.", name)
	case !secure && p.Type == "SecureString":
		return "", invalid("SSM Secure reference is not supported in: [{{resolve:ssm:%s}}]", key)
	case version == 0 || version == p.Version:
		return p.Value, nil
	case version < p.Version && version <= int64(len(p.Former)):
		return p.Former[version-1], nil
	}
	return "", invalid("Parameters: [%s:%d] cannot be found.", name, version)
}

// resolved is what a handler gets to see of properties. A reference that leads
// nowhere by now, as when a stack is deleted, stays as it is.
func resolved(tx *core.Tx, p map[string]any) map[string]any {
	if v, err := resolve(tx, p); err == nil {
		return asMap(v)
	}
	return p
}

// secret are the properties that take a secure string of the parameter store.
var secret = map[string]string{typeDatabase: "/MasterUserPassword"}

// secure refuses secure strings where they would be told to somebody.
func (r *resource) secure(v any, path string) error {
	switch x := v.(type) {
	case map[string]any:
		if _, argument, ok := function(x); ok {
			return r.secure(argument, path)
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if err := r.secure(x[k], path+"/"+k); err != nil {
				return err
			}
		}
	case []any:
		for _, y := range x {
			if err := r.secure(y, path); err != nil {
				return err
			}
		}
	case string:
		if strings.Contains(x, "{{resolve:ssm-secure:") && secret[r.Type] != path {
			return invalid("SSM Secure reference is not supported in: [%s/Properties%s]", r.Type, path)
		}
	}
	return nil
}
