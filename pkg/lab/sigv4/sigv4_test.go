package sigv4_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
)

// AWS's published test suite of Signature Version 4. What SDK clients sign is
// tested in pkg/lab.
func TestPublishedSignatures(t *testing.T) {
	keys := []sigv4.Key{{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}}
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for name, c := range map[string]struct{ method, target, signature string }{
		"get-vanilla":                      {http.MethodGet, "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-query-order-key-case": {http.MethodGet, "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"post-vanilla":                     {http.MethodPost, "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		r := httptest.NewRequest(c.method, "http://example.amazonaws.com"+c.target, nil)
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="+c.signature)
		require.Nil(t, sigv4.Verify(r, nil, keys, now), name)
		for kind, keys := range map[sigv4.Kind][]sigv4.Key{
			sigv4.Mismatch:   {{ID: "AKIDEXAMPLE", Secret: "another"}},
			sigv4.UnknownKey: {{ID: "AKIDEXAMPLE", Secret: keys[0].Secret, Token: "t"}},
			sigv4.ExpiredKey: {{ID: "AKIDEXAMPLE", Secret: keys[0].Secret, Expires: now}},
		} {
			p := sigv4.Verify(r, nil, keys, now)
			if assert.NotNil(t, p, name) {
				assert.Equal(t, kind, p.Kind, p.Text)
			}
		}
		assert.Equal(t, sigv4.Expired, sigv4.Verify(r, nil, keys, now.Add(5*time.Minute+time.Second)).Kind)
		assert.Nil(t, sigv4.Verify(r, nil, keys, now.Add(5*time.Minute)))
		assert.Equal(t, sigv4.Mismatch, sigv4.Verify(r, []byte("x"), keys, now).Kind)
	}
}
