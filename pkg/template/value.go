package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// ordered decodes JSON: objects become object, numbers json.Number.
func ordered(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decode(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func decode(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{k.(string), v})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := decode(d)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err = d.Token()
		return l, err
	}
	return t, nil
}

// set puts value at path and returns the changed v. Members that are missing are made.
func set(v any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch v := v.(type) {
	case nil:
		return set(object{}, path, value)
	case object:
		for i := range v {
			if v[i].name == path[0] {
				inner, err := set(v[i].value, path[1:], value)
				v[i].value = inner
				return v, err
			}
		}
		inner, err := set(nil, path[1:], value)
		return append(v, member{path[0], inner}), err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) {
			return v, fmt.Errorf("no item %q", path[0])
		}
		v[i], err = set(v[i], path[1:], value)
		return v, err
	}
	return v, fmt.Errorf("%v has no member %q", v, path[0])
}

// vanished refuses values of goformation's types that its JSON silently drops
// or leaves empty: what the author wrote must be what CloudFormation gets.
func vanished(id string, p Properties) error {
	var faults []string
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem(), path)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), path+"."+strconv.Itoa(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Type().Field(i)
				name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
				if !f.IsExported() || name == "-" || name == "" {
					continue
				}
				if fault := empty(v.Field(i), omit == "omitempty"); fault != "" {
					faults = append(faults, strings.TrimPrefix(path+"."+name, ".")+fault)
					continue
				}
				walk(v.Field(i), path+"."+name)
			}
		}
	}
	walk(reflect.ValueOf(p), "")
	if len(faults) > 0 {
		return fmt.Errorf("%s: %s", id, strings.Join(faults, "; "))
	}
	return nil
}

func empty(v reflect.Value, omitted bool) string {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.IsNil() && !omitted {
			return " is required and not given"
		}
		if !v.IsNil() && v.Len() == 0 && omitted {
			return " is an empty list, which goformation drops"
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() && !omitted {
			return " is required and not given"
		}
	case reflect.String:
		if v.Len() == 0 {
			return " is empty"
		}
	case reflect.Int, reflect.Float64:
		if v.IsZero() && omitted {
			return " is 0, which goformation drops"
		}
	case reflect.Bool:
		if v.IsZero() && omitted {
			return " is false, which goformation drops"
		}
	}
	return ""
}
