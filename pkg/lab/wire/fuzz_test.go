package wire_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Whatever comes in, there is an answer and no panic. What is understood can be
// written again by every protocol, and by JSON and CBOR so that it reads the same.
func written(t *testing.T, in *shape) {
	t.Helper()
	for _, p := range []wire.Protocol{wire.Query, wire.EC2, wire.RESTXML} {
		a, err := wire.Encode(p, "u", "X", "id", in)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		var any struct{}
		if err := xml.Unmarshal(a.Body, &any); err != nil {
			t.Fatalf("%s: %v: %s", p, err, a.Body)
		}
	}
	for p, decode := range map[wire.Protocol]func([]byte, any) error{wire.JSON: wire.DecodeJSON, wire.CBOR: wire.DecodeCBOR} {
		a, err := wire.Encode(p, "", "X", "id", in)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if p == wire.JSON && !json.Valid(a.Body) {
			t.Fatalf("no JSON: %s", a.Body)
		}
		var again shape
		if err := decode(a.Body, &again); err != nil {
			t.Fatalf("%s does not read what it wrote: %v: %q", p, err, a.Body)
		}
	}
}

// refused makes the answer for the caller, which must be good XML, JSON and CBOR too.
func refused(t *testing.T, err error) {
	t.Helper()
	for _, p := range []wire.Protocol{wire.Query, wire.EC2, wire.RESTXML, wire.JSON, wire.CBOR} {
		e := wire.Refusal(p, "service", "Action", err)
		a := wire.EncodeError(p, "u", "service", "id", e, false)
		var tree map[string]any
		var any struct{}
		switch p {
		case wire.JSON:
			err = json.Unmarshal(a.Body, &tree)
		case wire.CBOR:
			err = cbor.Unmarshal(a.Body, &tree)
		default:
			err = xml.Unmarshal(a.Body, &any)
		}
		if err != nil || e.Code == "" || e.Message == "" || a.Status >= 500 {
			t.Fatalf("%s: %v, %d: %q", p, err, a.Status, a.Body)
		}
	}
}

func tried(t *testing.T, in *shape, err error) {
	t.Helper()
	if err != nil {
		refused(t, err)
		return
	}
	written(t, in)
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{
		"Action=X&Name=a&Names.member.1=x&Pair.1.Key=k", "Pair.member.1.Key=k&Map.entry.1.key=m&Map.entry.1.value=1", "Names=&Names.1=x", "When=2026-01-02T03:04:05Z&Count=1e3",
		"a.b.c.d=1&a.b=2", "Names.999999999=1", "Names.member.999999999=1&Names.member.1=2", "Names.99999999999999999999=1", ".=1&..=2", "Blob=aGk%3D&Rate=-0", "Count=9007199254740993",
		"Names.1=x&Names.01=y", "Names.-1=x", "Name=%ff%00&Map.entry.1.key=%ff", "When=99999999999999", strings.Repeat("a.", 40) + "=1", "Nested.Nested.Key=1", "Rate=1e308&Count=-1", "Nested=x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		var in shape
		tree, err := wire.Form(values)
		if err == nil {
			err = wire.DecodeTree(tree, &in)
		}
		tried(t, &in, err)
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"Name":"a","Count":7,"On":true,"Rate":1.5,"When":1767323045.678,"Names":["x"],"Pair":[{"Key":"k"}],"Nested":{"Key":"n"},"Map":{"m":"1"},"Blob":"aGk="}`,
		`{"When":1e300}`, `{"When":"2026-01-02T03:04:05Z"}`, `{"Count":1e308}`, `{"Rate":-0}`, `{"Names":{"1":"x","999999999":"y"}}`, `{"Map":{"entry":[{"key":"a"}]}}`, `{"Name":null}`, `[]`, `{"Name":{}}`, "",
		strings.Repeat(`{"Nested":`, 50) + "1" + strings.Repeat("}", 50), `{"Name":"\ud800"}`, `{"Names":[[["x"]]]}`, `{"Pair":[null,{"Key":null}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in shape
		tried(t, &in, wire.DecodeJSON(body, &in))
	})
}

func FuzzCBOR(f *testing.F) {
	for _, v := range []any{
		map[string]any{"Name": "a", "Count": 7, "When": cbor.Tag{Number: 1, Content: 1767323045.678}, "Names": []string{"x"}, "Map": map[string]any{"m": "1"}, "Blob": []byte("hi")},
		map[string]any{"When": cbor.Tag{Number: 1, Content: 1e300}},
		map[string]any{"When": cbor.Tag{Number: 0, Content: "x"}},
		map[string]any{"Count": uint64(1) << 63},
		map[string]any{"Name": cbor.Tag{Number: 99, Content: []any{1}}},
		map[any]any{1: 2},
		[]any{1},
		nil,
		map[string]any{"Blob": cbor.Tag{Number: 2, Content: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}}},
	} {
		b, err := cbor.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xbf\x64Name\x61a\xff")) // an indefinite map, as the SDK sends it
	f.Add([]byte("\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in shape
		tried(t, &in, wire.DecodeCBOR(body, &in))
	})
}

func FuzzREST(f *testing.F) {
	f.Add("max=3", "t", []byte(`<R><Lines><Line><Key>a</Key></Line></Lines><Single><S>one</S><S>two</S></Single></R>`))
	f.Add("max=x&what=1", "", []byte(`<a><b></a>`))
	f.Add("", "\xff", []byte(strings.Repeat("<a>", 100)))
	f.Add("X-Amz-Date=1&x-id=y", "", []byte(`<!DOCTYPE x [<!ENTITY a "b">]><R>&a;</R>`))
	f.Add("", "", []byte(`<R><Lines/><Single>x</Single></R>`))
	f.Fuzz(func(t *testing.T, query, header string, body []byte) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		var in rest
		if err := wire.DecodeREST(map[string]string{"Id": header}, values, http.Header{"X-Token": {header}}, body, &in); err != nil {
			refused(t, err)
			return
		}
		if _, err := wire.Encode(wire.RESTXML, "u", "X", "id", &in); err != nil {
			t.Fatal(err)
		}
	})
}
