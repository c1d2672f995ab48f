package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// MaxBody is the largest request the lab reads.
const MaxBody = 8 << 20

// Form reads the body of a Query or EC2 request as a tree. Action and Version
// are not part of it.
func Form(values url.Values) (map[string]any, error) {
	root := map[string]any{}
	for name, v := range values {
		if name == "Action" || name == "Version" || len(v) == 0 {
			continue
		}
		if len(v) > 1 {
			return nil, Errorf("MalformedQueryString", "parameter %.80s is given twice", name)
		}
		if !utf8.ValidString(name) || !utf8.ValidString(v[0]) {
			return nil, Errorf("MalformedQueryString", "parameter %.80q is not UTF-8", name)
		}
		if err := plant(root, name, v[0]); err != nil {
			return nil, err
		}
	}
	return root, nil
}

const maxDepth = 32

func plant(m map[string]any, name, value string) error {
	parts := strings.Split(name, ".")
	if len(parts) > maxDepth {
		return Errorf("MalformedQueryString", "parameter %.80s is nested too deeply", name)
	}
	for _, p := range parts[:len(parts)-1] {
		next, ok := m[p]
		if !ok || next == "" {
			inner := map[string]any{}
			m[p] = inner
			m = inner
			continue
		}
		inner, ok := next.(map[string]any)
		if !ok {
			return Errorf("MalformedQueryString", "parameter %.80s is both a value and a structure", name)
		}
		m = inner
	}
	last := parts[len(parts)-1]
	if _, ok := m[last].(map[string]any); ok {
		if value == "" {
			return nil // an empty value marks an empty list; a filled one wins
		}
		return Errorf("MalformedQueryString", "parameter %.80s is both a value and a structure", name)
	}
	m[last] = value
	return nil
}

// DecodeTree fills in, a pointer to an input struct, from a tree of wire names.
func DecodeTree(tree map[string]any, in any) error {
	return assigner{}.assign(reflect.ValueOf(in).Elem(), tree, field{}, "")
}

// DecodeJSON reads an awsJson body.
func DecodeJSON(body []byte, in any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	tree := map[string]any{}
	if err := json.Unmarshal(body, &tree); err != nil {
		return Errorf("SerializationException", "the body is no JSON object: %v", err)
	}
	return DecodeTree(tree, in)
}

var cborMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), MaxNestedLevels: maxDepth}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// DecodeCBOR reads an rpcv2Cbor body.
func DecodeCBOR(body []byte, in any) error {
	if len(body) == 0 {
		return nil
	}
	tree := map[string]any{}
	if err := cborMode.Unmarshal(body, &tree); err != nil {
		return Errorf("SerializationException", "the body is no CBOR map: %v", err)
	}
	return DecodeTree(tree, in)
}

// DecodeREST reads a rest-xml request: what is in the path (by Go name of the
// field), in the query, in headers and in the body.
func DecodeREST(path map[string]string, query url.Values, header http.Header, body []byte, in any) error {
	v := reflect.ValueOf(in).Elem()
	if len(bytes.TrimSpace(body)) > 0 {
		tree, err := parseXML(body)
		if err != nil {
			return Errorf("MalformedInput", "the body is no XML: %v", err)
		}
		if err := DecodeTree(tree, in); err != nil {
			return err
		}
	}
	left := url.Values{}
	for k, x := range query {
		left[k] = x
	}
	for _, f := range fieldsOf(v.Type()) {
		var src any
		if p, ok := path[f.goName]; ok {
			src = p
		} else if f.query && left.Has(f.name) {
			src = left.Get(f.name)
			left.Del(f.name)
		} else if f.header && header.Get(f.name) != "" {
			src = header.Get(f.name)
		}
		if src == nil {
			continue
		}
		if err := (assigner{}).assign(v.FieldByIndex(f.index), src, f, f.name); err != nil {
			return err
		}
	}
	for k := range left {
		if k != "x-id" && !strings.HasPrefix(k, "X-Amz-") {
			return &UnknownMember{Path: k}
		}
	}
	return nil
}

// parseXML reads a document as a tree; the root's own name is not in it.
func parseXML(body []byte) (map[string]any, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if _, ok := t.(xml.StartElement); !ok {
			continue
		}
		tree, err := element(d, 0)
		if err != nil {
			return nil, err
		}
		m, ok := tree.(map[string]any)
		if !ok {
			return map[string]any{}, nil
		}
		return m, nil
	}
}

func element(d *xml.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	var text strings.Builder
	var m map[string]any
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch x := t.(type) {
		case xml.CharData:
			text.Write(x)
		case xml.StartElement:
			e, err := element(d, depth+1)
			if err != nil {
				return nil, err
			}
			if m == nil {
				m = map[string]any{}
			}
			switch old := m[x.Name.Local].(type) {
			case nil:
				m[x.Name.Local] = e
			case []any:
				m[x.Name.Local] = append(old, e)
			default:
				m[x.Name.Local] = []any{old, e}
			}
		case xml.EndElement:
			if m != nil {
				return m, nil
			}
			return text.String(), nil
		}
	}
}

// Refusal turns what a Decode function returned into the answer for the caller.
func Refusal(p Protocol, service, action string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var u *UnknownMember
	if errors.As(err, &u) {
		code := map[Protocol]string{EC2: "UnknownParameter", Query: "ValidationError", RESTXML: "InvalidInput"}[p]
		if code == "" {
			code = "ValidationException"
		}
		return Errorf(code, "The parameter %s is not recognized: the lab's %s.%s does not have it", u.Path, service, action)
	}
	code := map[Protocol]string{EC2: "InvalidParameterValue", Query: "ValidationError", RESTXML: "InvalidInput"}[p]
	if code == "" {
		code = "SerializationException"
	}
	return &Error{Code: code, Message: fmt.Sprintf("%s.%s: %v", service, action, err)}
}
