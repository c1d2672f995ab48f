// Package sigv4 checks requests that are signed by AWS's Signature Version 4 in
// the Authorization header, as AWS documents it ("Create a signed AWS API
// request", IAM user guide). Signatures in the query (presigned URLs) are not
// known to it, and of a body that is sent in chunks it checks the first one alone.
package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is a pair of credentials. A Token makes it temporary: requests must carry
// it, and after Expires (zero: never) they are refused.
type Key struct {
	ID, Secret, Token string
	Expires           time.Time
}

// Kind is what is wrong with a request's signature.
type Kind int

// What can be wrong.
const (
	Missing    Kind = iota // there is none
	Incomplete             // a part of it is missing or no such thing
	UnknownKey             // nobody has that key, or the token is not the key's
	ExpiredKey             // the key was temporary
	Expired                // it was made too long ago, or in the future
	Mismatch               // another secret, or another request was signed
)

// Problem is why a signature does not hold.
type Problem struct {
	Kind Kind
	Text string // in AWS's words
}

func (p *Problem) Error() string { return p.Text }

// skew is how far AWS lets the signer's clock be off.
const skew = 5 * time.Minute

const basic = "20060102T150405Z"

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*SignedHeaders=([a-z0-9;_-]+),\s*Signature=([0-9a-f]+)\s*$`)

// Verify checks that one of the keys signed the request, whose body is given as
// it was sent, at about now. Nil: it did.
func Verify(r *http.Request, body []byte, keys []Key, now time.Time) *Problem {
	text := r.Header.Get("Authorization")
	if text == "" {
		return &Problem{Missing, "Request is missing Authentication Token"}
	}
	part := authorization.FindStringSubmatch(text)
	if part == nil {
		return &Problem{Incomplete, "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters of AWS4-HMAC-SHA256. Authorization=" + text}
	}
	id, day, region, service, signed, signature := part[1], part[2], part[3], part[4], part[5], part[6]
	stamp := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(basic, stamp)
	if err != nil {
		return &Problem{Incomplete, fmt.Sprintf("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", stamp)}
	}
	k := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
	if k < 0 || r.Header.Get("X-Amz-Security-Token") != keys[k].Token {
		return &Problem{UnknownKey, "The security token included in the request is invalid."}
	}
	key := keys[k]
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return &Problem{ExpiredKey, "The security token included in the request is expired"}
	}
	stamps := func(t time.Time) string { return t.UTC().Format(basic) }
	switch {
	case at.Before(now.Add(-skew)):
		return &Problem{Expired, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", stamp, stamps(now.Add(-skew)), stamps(now))}
	case at.After(now.Add(skew)):
		return &Problem{Expired, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", stamp, stamps(now.Add(skew)), stamps(now))}
	case day != stamp[:8]:
		return &Problem{Mismatch, fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", day, stamp[:8], stamp)}
	}
	names := strings.Split(signed, ";")
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(names, name) {
			return &Problem{Mismatch, fmt.Sprintf("'%s' must be a 'SignedHeader' in the AWS Authorization.", name)}
		}
	}
	if !slices.Contains(names, "host") {
		return &Problem{Mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	request := sha256.Sum256([]byte(canonical(r, body, names, signed, service)))
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hex.EncodeToString(request[:])}, "\n")
	derived := []byte("AWS4" + key.Secret)
	for _, text := range []string{day, region, service, "aws4_request", toSign} {
		derived = sum(derived, text)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(derived)), []byte(signature)) {
		return &Problem{Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return nil
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonical is the request as it is signed. A body whose digest the client sends
// along must have that digest: only then does the signature say something of it.
func canonical(r *http.Request, body []byte, names []string, signed, service string) string {
	b := sha256.Sum256(body)
	digest := hex.EncodeToString(b[:])
	if claimed := r.Header.Get("X-Amz-Content-Sha256"); claimed == "UNSIGNED-PAYLOAD" || strings.HasPrefix(claimed, "STREAMING-") {
		digest = claimed
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + header(r, name) + "\n")
	}
	if service != "s3" {
		path = escape(path, true)
	}
	return strings.Join([]string{r.Method, path, query(r.URL.Query()), headers.String(), signed, digest}, "\n")
}

// header is a header's value as it is signed; a server finds some of them elsewhere.
func header(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	case "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	values := r.Header.Values(name)
	clean := make([]string, len(values))
	for k, v := range values {
		clean[k] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(clean, ",")
}

func query(values url.Values) string {
	var pairs [][2]string
	for name, list := range values {
		for _, v := range list {
			pairs = append(pairs, [2]string{escape(name, false), escape(v, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	list := make([]string, len(pairs))
	for k, p := range pairs {
		list[k] = p[0] + "=" + p[1]
	}
	return strings.Join(list, "&")
}

// escape encodes all but RFC 3986's unreserved characters. A path is encoded
// once more than it was sent, by every service but S3.
func escape(s string, path bool) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~", c) >= 0, path && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
