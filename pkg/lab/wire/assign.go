package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// UnknownMember is the error about a member that an input does not have.
type UnknownMember struct{ Path string }

func (e *UnknownMember) Error() string { return "unknown member " + e.Path }

// Assign fills the struct that out points to from a tree of maps, lists and
// plain values, as JSON or YAML decoding makes it, by the Go names of the
// fields. Numbers and booleans may be given as strings. An unknown name is an
// error.
func Assign(out any, tree map[string]any) error {
	return assigner{byGoName: true}.assign(reflect.ValueOf(out).Elem(), tree, field{}, "")
}

type assigner struct{ byGoName bool }

var timeType = reflect.TypeFor[time.Time]()

func (a assigner) assign(v reflect.Value, src any, f field, path string) error {
	if src == nil {
		return nil
	}
	bad := func() error { return fmt.Errorf("value of %s cannot be read: %s", path, brief(src)) }
	if v.Type() == timeType {
		t, ok := parseTime(src)
		if !ok {
			return bad()
		}
		v.Set(reflect.ValueOf(t))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		n := reflect.New(v.Type().Elem())
		if err := a.assign(n.Elem(), src, f, path); err != nil {
			return err
		}
		v.Set(n)
	case reflect.Interface:
		v.Set(reflect.ValueOf(src))
	case reflect.String:
		switch x := src.(type) {
		case string:
			v.SetString(x)
		case bool:
			v.SetString(strconv.FormatBool(x))
		case map[string]any, []any:
			return bad()
		default:
			n, ok := number(src)
			if !ok {
				return bad()
			}
			v.SetString(strconv.FormatFloat(n, 'f', -1, 64))
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := number(src)
		if !ok || n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			return bad()
		}
		v.SetInt(int64(n))
	case reflect.Float64:
		n, ok := number(src)
		if !ok {
			return bad()
		}
		v.SetFloat(n)
	case reflect.Bool:
		switch x := src.(type) {
		case bool:
			v.SetBool(x)
		case string:
			b, err := strconv.ParseBool(strings.ToLower(x))
			if err != nil {
				return bad()
			}
			v.SetBool(b)
		default:
			return bad()
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			switch x := src.(type) {
			case []byte:
				v.SetBytes(x)
			case string:
				b, err := base64.StdEncoding.DecodeString(x)
				if err != nil {
					return bad()
				}
				v.SetBytes(b)
			default:
				return bad()
			}
			return nil
		}
		list, ok := asList(src, f.item)
		if !ok {
			return bad()
		}
		s := reflect.MakeSlice(v.Type(), len(list), len(list))
		for k, e := range list {
			if err := a.assign(s.Index(k), e, field{}, fmt.Sprintf("%s.%d", path, k+1)); err != nil {
				return err
			}
		}
		v.Set(s)
	case reflect.Map:
		m, ok := asMap(src)
		if !ok || v.Type().Key().Kind() != reflect.String {
			return bad()
		}
		out := reflect.MakeMapWithSize(v.Type(), len(m))
		for k, e := range m {
			n := reflect.New(v.Type().Elem()).Elem()
			if err := a.assign(n, e, field{}, join(path, k)); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), n)
		}
		v.Set(out)
	case reflect.Struct:
		m, ok := src.(map[string]any)
		if !ok {
			if s, isText := src.(string); isText && strings.TrimSpace(s) == "" {
				return nil
			}
			return bad()
		}
		return a.fill(v, m, path)
	default:
		return fmt.Errorf("field %s has kind %s, which no protocol carries", path, v.Kind())
	}
	return nil
}

func (a assigner) fill(v reflect.Value, m map[string]any, path string) error {
	used := 0
	for _, f := range fieldsOf(v.Type()) {
		name := f.name
		if a.byGoName {
			name = f.goName
		}
		src, ok := m[name]
		if !ok {
			continue
		}
		used++
		if err := a.assign(v.FieldByIndex(f.index), src, f, join(path, name)); err != nil {
			return err
		}
	}
	if used == len(m) {
		return nil
	}
	for name, src := range m {
		known := false
		for _, f := range fieldsOf(v.Type()) {
			known = known || f.name == name && !a.byGoName || f.goName == name && a.byGoName
		}
		if !known && !says(src) {
			return &UnknownMember{Path: join(path, name)}
		}
	}
	return nil
}

// says tells whether a value says nothing: old clients send empty strings and false for what nobody asked for.
func says(src any) bool {
	switch x := src.(type) {
	case nil:
		return true
	case string:
		return x == "" || x == "false"
	case bool:
		return !x
	case map[string]any:
		for _, e := range x {
			if !says(e) {
				return false
			}
		}
		return true
	case []any:
		return len(x) == 0
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func brief(src any) string {
	s := fmt.Sprintf("%v", src)
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

func number(src any) (float64, bool) {
	switch x := src.(type) {
	case string:
		n, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	}
	return 0, false
}

func parseTime(src any) (time.Time, bool) {
	switch x := src.(type) {
	case time.Time:
		return x.Round(time.Millisecond).UTC(), true
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02"} {
			if t, err := time.Parse(layout, x); err == nil {
				return t.UTC(), true
			}
		}
	}
	n, ok := number(src)
	if !ok {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(n * 1000))).UTC(), true
}

// asList reads a list: a real one, one of numbered keys ("1", "2", …), or the
// items inside of a "member" or item element.
func asList(src any, item string) ([]any, bool) {
	switch x := src.(type) {
	case []any:
		return x, true
	case string:
		return nil, strings.TrimSpace(x) == ""
	case map[string]any:
		if len(x) == 1 {
			for _, name := range []string{item, "member"} {
				inner, ok := x[name]
				if !ok || name == "" {
					continue
				}
				switch y := inner.(type) {
				case []any:
					return y, true
				case map[string]any:
					if list, ok := numbered(y); ok {
						return list, true
					}
				}
				return []any{inner}, true
			}
		}
		return numbered(x)
	}
	return nil, false
}

// numbered is the list that keys 1, 2, … stand for, in order; gaps are closed as AWS does.
func numbered(m map[string]any) ([]any, bool) {
	at := make([]int, 0, len(m))
	for k := range m {
		n, err := strconv.Atoi(k)
		if err != nil || n < 0 || strconv.Itoa(n) != k {
			return nil, false
		}
		at = append(at, n)
	}
	slices.Sort(at)
	list := make([]any, len(at))
	for k, n := range at {
		list[k] = m[strconv.Itoa(n)]
	}
	return list, true
}

// asMap reads a map: a real one, or the key/value pairs inside of "entry".
func asMap(src any) (map[string]any, bool) {
	m, ok := src.(map[string]any)
	if !ok {
		s, isText := src.(string)
		return nil, isText && s == ""
	}
	entries, ok := m["entry"]
	if !ok || len(m) != 1 {
		return m, true
	}
	list, ok := asList(entries, "")
	if !ok {
		list = []any{entries} // in XML a single entry is no list
	}
	out := map[string]any{}
	for _, e := range list {
		pair, _ := e.(map[string]any)
		k, ok := pair["key"].(string)
		if !ok {
			return nil, false
		}
		out[k] = pair["value"]
	}
	return out, true
}
