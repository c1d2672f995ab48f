package wire_test

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

type inner struct {
	Key   string
	Value string `wire:",empty"`
}

type shape struct {
	Name    string
	Count   *int64
	On      *bool
	Rate    *float64
	When    time.Time
	Names   []string
	Pairs   []inner `wire:"Pair"`
	Nested  *inner
	Plain   inner
	Map     map[string]string
	Blob    []byte
	Flag    bool
	Number  int64
	Ignored string `wire:"-"`
}

func form(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := url.ParseQuery(text)
	require.NoError(t, err)
	tree, err := wire.Form(v)
	require.NoError(t, err)
	return tree
}

func want() shape {
	n, on, rate := int64(7), true, 1.5
	return shape{
		Name: "a b", Count: &n, On: &on, Rate: &rate, When: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Names: []string{"x", "y"},
		Pairs: []inner{{"k", "v"}, {"l", ""}}, Nested: &inner{Key: "n"}, Map: map[string]string{"m": "1"}, Blob: []byte("hi"),
	}
}

func TestDecode(t *testing.T) {
	for name, decode := range map[string]func(in *shape) error{
		"awsQuery": func(in *shape) error {
			return wire.DecodeTree(form(t, "Action=X&Version=1&Name=a+b&Count=7&On=true&Rate=1.5&When=2026-01-02T03:04:05.678Z&Names.member.1=x&Names.member.2=y&Pair.member.1.Key=k&Pair.member.1.Value=v&Pair.member.2.Key=l&Pair.member.2.Value=&Nested.Key=n&Map.entry.1.key=m&Map.entry.1.value=1&Blob=aGk%3D"), in)
		},
		"ec2Query": func(in *shape) error {
			return wire.DecodeTree(form(t, "Name=a+b&Count=7&On=true&Rate=1.5&When=2026-01-02T03:04:05.678Z&Names.1=x&Names.3=y&Pair.1.Key=k&Pair.1.Value=v&Pair.2.Key=l&Nested.Key=n&Map.entry.1.key=m&Map.entry.1.value=1&Blob=aGk%3D"), in)
		},
		"awsJson": func(in *shape) error {
			return wire.DecodeJSON([]byte(`{"Name":"a b","Count":7,"On":true,"Rate":1.5,"When":1767323045.678,"Names":["x","y"],"Pair":[{"Key":"k","Value":"v"},{"Key":"l","Value":""}],"Nested":{"Key":"n"},"Map":{"m":"1"},"Blob":"aGk="}`), in)
		},
		"rpcv2Cbor": func(in *shape) error {
			b, err := cbor.Marshal(map[string]any{
				"Name": "a b", "Count": 7, "On": true, "Rate": 1.5, "When": cbor.Tag{Number: 1, Content: 1767323045.678}, "Names": []string{"x", "y"},
				"Pair": []map[string]any{{"Key": "k", "Value": "v"}, {"Key": "l"}}, "Nested": map[string]any{"Key": "n"}, "Map": map[string]any{"m": "1"}, "Blob": []byte("hi"),
			})
			require.NoError(t, err)
			return wire.DecodeCBOR(b, in)
		},
		"rest-xml": func(in *shape) error {
			return wire.DecodeREST(nil, nil, nil, []byte(`<?xml version="1.0"?><XRequest xmlns="u"><Name>a b</Name><Count>7</Count><On>true</On><Rate>1.5</Rate><When>2026-01-02T03:04:05.678Z</When>
				<Names><member>x</member><member>y</member></Names><Pair><member><Key>k</Key><Value>v</Value></member><member><Key>l</Key><Value></Value></member></Pair>
				<Nested><Key>n</Key></Nested><Map><entry><key>m</key><value>1</value></entry></Map><Blob>aGk=</Blob></XRequest>`), in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got shape
			require.NoError(t, decode(&got))
			assert.Equal(t, want(), got)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	var u *wire.UnknownMember
	require.ErrorAs(t, wire.DecodeTree(form(t, "Pair.1.Nonsense=1"), &shape{}), &u)
	assert.Equal(t, "Pair.1.Nonsense", u.Path)
	require.ErrorAs(t, wire.DecodeJSON([]byte(`{"Nonsense":{"a":1}}`), &shape{}), &u)
	require.ErrorAs(t, wire.DecodeTree(form(t, "Ignored=1"), &shape{}), &u)
	require.NoError(t, wire.DecodeTree(form(t, "Unknown=&Other.1=&Third=false"), &shape{}), "what says nothing asks for nothing")
	for _, bad := range []string{"Count=many", "Count=1.5", "On=perhaps", "When=yesterday", "Rate=NaN", "Blob=%21", "Names.x=1", "Name.x=1"} {
		assert.Error(t, wire.DecodeTree(form(t, bad), &shape{}), bad)
	}
	assert.Error(t, wire.DecodeJSON([]byte(`[1]`), &shape{}))
	assert.Error(t, wire.DecodeCBOR([]byte{0xff}, &shape{}))
	assert.Error(t, wire.DecodeREST(nil, nil, nil, []byte("<a><b></a>"), &shape{}))
	assert.ErrorAs(t, wire.DecodeREST(nil, url.Values{"what": {"1"}}, nil, nil, &shape{}), &u)
}

type rest struct {
	Id     string
	Token  string   `wire:"X-Token,header"`
	Max    *int64   `wire:"max,query"`
	Lines  []inner  `wire:"Lines,item=Line"`
	Single []string `wire:",item=S"`
}

func TestDecodeREST(t *testing.T) {
	var got rest
	h := http.Header{}
	h.Set("X-Token", "t")
	require.NoError(t, wire.DecodeREST(map[string]string{"Id": "Z1"}, url.Values{"max": {"3"}}, h,
		[]byte(`<R><Lines><Line><Key>a</Key></Line></Lines><Single><S>one</S></Single></R>`), &got))
	three := int64(3)
	assert.Equal(t, rest{Id: "Z1", Token: "t", Max: &three, Lines: []inner{{Key: "a"}}, Single: []string{"one"}}, got)
}

func TestAssign(t *testing.T) {
	var got shape
	require.NoError(t, wire.Assign(&got, map[string]any{"Name": 5, "Count": "7", "On": "True", "Pairs": []any{map[string]any{"Key": "k"}}}))
	assert.Equal(t, "5", got.Name)
	assert.EqualValues(t, 7, *got.Count)
	assert.True(t, *got.On)
	assert.Equal(t, "k", got.Pairs[0].Key)
	var u *wire.UnknownMember
	assert.ErrorAs(t, wire.Assign(&got, map[string]any{"Pair": []any{map[string]any{"Key": "k"}}}), &u, "Go names count here")
}

func TestEncode(t *testing.T) {
	out := want()
	for p, text := range map[wire.Protocol]string{
		wire.Query: `<XResponse xmlns="u"><XResult><Name>a b</Name><Count>7</Count><On>true</On><Rate>1.5</Rate><When>2026-01-02T03:04:05.678Z</When><Names><member>x</member><member>y</member></Names>` +
			`<Pair><member><Key>k</Key><Value>v</Value></member><member><Key>l</Key><Value></Value></member></Pair><Nested><Key>n</Key><Value></Value></Nested>` +
			`<Map><entry><key>m</key><value>1</value></entry></Map><Blob>aGk=</Blob><Flag>false</Flag><Number>0</Number></XResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></XResponse>`,
		wire.EC2: `<XResponse xmlns="u"><requestId>id</requestId><name>a b</name><count>7</count><on>true</on><rate>1.5</rate><when>2026-01-02T03:04:05.678Z</when><names><item>x</item><item>y</item></names>` +
			`<pair><item><key>k</key><value>v</value></item><item><key>l</key><value></value></item></pair><nested><key>n</key><value></value></nested>` +
			`<map><entry><key>m</key><value>1</value></entry></map><blob>aGk=</blob><flag>false</flag><number>0</number></XResponse>`,
	} {
		a, err := wire.Encode(p, "u", "X", "id", &out)
		require.NoError(t, err)
		assert.Equal(t, xml.Header+text, string(a.Body), p.String())
		assert.Equal(t, "id", a.Header.Get("X-Amzn-Requestid"))
	}

	a, err := wire.Encode(wire.JSON, "", "X", "id", &out)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Name":"a b","Count":7,"On":true,"Rate":1.5,"When":1767323045.678,"Names":["x","y"],"Pair":[{"Key":"k","Value":"v"},{"Key":"l","Value":""}],"Nested":{"Key":"n","Value":""},"Map":{"m":"1"},"Blob":"aGk=","Flag":false,"Number":0}`, string(a.Body))

	a, err = wire.Encode(wire.CBOR, "", "X", "id", &out)
	require.NoError(t, err)
	assert.Equal(t, "rpc-v2-cbor", a.Header.Get("Smithy-Protocol"))
	var got shape
	require.NoError(t, wire.DecodeCBOR(a.Body, &got), "it reads what it wrote")
	out.Plain = inner{}
	assert.Equal(t, out, got)
}

func TestEncodeText(t *testing.T) {
	type text struct{ Name string }
	a, err := wire.Encode(wire.EC2, "u", "X", "id", &text{"<&\">\x01"})
	require.NoError(t, err)
	var got struct {
		Name string `xml:"name"`
	}
	require.NoError(t, xml.Unmarshal(a.Body, &got))
	assert.Equal(t, "<&\">\uFFFD", got.Name)
}

func TestErrors(t *testing.T) {
	e := &wire.Error{Code: "ResourceNotFound", Shape: "DashboardNotFoundError", Message: "no <x>", Status: 404}
	for p, text := range map[wire.Protocol]string{
		wire.Query:   xml.Header + `<ErrorResponse xmlns="u"><Error><Type>Sender</Type><Code>ResourceNotFound</Code><Message>no &lt;x&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>`,
		wire.RESTXML: xml.Header + `<ErrorResponse xmlns="u"><Error><Type>Sender</Type><Code>ResourceNotFound</Code><Message>no &lt;x&gt;</Message></Error><RequestId>id</RequestId></ErrorResponse>`,
		wire.EC2:     xml.Header + `<Response><Errors><Error><Code>ResourceNotFound</Code><Message>no &lt;x&gt;</Message></Error></Errors><RequestID>id</RequestID></Response>`,
		wire.JSON:    `{"__type":"DashboardNotFoundError","message":"no \u003cx\u003e"}`,
	} {
		a := wire.EncodeError(p, "u", "cloudwatch", "id", e, false)
		assert.Equal(t, 404, a.Status)
		assert.Equal(t, text, string(a.Body), p.String())
	}
	a := wire.EncodeError(wire.CBOR, "u", "cloudwatch", "id", e, true)
	var got map[string]string
	require.NoError(t, cbor.Unmarshal(a.Body, &got))
	assert.Equal(t, "com.amazonaws.cloudwatch#DashboardNotFoundError", got["__type"])
	assert.Equal(t, "ResourceNotFound;Sender", a.Header.Get("X-Amzn-Query-Error"))
	a = wire.EncodeError(wire.Query, "u", "x", "id", &wire.Error{Code: "InternalFailure", Status: 500}, false)
	assert.Contains(t, string(a.Body), "<Type>Receiver</Type>")
}
