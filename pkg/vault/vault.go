// Package vault keeps backups where nobody can delete them: in a bucket of S3 with
// versions and object lock, in the compliance mode that not even the account's
// owner can shorten.
//
// The SDK's package for S3 is among the largest; six actions of it are made here.
package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/build-deploy-chain/chain/pkg/call"
	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Vault is a bucket in the region of its configuration. It is safe for use by
// several goroutines.
type Vault struct {
	Bucket string
	cfg    aws.Config
	clock  clock.Clock
}

// Object in a vault.
type Object struct {
	Key  string    `xml:"Key"`
	Made time.Time `xml:"LastModified"`
	Size int64     `xml:"Size"`
}

// ErrAbsent says that there is no such bucket or object.
var ErrAbsent = errors.New("it is not there")

// Open is a vault by its bucket's name. It calls nothing.
func Open(cfg aws.Config, c clock.Clock, bucket string) *Vault {
	return &Vault{Bucket: bucket, cfg: cfg, clock: c}
}

// Name of the bucket of an environment's backups: buckets' names are everybody's,
// so account and region are part of it. A long one is cut, and told from others
// by a digest.
func Name(stack, account, region string) string {
	name := strings.ToLower(fmt.Sprintf("%s-backups-%s-%s", stack, account, region))
	if len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:50], "-.") + "-" + hex.EncodeToString(sum[:])[:12]
}

// do carries an action out; out is filled from the answer's XML, or with the
// answer itself if it is a *[]byte.
func (v *Vault) do(ctx context.Context, method, key string, query url.Values, header http.Header, body []byte, out any) error {
	sum := sha256.Sum256(body)
	if header == nil {
		header = http.Header{}
	}
	header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	if len(body) > 0 {
		header.Set("X-Amz-Sdk-Checksum-Algorithm", "SHA256")
		header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	}
	path := "/" + v.Bucket
	if key != "" {
		path += "/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/")
	}
	return call.Do(ctx, v.cfg, v.clock, call.Op{
		Service: "s3", Method: method, Path: path, Query: query, Header: header, Body: body, Plain: true,
		Decode: func(r *http.Response, b []byte) error {
			if r.StatusCode < 300 {
				if raw, ok := out.(*[]byte); ok {
					*raw = b
					return nil
				}
				if out == nil {
					return nil
				}
				return xml.Unmarshal(b, out)
			}
			var e struct{ Code, Message string }
			if err := xml.Unmarshal(b, &e); err != nil { // the answer to HEAD has no body
				e.Code, e.Message = strings.ReplaceAll(http.StatusText(r.StatusCode), " ", ""), http.StatusText(r.StatusCode)
			}
			return call.Fault(r.StatusCode, e.Code, e.Message)
		},
	})
}

func absent(err error) error {
	switch call.Code(err) {
	case "NoSuchBucket", "NoSuchKey", "NotFound":
		return errors.Join(ErrAbsent, err)
	}
	return err
}

// rule is the object lock that everything in a vault has.
type rule struct {
	XMLName xml.Name `xml:"ObjectLockConfiguration"`
	Enabled string   `xml:"ObjectLockEnabled"`
	Mode    string   `xml:"Rule>DefaultRetention>Mode"`
	Days    int      `xml:"Rule>DefaultRetention>Days"`
}

// Make sees to it that the bucket is there, private, and locks each object for
// that many days. A bucket that is there and locks nothing is refused: somebody
// else made it.
func (v *Vault) Make(ctx context.Context, days int) error {
	kept, err := v.Locks(ctx)
	switch {
	case err == nil && kept >= days:
		return nil
	case err != nil && !errors.Is(err, ErrAbsent):
		return err
	case errors.Is(err, ErrAbsent):
		var body []byte
		if v.cfg.Region != "us-east-1" { // the oldest region has no name here
			body = []byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` + v.cfg.Region + `</LocationConstraint></CreateBucketConfiguration>`)
		}
		err := v.do(ctx, http.MethodPut, "", nil, http.Header{"X-Amz-Bucket-Object-Lock-Enabled": {"true"}}, body, nil)
		if err != nil && call.Code(err) != "BucketAlreadyOwnedByYou" {
			return fmt.Errorf("make the bucket %s: %w", v.Bucket, err)
		}
	}
	closed := []byte(`<PublicAccessBlockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`)
	if err := v.do(ctx, http.MethodPut, "", url.Values{"publicAccessBlock": {""}}, nil, closed, nil); err != nil {
		return fmt.Errorf("close the bucket %s to the public: %w", v.Bucket, err)
	}
	lock, err := xml.Marshal(rule{Enabled: "Enabled", Mode: "COMPLIANCE", Days: days})
	if err == nil {
		err = v.do(ctx, http.MethodPut, "", url.Values{"object-lock": {""}}, nil, lock, nil)
	}
	if err != nil {
		return fmt.Errorf("lock the bucket %s: %w", v.Bucket, err)
	}
	return nil
}

// Locks is for how many days the bucket locks each object; 0 if it has object lock
// and no rule yet. A bucket that cannot lock is an error, one that is not there ErrAbsent.
func (v *Vault) Locks(ctx context.Context) (days int, err error) {
	var is rule
	err = v.do(ctx, http.MethodGet, "", url.Values{"object-lock": {""}}, nil, nil, &is)
	switch {
	case call.Code(err) == "ObjectLockConfigurationNotFoundError":
		return 0, fmt.Errorf("the bucket %s has no object lock: what is in it can be deleted", v.Bucket)
	case err != nil:
		return 0, fmt.Errorf("look at the bucket %s: %w", v.Bucket, absent(err))
	case is.Mode != "COMPLIANCE":
		return 0, nil
	}
	return is.Days, nil
}

// Put keeps something under a name that is new. What is there by that name stays.
func (v *Vault) Put(ctx context.Context, key string, content []byte) error {
	err := v.do(ctx, http.MethodPut, key, nil, http.Header{"If-None-Match": {"*"}}, content, nil)
	if err != nil && call.Code(err) != "PreconditionFailed" {
		return fmt.Errorf("put %s into the bucket %s: %w", key, v.Bucket, absent(err))
	}
	return nil
}

// Get reads something.
func (v *Vault) Get(ctx context.Context, key string) ([]byte, error) {
	var out []byte
	if err := v.do(ctx, http.MethodGet, key, nil, nil, nil, &out); err != nil {
		return nil, fmt.Errorf("read %s in the bucket %s: %w", key, v.Bucket, absent(err))
	}
	return bytes.Clone(out), nil
}

// List is what there is under names that begin so, the newest first.
func (v *Vault) List(ctx context.Context, prefix string) ([]Object, error) {
	var out []Object
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for {
		var page struct {
			Contents              []Object
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := v.do(ctx, http.MethodGet, "", query, nil, nil, &page); err != nil {
			return nil, fmt.Errorf("list the bucket %s: %w", v.Bucket, absent(err))
		}
		out = append(out, page.Contents...)
		if !page.IsTruncated || page.NextContinuationToken == "" {
			break
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
	slices.SortStableFunc(out, func(a, b Object) int { return b.Made.Compare(a.Made) })
	return out, nil
}
