// Package s3 is as much of S3 as backups need: buckets with versions and object
// lock, objects put, read, listed and deleted. Buckets are in the path of a
// request. There are no parts of an upload, no policies, and no encryption.
//
// S3 tells its actions apart by method, path and query, and takes and gives
// content as it is, so it has its own way of reading requests.
package s3

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// MaxContent is the largest object; AWS takes 5 GiB.
const MaxContent = 256 << 20

// Contents keep what objects hold, by its SHA-256.
type Contents interface {
	Put(content []byte) (sum string, err error)
	Get(sum string) ([]byte, error)
	Drop(sum string) error
}

// Service is S3 as a service of the lab.
type Service struct{ Contents Contents }

// Name is the credential scope.
func (Service) Name() string { return "s3" }

// Step has nothing to do.
func (Service) Step(*core.Tx) {}

// Actions are the names of what it answers; Do does it.
func (Service) Actions() []core.Action {
	var out []core.Action
	for _, r := range rows {
		out = append(out, core.Action{Name: r.name})
	}
	return out
}

// Request as S3 reads it.
type Request struct {
	Action, Bucket, Key string
	query               url.Values
	header              http.Header
	body                []byte
}

// Reply of S3. What is an object's content is told by Content, for a client may
// want a part of it.
type Reply struct {
	Status   int
	Header   http.Header
	Body     []byte
	Content  []byte
	Modified time.Time
}

// A row is an action: its method, whether it is about a bucket or an object, and
// the parameter of the query that makes it this one.
type row struct {
	name, method string
	level        int // 0: of the account, 1: of a bucket, 2: of an object
	query        string
	reads        bool
	fn           func(s Service, tx *core.Tx, r *Request) (*Reply, error)
}

var rows []row

func init() { // they refer to functions which look at them
	rows = []row{
		{"ListBuckets", "GET", 0, "", true, listBuckets},
		{"CreateBucket", "PUT", 1, "", false, createBucket},
		{"HeadBucket", "HEAD", 1, "", true, headBucket},
		{"DeleteBucket", "DELETE", 1, "", false, deleteBucket},
		{"GetBucketLocation", "GET", 1, "location", true, location},
		{"PutBucketVersioning", "PUT", 1, "versioning", false, putVersioning},
		{"GetBucketVersioning", "GET", 1, "versioning", true, getVersioning},
		{"PutObjectLockConfiguration", "PUT", 1, "object-lock", false, putLock},
		{"GetObjectLockConfiguration", "GET", 1, "object-lock", true, getLock},
		{"PutPublicAccessBlock", "PUT", 1, "publicAccessBlock", false, putPrivate},
		{"GetPublicAccessBlock", "GET", 1, "publicAccessBlock", true, getPrivate},
		{"ListObjectVersions", "GET", 1, "versions", true, listVersions},
		{"ListObjectsV2", "GET", 1, "list-type", true, listObjects},
		{"GetObjectRetention", "GET", 2, "retention", true, getRetention},
		{"PutObjectRetention", "PUT", 2, "retention", false, putRetention},
		{"PutObject", "PUT", 2, "", false, putObject},
		{"GetObject", "GET", 2, "", true, getObject},
		{"HeadObject", "HEAD", 2, "", true, getObject},
		{"DeleteObject", "DELETE", 2, "", false, deleteObject},
	}
}

// parameters of a query that make an action another one, those that are not here
// included: "?acl" is no GetObject.
var plain = map[string]bool{
	"x-id": true, "versionId": true, "prefix": true, "delimiter": true, "max-keys": true, "continuation-token": true, "start-after": true, "encoding-type": true,
	"fetch-owner": true, "key-marker": true, "version-id-marker": true, "max-buckets": true, "bucket-region": true,
}

// Read finds out what is asked. Its Action is "" for what S3 has and this does not.
func Read(r *http.Request, body []byte) *Request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	out := &Request{Bucket: bucket, Key: key, query: r.URL.Query(), header: r.Header, body: body}
	level := 0
	if bucket != "" {
		level++
	}
	if key != "" {
		level++
	}
	special := ""
	for name := range out.query {
		if !plain[name] {
			special = name
		}
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		return out
	}
	for _, row := range rows {
		if row.method == r.Method && row.level == level && row.query == special {
			out.Action = row.name
		}
	}
	return out
}

// Reads says whether the action changes nothing.
func (r *Request) Reads() bool {
	for _, row := range rows {
		if row.name == r.Action {
			return row.reads
		}
	}
	return true
}

// Do carries it out.
func (s Service) Do(tx *core.Tx, r *Request) (*Reply, error) {
	for _, row := range rows {
		if row.name == r.Action {
			return row.fn(s, tx, r)
		}
	}
	return nil, fail(http.StatusNotImplemented, "NotImplemented", "The lab's S3 does not have what this request asks for.")
}

func fail(status int, code, format string, args ...any) *wire.Error {
	return &wire.Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Refusal is an error as S3 words it: not in an envelope as the other services'.
func Refusal(e *wire.Error, requestID, method string) *Reply {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	out := &Reply{Status: status, Header: http.Header{"Content-Type": {"application/xml"}}}
	if method != http.MethodHead {
		out.Body, _ = xml.Marshal(struct {
			XMLName                  xml.Name `xml:"Error"`
			Code, Message, RequestId string
		}{Code: e.Code, Message: e.Message, RequestId: requestID})
	}
	return out
}

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// answer is an XML document of S3's.
func answer(name string, v any) (*Reply, error) {
	inner, err := xml.Marshal(v)
	if err != nil {
		return nil, err
	}
	body := strings.TrimSuffix(strings.TrimPrefix(string(inner), "<x>"), "</x>")
	return &Reply{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/xml"}},
		Body: []byte(xml.Header + "<" + name + " xmlns=\"" + namespace + "\">" + body + "</" + name + ">"),
	}, nil
}

func done(status int) (*Reply, error) { return &Reply{Status: status, Header: http.Header{}}, nil }

// read decodes a body of XML.
func (r *Request) read(out any) error {
	if err := xml.Unmarshal(r.body, out); err != nil {
		return fail(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	return nil
}

// bucket finds the one that is meant, which answers in its own region only.
func (r *Request) bucket(tx *core.Tx) (*state.Bucket, error) {
	b := tx.World.Buckets[r.Bucket]
	switch {
	case b == nil:
		return nil, fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	case b.Region != tx.Region.Name:
		return nil, fail(http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. It is in %s.", b.Region)
	}
	return b, nil
}
