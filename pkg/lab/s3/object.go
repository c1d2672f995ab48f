package s3

import (
	"crypto/md5"  //nolint:gosec // what S3's ETag is
	"crypto/sha1" //nolint:gosec // one of S3's checksums
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

const governance, compliance = "GOVERNANCE", "COMPLIANCE"

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// checksums that a client may send along, by what follows x-amz-checksum-.
var checksums = map[string]func() hash.Hash{
	"crc32": func() hash.Hash { return crc32.NewIEEE() }, "crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) }, "sha1": sha1.New, "sha256": sha256.New,
}

// unchunk is a body that came in chunks (aws-chunked), and what its trailer says.
func unchunk(r *Request) ([]byte, error) {
	if !strings.HasPrefix(r.header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return r.body, nil
	}
	bad := fail(http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly")
	var out []byte
	rest := string(r.body)
	for {
		line, after, ok := strings.Cut(rest, "\r\n")
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if !ok || err != nil || n < 0 || n > int64(len(after)) {
			return nil, bad
		}
		rest = after[n:]
		if n == 0 {
			break
		}
		out = append(out, after[:n]...)
		if rest, ok = strings.CutPrefix(rest, "\r\n"); !ok {
			return nil, bad
		}
	}
	for _, line := range strings.Split(rest, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "x-amz-checksum-") {
			r.header.Set(name, strings.TrimSpace(value))
		}
	}
	if want := r.header.Get("X-Amz-Decoded-Content-Length"); want != "" && want != strconv.Itoa(len(out)) {
		return nil, bad
	}
	return out, nil
}

// sums compares the body with what the client says its checksums are, and
// returns those headers.
func sums(r *Request, body []byte) (map[string]string, error) {
	out := map[string]string{}
	for name, make := range checksums {
		header := "X-Amz-Checksum-" + name
		said := r.header.Get(header)
		if said == "" {
			continue
		}
		h := make()
		h.Write(body)
		if said != base64.StdEncoding.EncodeToString(h.Sum(nil)) {
			return nil, fail(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", strings.ToUpper(name))
		}
		out[http.CanonicalHeaderKey(header)] = said
	}
	digest := md5.Sum(body) //nolint:gosec // what S3 asks for
	if said := r.header.Get("Content-Md5"); said != "" && said != base64.StdEncoding.EncodeToString(digest[:]) {
		return nil, fail(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	return out, nil
}

// newest is the current version of an object, nil if it is deleted or never was.
func newest(b *state.Bucket, key string) *state.ObjectVersion {
	list := b.Objects[key]
	if len(list) == 0 || list[len(list)-1].Marker {
		return nil
	}
	return list[len(list)-1]
}

func putObject(s Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	if len(r.Key) > 1024 {
		return nil, fail(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	body, err := unchunk(r)
	if err != nil {
		return nil, err
	}
	header, err := sums(r, body)
	if err != nil {
		return nil, err
	}
	if r.header.Get("If-None-Match") == "*" && newest(b, r.Key) != nil {
		return nil, fail(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	digest := md5.Sum(body) //nolint:gosec // what S3's ETag is
	v := &state.ObjectVersion{ID: "null", Size: int64(len(body)), ETag: hex.EncodeToString(digest[:]), Modified: tx.Now}
	v.Mode = r.header.Get("X-Amz-Object-Lock-Mode")
	until := r.header.Get("X-Amz-Object-Lock-Retain-Until-Date")
	if v.Mode != "" || until != "" {
		if v.Until, err = retention(tx, b, v.Mode, until); err != nil {
			return nil, err
		}
	} else if b.LockMode != "" {
		v.Mode, v.Until = b.LockMode, tx.Now.AddDate(0, 0, b.LockDays)
	}
	if v.Mode != "" && len(header) == 0 && r.header.Get("Content-Md5") == "" {
		return nil, fail(http.StatusBadRequest, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	for name, values := range r.header {
		if strings.HasPrefix(name, "X-Amz-Meta-") || slices.Contains([]string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Language", "Expires"}, name) {
			header[name] = values[0]
		}
	}
	if e := r.header.Get("Content-Encoding"); e != "" && e != "aws-chunked" {
		header["Content-Encoding"] = strings.TrimPrefix(e, "aws-chunked,")
	}
	v.Header = header
	if v.Content, err = s.Contents.Put(body); err != nil {
		return nil, err
	}
	out := &Reply{Status: http.StatusOK, Header: http.Header{"Etag": {strconv.Quote(v.ETag)}}}
	s.add(tx, b, r.Key, v, out)
	for name, value := range header {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			out.Header.Set(name, value)
		}
	}
	return out, nil
}

// add makes a version the newest: beside the others, or in the place of the one
// without an id.
func (s Service) add(tx *core.Tx, b *state.Bucket, key string, v *state.ObjectVersion, out *Reply) {
	var gone *state.ObjectVersion
	if b.Versioning == "Enabled" {
		v.ID = core.Hex(32)
	} else {
		gone = take(b, key, "null")
	}
	if b.Versioning != "" {
		out.Header.Set("X-Amz-Version-Id", v.ID)
	}
	b.Objects[key] = append(b.Objects[key], v)
	s.free(tx, gone)
	tx.Changed()
}

// take removes a version from an object, and the object with its last one.
func take(b *state.Bucket, key, id string) (gone *state.ObjectVersion) {
	b.Objects[key] = slices.DeleteFunc(b.Objects[key], func(v *state.ObjectVersion) bool {
		if v.ID == id {
			gone = v
		}
		return v.ID == id
	})
	if len(b.Objects[key]) == 0 {
		delete(b.Objects, key)
	}
	return gone
}

// free forgets the content of a version that is gone, if no other has the same.
func (s Service) free(tx *core.Tx, gone *state.ObjectVersion) {
	if gone == nil || gone.Marker {
		return
	}
	for _, b := range tx.World.Buckets {
		for _, list := range b.Objects {
			if slices.ContainsFunc(list, func(v *state.ObjectVersion) bool { return v.Content == gone.Content }) {
				return
			}
		}
	}
	if err := s.Contents.Drop(gone.Content); err != nil {
		tx.Log().Warn("content of S3 is left behind", "sum", gone.Content, "error", err)
	}
}

func retention(tx *core.Tx, b *state.Bucket, mode, until string) (time.Time, error) {
	if !b.Lock {
		return time.Time{}, fail(http.StatusBadRequest, "InvalidRequest", "Bucket is missing Object Lock Configuration")
	}
	at, err := time.Parse(time.RFC3339, until)
	switch {
	case err != nil || mode != governance && mode != compliance:
		return at, fail(http.StatusBadRequest, "InvalidArgument", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
	case !at.After(tx.Now):
		return at, fail(http.StatusBadRequest, "InvalidArgument", "The retain until date must be in the future!")
	}
	return at, nil
}

// version finds the one that is asked for, the newest unless it says which.
func (r *Request) version(b *state.Bucket) (*state.ObjectVersion, error) {
	list := b.Objects[r.Key]
	id := r.query.Get("versionId")
	if id == "" {
		if v := newest(b, r.Key); v != nil {
			return v, nil
		}
		return nil, fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	}
	k := slices.IndexFunc(list, func(v *state.ObjectVersion) bool { return v.ID == id })
	switch {
	case k < 0:
		return nil, fail(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
	case list[k].Marker:
		return nil, fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	return list[k], nil
}

func getObject(s Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	v, err := r.version(b)
	if err != nil {
		return nil, err
	}
	content, err := s.Contents.Get(v.Content)
	if err != nil {
		return nil, err
	}
	out := &Reply{Status: http.StatusOK, Header: http.Header{}, Content: append([]byte{}, content...), Modified: v.Modified}
	for name, value := range v.Header {
		// A checksum is of the whole, and told to who asks for it.
		if !strings.HasPrefix(name, "X-Amz-Checksum-") || r.header.Get("X-Amz-Checksum-Mode") == "ENABLED" && r.header.Get("Range") == "" {
			out.Header.Set(name, value)
		}
	}
	if out.Header.Get("Content-Type") == "" {
		out.Header.Set("Content-Type", "binary/octet-stream")
	}
	out.Header.Set("Etag", strconv.Quote(v.ETag))
	if b.Versioning != "" {
		out.Header.Set("X-Amz-Version-Id", v.ID)
	}
	if v.Mode != "" {
		out.Header.Set("X-Amz-Object-Lock-Mode", v.Mode)
		out.Header.Set("X-Amz-Object-Lock-Retain-Until-Date", stamp(v.Until))
	}
	return out, nil
}

func deleteObject(s Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	out := &Reply{Status: http.StatusNoContent, Header: http.Header{}}
	id := r.query.Get("versionId")
	if id == "" {
		if b.Versioning == "" {
			s.free(tx, take(b, r.Key, "null"))
			tx.Changed()
			return out, nil
		}
		out.Header.Set("X-Amz-Delete-Marker", "true")
		s.add(tx, b, r.Key, &state.ObjectVersion{ID: "null", Marker: true, Modified: tx.Now}, out)
		return out, nil
	}
	for _, v := range b.Objects[r.Key] {
		if v.ID != id {
			continue
		}
		bypass := v.Mode == governance && r.header.Get("X-Amz-Bypass-Governance-Retention") == "true"
		if v.Mode != "" && v.Until.After(tx.Now) && !bypass {
			return nil, fail(http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
		}
		if v.Marker {
			out.Header.Set("X-Amz-Delete-Marker", "true")
		}
		out.Header.Set("X-Amz-Version-Id", id)
		s.free(tx, take(b, r.Key, id))
		tx.Changed()
		break
	}
	return out, nil
}

type lockOf struct {
	XMLName         xml.Name
	Mode            string
	RetainUntilDate string
}

func getRetention(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	v, err := r.version(b)
	if err != nil {
		return nil, err
	}
	if v.Mode == "" {
		return nil, fail(http.StatusNotFound, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
	}
	return answer("Retention", lockOf{XMLName: xml.Name{Local: "x"}, Mode: v.Mode, RetainUntilDate: stamp(v.Until)})
}

func putRetention(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	v, err := r.version(b)
	if err != nil {
		return nil, err
	}
	var in lockOf
	if err := r.read(&in); err != nil {
		return nil, err
	}
	until, err := retention(tx, b, in.Mode, in.RetainUntilDate)
	if err != nil {
		return nil, err
	}
	weaker := until.Before(v.Until) || in.Mode != v.Mode
	bypass := v.Mode == governance && r.header.Get("X-Amz-Bypass-Governance-Retention") == "true"
	if v.Mode != "" && v.Until.After(tx.Now) && weaker && !bypass && !(v.Mode == governance && in.Mode == compliance && !until.Before(v.Until)) {
		return nil, fail(http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
	}
	v.Mode, v.Until = in.Mode, until
	tx.Changed()
	return done(http.StatusOK)
}
