package s3

import (
	"cmp"
	"encoding/xml"
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func listBuckets(_ Service, tx *core.Tx, _ *Request) (*Reply, error) {
	type bucket struct{ Name, CreationDate, BucketRegion string }
	var out struct {
		XMLName xml.Name `xml:"x"`
		Buckets struct{ Bucket []bucket }
		Owner   struct{ ID string }
	}
	out.Owner.ID = tx.World.Account
	for _, name := range slices.Sorted(maps.Keys(tx.World.Buckets)) {
		b := tx.World.Buckets[name]
		out.Buckets.Bucket = append(out.Buckets.Bucket, bucket{b.Name, stamp(b.Created), b.Region})
	}
	return answer("ListAllMyBucketsResult", out)
}

func createBucket(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	var in struct{ LocationConstraint string }
	if len(r.body) > 0 {
		if err := r.read(&in); err != nil {
			return nil, err
		}
	}
	if !bucketName.MatchString(r.Bucket) {
		return nil, fail(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	}
	if cmp.Or(in.LocationConstraint, "us-east-1") != tx.Region.Name {
		return nil, fail(http.StatusBadRequest, "IllegalLocationConstraintException", "The %s location constraint is incompatible for the region specific endpoint this request was sent to.", cmp.Or(in.LocationConstraint, "unspecified"))
	}
	if tx.World.Buckets[r.Bucket] != nil {
		return nil, fail(http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	}
	b := &state.Bucket{Name: r.Bucket, Region: tx.Region.Name, Created: tx.Now, Objects: map[string][]*state.ObjectVersion{}}
	if r.header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
		b.Lock, b.Versioning = true, "Enabled"
	}
	// Since April of 2023 nothing new is public.
	b.Private = map[string]bool{"BlockPublicAcls": true, "IgnorePublicAcls": true, "BlockPublicPolicy": true, "RestrictPublicBuckets": true}
	tx.World.Buckets[r.Bucket] = b
	tx.Changed()
	return &Reply{Status: http.StatusOK, Header: http.Header{"Location": {"/" + r.Bucket}}}, nil
}

func headBucket(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	return &Reply{Status: http.StatusOK, Header: http.Header{"X-Amz-Bucket-Region": {b.Region}}}, nil
}

func deleteBucket(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	if len(b.Objects) > 0 {
		return nil, fail(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
	}
	delete(tx.World.Buckets, r.Bucket)
	tx.Changed()
	return done(http.StatusNoContent)
}

func location(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	region := b.Region
	if region == "us-east-1" {
		region = "" // the oldest region has no name here
	}
	return answer("LocationConstraint", struct {
		XMLName xml.Name `xml:"x"`
		Text    string   `xml:",chardata"`
	}{Text: region})
}

func putVersioning(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	var in struct{ Status string }
	if err := r.read(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Status != "Enabled" && in.Status != "Suspended":
		return nil, fail(http.StatusBadRequest, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
	case b.Lock && in.Status == "Suspended":
		return nil, fail(http.StatusConflict, "InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
	}
	b.Versioning = in.Status
	tx.Changed()
	return done(http.StatusOK)
}

func getVersioning(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	return answer("VersioningConfiguration", struct {
		XMLName xml.Name `xml:"x"`
		Status  string   `xml:",omitempty"`
	}{Status: b.Versioning})
}

type lockRule struct {
	ObjectLockEnabled string
	Rule              *struct {
		DefaultRetention struct {
			Mode  string
			Days  int `xml:",omitempty"`
			Years int `xml:",omitempty"`
		}
	}
}

func putLock(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	var in lockRule
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if b.Versioning != "Enabled" {
		return nil, fail(http.StatusConflict, "InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
	}
	mode, days := "", 0
	if in.Rule != nil {
		d := in.Rule.DefaultRetention
		mode, days = d.Mode, d.Days+365*d.Years
		if mode != governance && mode != compliance || days < 1 || d.Days > 0 && d.Years > 0 {
			return nil, fail(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
		}
	}
	b.Lock, b.LockMode, b.LockDays = true, mode, days
	tx.Changed()
	return done(http.StatusOK)
}

func getLock(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	if !b.Lock {
		return nil, fail(http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
	}
	out := struct {
		XMLName xml.Name `xml:"x"`
		lockRule
	}{lockRule: lockRule{ObjectLockEnabled: "Enabled"}}
	if b.LockMode != "" {
		out.Rule = &struct {
			DefaultRetention struct {
				Mode  string
				Days  int `xml:",omitempty"`
				Years int `xml:",omitempty"`
			}
		}{}
		out.Rule.DefaultRetention.Mode, out.Rule.DefaultRetention.Days = b.LockMode, b.LockDays
	}
	return answer("ObjectLockConfiguration", out)
}

type access struct {
	XMLName                                                                     xml.Name
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

func putPrivate(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	var in access
	if err := r.read(&in); err != nil {
		return nil, err
	}
	b.Private = map[string]bool{
		"BlockPublicAcls": in.BlockPublicAcls, "IgnorePublicAcls": in.IgnorePublicAcls, "BlockPublicPolicy": in.BlockPublicPolicy, "RestrictPublicBuckets": in.RestrictPublicBuckets,
	}
	tx.Changed()
	return done(http.StatusOK)
}

func getPrivate(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	p := b.Private
	return answer("PublicAccessBlockConfiguration", access{
		XMLName: xml.Name{Local: "x"}, BlockPublicAcls: p["BlockPublicAcls"], IgnorePublicAcls: p["IgnorePublicAcls"], BlockPublicPolicy: p["BlockPublicPolicy"],
		RestrictPublicBuckets: p["RestrictPublicBuckets"],
	})
}
