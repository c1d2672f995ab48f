package provenance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/provenance"
)

var story = provenance.Story{
	Image: "ami-0123456789abcdef0", Name: "web-abc-1", Region: "eu-west-1", Account: "111111111111", Snapshots: []string{"snap-1"},
	Content: strings.Repeat("a", 64), Tags: map[string]string{"chain:key": "abc"}, Key: "abc", Role: "web", Commit: strings.Repeat("c", 40),
	Base: provenance.Material{ID: "ami-1", Name: "debian", Owner: "136693071363"}, Parts: map[string]string{"puppet": strings.Repeat("b", 64)},
	Tools: map[string]string{"puppet": "7.23"}, Builder: "https://example.org/builder", Run: "run-1",
	Began: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Ended: time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC), Examples: 54,
	Products: map[string]string{"packages.txt": strings.Repeat("d", 64)},
}

func sealed(t *testing.T) ([]byte, provenance.Trusted, *provenance.FileKey) {
	t.Helper()
	key, err := provenance.MakeKey(filepath.Join(t.TempDir(), "key.pem"))
	require.NoError(t, err)
	b, err := provenance.Seal(t.Context(), key, story)
	require.NoError(t, err)
	trusted := provenance.Trusted{}
	require.NoError(t, trusted.Add(key.Public()))
	return b, trusted, key
}

func TestWhatIsSealedIsRead(t *testing.T) {
	b, trusted, _ := sealed(t)
	got, err := provenance.Open(trusted, b)
	require.NoError(t, err)
	assert.Equal(t, story, got)

	// Anybody's tools can read it: DSSE, in-toto, SLSA.
	var e struct {
		PayloadType string
		Payload     []byte
	}
	require.NoError(t, json.Unmarshal(b, &e))
	assert.Equal(t, "application/vnd.in-toto+json", e.PayloadType)
	var s map[string]any
	require.NoError(t, json.Unmarshal(e.Payload, &s))
	assert.Equal(t, "https://in-toto.io/Statement/v1", s["_type"])
	assert.Equal(t, "https://slsa.dev/provenance/v1", s["predicateType"])
	assert.Equal(t, map[string]any{"sha256": strings.Repeat("a", 64)}, s["subject"].([]any)[0].(map[string]any)["digest"])
}

// TestAnyFlippedByteIsRefused flips each bit of each byte of the envelope,
// whether a signature covers it or not.
func TestAnyFlippedByteIsRefused(t *testing.T) {
	b, trusted, _ := sealed(t)
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			_, err := provenance.Open(trusted, bad)
			require.ErrorIs(t, err, provenance.ErrRefused, "byte %d bit %d of %q", i, bit, b[max(0, i-10):min(len(b), i+10)])
		}
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut off": b[:len(b)/2], "more at the end": append(bytes.Clone(b), ' '), "twice": append(bytes.Clone(b), b...),
		"another field": bytes.Replace(b, []byte(`{"payloadType"`), []byte(`{"x":1,"payloadType"`), 1),
		"a field twice": bytes.Replace(b, []byte(`{"payloadType"`), []byte(`{"payloadType":"x","payloadType"`), 1),
		"no signature":  []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}` + "\n"),
	} {
		_, err := provenance.Open(trusted, bad)
		require.ErrorIs(t, err, provenance.ErrRefused, name)
	}
}

func TestOnlyTrustedKeysCount(t *testing.T) {
	b, _, _ := sealed(t)
	_, other, key := sealed(t)
	_, err := provenance.Open(other, b)
	require.ErrorIs(t, err, provenance.ErrRefused)
	require.ErrorContains(t, err, "nobody trusts")
	_, err = provenance.Open(nil, b)
	require.ErrorContains(t, err, "no key is trusted")

	// A signature by a trusted key over another statement, under the same key id.
	more, err := provenance.Seal(t.Context(), key, provenance.Story{Image: "ami-2", Content: strings.Repeat("e", 64)})
	require.NoError(t, err)
	good, err := provenance.Seal(t.Context(), key, story)
	require.NoError(t, err)
	sig := func(b []byte) string { _, s, _ := strings.Cut(string(b), `"sig":"`); return s }
	_, err = provenance.Open(other, []byte(strings.Replace(string(good), sig(good), sig(more), 1)))
	require.ErrorContains(t, err, "not one of the key")

	// A statement of another kind, well signed.
	_, err = provenance.Open(other, []byte(strings.Replace(string(good), "in-toto", "in-tota", 1)))
	require.ErrorIs(t, err, provenance.ErrRefused)
	assert.NotEmpty(t, base64.StdEncoding.EncodeToString(good))
}

func TestKeysOfFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "of", "mine", "key.pem")
	_, err := provenance.OpenKey(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	a, err := provenance.MakeKey(path)
	require.NoError(t, err)
	b, err := provenance.MakeKey(path)
	require.NoError(t, err)
	assert.Equal(t, a.KeyID(), b.KeyID())
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	require.NoError(t, provenance.WritePublic(path+".pub", a.Public()))
	public, err := provenance.ReadPublic(path + ".pub")
	require.NoError(t, err)
	id, err := provenance.KeyID(public)
	require.NoError(t, err)
	assert.Equal(t, a.KeyID(), id)

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = provenance.OpenKey(path)
	require.ErrorContains(t, err, "others may read")
	_, err = provenance.ReadPublic(path)
	require.ErrorContains(t, err, "no PUBLIC KEY")
	require.NoError(t, os.WriteFile(path+"2", []byte("x"), 0o600))
	_, err = provenance.OpenKey(path + "2")
	require.ErrorContains(t, err, "no PRIVATE KEY")
}
