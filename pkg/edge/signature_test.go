package edge_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/build-deploy-chain/chain/pkg/edge/edgetest"
)

// TestSignature holds the stand-in against the vectors that Akamai has published.
func TestSignature(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("x", 43) + "="
	host := "akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net"
	header := "EG1-HMAC-SHA256 client_token=" + edgetest.ClientToken + ";access_token=" + edgetest.AccessToken + ";timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;"
	assert.Equal(t, "znsRMDBRqTXGJ7Ojip3/h2FGPu3LuoMYWgv9PKEnE/o=", edgetest.Sign(secret, "20140321T19:34:21+0000"))
	assert.Equal(t, "tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU=", edgetest.Signature(secret, "GET", host, "/", nil, header, "20140321T19:34:21+0000"))
	assert.Equal(t, "hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4=",
		edgetest.Signature(secret, "POST", host, "/testapi/v1/t3", []byte("datadatadatadatadatadatadatadata"), header, "20140321T19:34:21+0000"))
}
