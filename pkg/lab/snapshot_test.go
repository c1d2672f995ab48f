package lab_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// sdkDir is the source of the SDK's module for a service, which has snapshots of
// all its requests. At home a missing one skips the test, in CI it fails it.
func sdkDir(t *testing.T, service string) string {
	t.Helper()
	if other, ok := map[string]string{"elasticloadbalancing": "elasticloadbalancingv2", "logs": "cloudwatchlogs", "monitoring": "cloudwatch"}[service]; ok {
		service = other
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	require.NoError(t, err)
	dir := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(dir, "request_snapshot")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the SDK's module %s has no snapshots: %v", service, err)
		}
		t.Skipf("the SDK's module %s has no snapshots here", service)
	}
	return dir
}

// A snapshot is a request or an answer as the SDK's authors wrote it down, with
// every member set.
type snapshot struct {
	first  string
	header http.Header
	body   []byte
}

func readSnapshot(t *testing.T, file string) snapshot {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	rest = bytes.TrimPrefix(rest, []byte("\n"))
	s := snapshot{first: string(first), header: http.Header{}}
	for {
		line, more, _ := bytes.Cut(rest, []byte("\n"))
		rest = more
		name, value, ok := strings.Cut(string(line), ": ")
		if !ok {
			break
		}
		s.header.Add(name, value)
	}
	s.body = rest
	return s
}

func (s snapshot) request(t *testing.T, endpoint, service string) *http.Request {
	t.Helper()
	method, target, ok := strings.Cut(s.first, " ")
	require.True(t, ok, s.first)
	r, err := http.NewRequestWithContext(t.Context(), method, endpoint+target, bytes.NewReader(s.body))
	require.NoError(t, err)
	r.Header = s.header.Clone()
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	return r
}

// without is the snapshot without a member: a path of names and numbers, in
// which the names of a protocol's own elements are left out.
func (s snapshot) without(t *testing.T, path string) snapshot {
	t.Helper()
	switch {
	case strings.HasPrefix(s.header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		form, err := url.ParseQuery(string(s.body))
		require.NoError(t, err)
		for name := range form {
			for _, plain := range []string{
				strings.NewReplacer(".member.", ".", ".entry.", ".").Replace(name),
				itemName.ReplaceAllString(name, "$1"),
			} {
				if plain == path || strings.HasPrefix(plain, path+".") {
					form.Del(name)
				}
			}
		}
		s.body = []byte(form.Encode())
	case s.header.Get("Content-Type") == "application/cbor":
		tree := cborTree(t, s.body)
		drop(tree, strings.Split(path, "."))
		mode, err := cbor.EncOptions{Time: cbor.TimeUnixMicro, TimeTag: cbor.EncTagRequired}.EncMode()
		require.NoError(t, err)
		if s.body, err = mode.Marshal(tree); err != nil {
			t.Fatal(err)
		}
	case strings.HasPrefix(s.header.Get("Content-Type"), "application/x-amz-json"):
		tree := jsonTree(t, s.body)
		drop(tree, strings.Split(path, "."))
		b, err := json.Marshal(tree)
		require.NoError(t, err)
		s.body = b
	default:
		if target, query, ok := strings.Cut(s.first, "?"); ok {
			values, err := url.ParseQuery(query)
			require.NoError(t, err)
			values.Del(path)
			s.first = target + "?" + values.Encode()
		}
		if len(s.body) > 0 {
			var n node
			require.NoError(t, xml.Unmarshal(s.body, &n))
			n.drop(slices.DeleteFunc(strings.Split(path, "."), isNumber))
			b, err := xml.Marshal(n)
			require.NoError(t, err)
			s.body = b
		}
	}
	return s
}

// itemName is the name of a list's items where they have one of their own: "Tags.Tag.1".
var itemName = regexp.MustCompile(`\.[A-Z][A-Za-z]*(\.\d+)`)

func isNumber(s string) bool { _, err := strconv.Atoi(s); return err == nil }

// drop takes a member out of all items of a list at once.
func drop(tree any, path []string) {
	switch x := tree.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(x, path[0])
			return
		}
		drop(x[path[0]], path[1:])
	case []any:
		for _, e := range x {
			drop(e, path[1:])
		}
	}
}

// node is any XML element.
type node struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Nodes   []node `xml:",any"`
}

// drop takes an element out wherever the names lead to it, through elements of lists too.
func (n *node) drop(path []string) {
	n.Nodes = slices.DeleteFunc(n.Nodes, func(c node) bool { return len(path) == 1 && c.XMLName.Local == path[0] })
	for k := range n.Nodes {
		if n.Nodes[k].XMLName.Local == path[0] && len(path) > 1 {
			n.Nodes[k].drop(path[1:])
		} else {
			n.Nodes[k].drop(path)
		}
	}
}

func cborTree(t *testing.T, b []byte) map[string]any {
	t.Helper()
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	require.NoError(t, err)
	tree := map[string]any{}
	require.NoError(t, mode.Unmarshal(b, &tree))
	return tree
}

func jsonTree(t *testing.T, b []byte) map[string]any {
	t.Helper()
	tree := map[string]any{}
	require.NoError(t, json.Unmarshal(b, &tree))
	return tree
}

// unset names the members of a decoded input that nothing was decoded into.
func unset(v reflect.Value, path string) (out []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return []string{path}
		}
		return unset(v.Elem(), path)
	case reflect.Slice:
		if v.Len() == 0 {
			return []string{path}
		}
		return unset(v.Index(0), path)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for k := range v.NumField() {
			f := v.Type().Field(k)
			if !f.IsExported() || f.Tag.Get("wire") == "-" {
				continue
			}
			name := path + "." + f.Name
			if f.Anonymous {
				name = path
			}
			out = append(out, unset(v.Field(k), name)...)
		}
		return out
	}
	if v.IsZero() {
		return []string{path}
	}
	return nil
}

// Each action of the table gets the SDK's own request with every member set. The
// lab routes it to that action, decodes every member that it declares, and
// answers with a success or with an error of the protocol's form.
func TestRequestsOfTheSDK(t *testing.T) {
	l := lab.Start(t)
	for service, actions := range lab.Tables() {
		dir := sdkDir(t, service)
		for _, a := range actions {
			t.Run(service+"."+a.Name, func(t *testing.T) {
				s := readSnapshot(t, filepath.Join(dir, "request_snapshot", a.Name+".request.snap"))
				var in any
				for {
					name, got, err := l.Decode(service, s.request(t, l.Endpoint(), service), s.body)
					require.Equal(t, a.Name, name, "it is taken for another action")
					var unknown *wire.UnknownMember
					if errors.As(err, &unknown) {
						// The lab does not have it, and says so.
						before := s
						s = s.without(t, unknown.Path)
						require.NotEqual(t, before, s, "it refuses %s, which is not there", unknown.Path)
						continue
					}
					require.NoError(t, err)
					in = got
					break
				}
				nothing := slices.DeleteFunc(unset(reflect.ValueOf(in), ""), func(path string) bool { return slices.Contains(a.Lacking, path[1:]) })
				assert.Empty(t, nothing, "members that the SDK does not send, or not so")
				if service == "ec2" {
					s = s.without(t, "DryRun")
				}
				l.ResetCalls()
				resp, err := http.DefaultClient.Do(s.request(t, l.Endpoint(), service))
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, map[string]int{service + "." + a.Name: 1}, l.Calls())
				assert.NotEmpty(t, resp.Header.Get("X-Amzn-RequestId"))
				assert.Less(t, resp.StatusCode, 500, "%s", body)
				code, message := failure(t, resp, body)
				if resp.StatusCode == http.StatusOK {
					assert.Empty(t, code)
					return
				}
				assert.NotEmpty(t, code, "%s", body)
				if code != "ParameterNotFound" { // SSM says no more than that
					assert.NotEmpty(t, message, "%s", body)
				}
				assert.NotContains(t, []string{"InvalidAction", "UnknownOperationException", "UnknownParameter", "MissingAction", "SerializationException", "InternalFailure"}, code, "%s", message)
			})
		}
	}
}

// failure is the code and message of an answer, "" if it is none, and says
// whether the body is what its content type claims.
func failure(t *testing.T, resp *http.Response, body []byte) (code, message string) {
	t.Helper()
	var tree map[string]any
	switch resp.Header.Get("Content-Type") {
	case "application/cbor":
		tree = cborTree(t, body)
	case "application/x-amz-json-1.1":
		tree = jsonTree(t, body)
	default:
		var e struct {
			Error  struct{ Code, Message string }
			Errors struct {
				Error struct{ Code, Message string }
			}
		}
		require.NoError(t, xml.Unmarshal(body, &e), "%s", body)
		return e.Error.Code + e.Errors.Error.Code, e.Error.Message + e.Errors.Error.Message
	}
	code, _ = tree["__type"].(string)
	message, _ = tree["message"].(string)
	return code, message
}

// What the SDK's authors wrote down as answers, the lab's encoder writes in just the same way.
func TestAnswersOfTheSDK(t *testing.T) {
	compared := 0
	for service, actions := range lab.Tables() {
		dir := filepath.Join(sdkDir(t, service), "response_snapshot")
		if _, err := os.Stat(dir); err != nil {
			continue // XML services have none
		}
		for _, a := range actions {
			t.Run(service+"."+a.Name, func(t *testing.T) {
				s := readSnapshot(t, filepath.Join(dir, a.Name+".response.snap"))
				tree, decode, protocol := jsonTree, wire.DecodeJSON, wire.JSON
				if service == "monitoring" {
					tree, decode, protocol = cborTree, wire.DecodeCBOR, wire.CBOR
				}
				out := a.Out()
				for {
					var unknown *wire.UnknownMember
					err := decode(s.body, out)
					if !errors.As(err, &unknown) {
						require.NoError(t, err)
						break
					}
					s, out = s.without(t, unknown.Path), a.Out()
				}
				if len(bytes.TrimSpace(s.body)) == 0 {
					return // nothing is answered
				}
				assert.Empty(t, unset(reflect.ValueOf(out), a.Name), "members that the SDK does not know, or not so")
				answer, err := wire.Encode(protocol, "", a.Name, "id", out)
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprint(tree(t, s.body)), fmt.Sprint(tree(t, answer.Body)))
				compared++
			})
		}
	}
	assert.Greater(t, compared, 10)
}
