package s3

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// size of a page.
func (r *Request) size(tx *core.Tx) (int, error) {
	n := 1000
	if text := r.query.Get("max-keys"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return 0, fail(http.StatusBadRequest, "InvalidArgument", "Provided max-keys not an integer or within integer range")
		}
	}
	return min(n, int(tx.PageSize(1000))), nil
}

// name is a key as a listing has it.
func (r *Request) name(key string) string {
	if r.query.Get("encoding-type") == "url" {
		return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
	}
	return key
}

type object struct {
	Key, LastModified, ETag string
	Size                    int64
	StorageClass            string
}

type prefix struct{ Prefix string }

func listObjects(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	size, err := r.size(tx)
	if err != nil {
		return nil, err
	}
	start, delimiter := r.query.Get("prefix"), r.query.Get("delimiter")
	after := r.query.Get("start-after")
	if token := r.query.Get("continuation-token"); token != "" {
		raw, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return nil, fail(http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect")
		}
		after = string(raw)
	}
	var out struct {
		XMLName               xml.Name `xml:"x"`
		Name, Prefix          string
		Delimiter             string `xml:",omitempty"`
		MaxKeys, KeyCount     int
		EncodingType          string `xml:",omitempty"`
		IsTruncated           bool
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		Contents              []object
		CommonPrefixes        []prefix
	}
	out.Name, out.Prefix, out.Delimiter, out.MaxKeys, out.EncodingType = b.Name, r.name(start), r.name(delimiter), size, r.query.Get("encoding-type")
	out.ContinuationToken = r.query.Get("continuation-token")
	last := ""
	for _, key := range slices.Sorted(maps.Keys(b.Objects)) {
		v := newest(b, key)
		if v == nil || !strings.HasPrefix(key, start) {
			continue
		}
		shown, common := key, false
		if delimiter != "" {
			if k := strings.Index(key[len(start):], delimiter); k >= 0 {
				shown, common = key[:len(start)+k+len(delimiter)], true
			}
		}
		if shown <= after || common && shown == last {
			continue
		}
		if out.KeyCount == size {
			out.IsTruncated, out.NextContinuationToken = true, base64.StdEncoding.EncodeToString([]byte(last))
			break
		}
		last = shown
		out.KeyCount++
		if common {
			out.CommonPrefixes = append(out.CommonPrefixes, prefix{r.name(shown)})
			continue
		}
		out.Contents = append(out.Contents, object{r.name(key), stamp(v.Modified), strconv.Quote(v.ETag), v.Size, "STANDARD"})
	}
	return answer("ListBucketResult", out)
}

func listVersions(_ Service, tx *core.Tx, r *Request) (*Reply, error) {
	b, err := r.bucket(tx)
	if err != nil {
		return nil, err
	}
	size, err := r.size(tx)
	if err != nil {
		return nil, err
	}
	type version struct {
		XMLName        xml.Name
		Key, VersionId string
		IsLatest       bool
		LastModified   string
		ETag           string `xml:",omitempty"`
		Size           *int64 `xml:",omitempty"`
		StorageClass   string `xml:",omitempty"`
	}
	var out struct {
		XMLName             xml.Name `xml:"x"`
		Name, Prefix        string
		KeyMarker           string
		VersionIdMarker     string
		MaxKeys             int
		EncodingType        string `xml:",omitempty"`
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIdMarker string `xml:",omitempty"`
		Versions            []version
	}
	out.Name, out.Prefix, out.MaxKeys, out.EncodingType = b.Name, r.name(r.query.Get("prefix")), size, r.query.Get("encoding-type")
	out.KeyMarker, out.VersionIdMarker = r.query.Get("key-marker"), r.query.Get("version-id-marker")
	passed := out.KeyMarker == ""
	for _, key := range slices.Sorted(maps.Keys(b.Objects)) {
		if !strings.HasPrefix(key, r.query.Get("prefix")) || key < out.KeyMarker || key == out.KeyMarker && out.VersionIdMarker == "" {
			continue
		}
		list := b.Objects[key]
		passed = passed || key > out.KeyMarker
		for k := len(list) - 1; k >= 0; k-- {
			v := list[k]
			if !passed {
				passed = v.ID == out.VersionIdMarker
				continue
			}
			if len(out.Versions) == size {
				out.IsTruncated = true
				return answer("ListVersionsResult", out)
			}
			out.NextKeyMarker, out.NextVersionIdMarker = key, v.ID
			one := version{XMLName: xml.Name{Local: "Version"}, Key: r.name(key), VersionId: v.ID, IsLatest: k == len(list)-1, LastModified: stamp(v.Modified)}
			if v.Marker {
				one.XMLName.Local = "DeleteMarker"
			} else {
				one.ETag, one.Size, one.StorageClass = strconv.Quote(v.ETag), &v.Size, "STANDARD"
			}
			out.Versions = append(out.Versions, one)
		}
	}
	out.NextKeyMarker, out.NextVersionIdMarker = "", ""
	return answer("ListVersionsResult", out)
}
