package provenance

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/renameio/v2"
)

// Signer signs with one key.
type Signer interface {
	// KeyID is KeyID of the key's public half.
	KeyID() string
	// Sign signs data: ed25519, or ECDSA over its SHA-256 in ASN.1.
	Sign(ctx context.Context, data []byte) ([]byte, error)
}

// KeyID names a public key: SHA-256 of its PKIX form, in hexadecimal digits.
func KeyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("name the key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Trusted are the public keys whose signatures count, by their KeyID.
type Trusted map[string]crypto.PublicKey

// Add trusts a key.
func (t Trusted) Add(public crypto.PublicKey) error {
	id, err := KeyID(public)
	if err != nil {
		return err
	}
	t[id] = public
	return nil
}

func (t Trusted) verify(id string, data, sig []byte) error {
	if len(t) == 0 {
		return errors.New("no key is trusted")
	}
	switch k := t[id].(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(k, data, sig) {
			return nil
		}
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(data)
		if ecdsa.VerifyASN1(k, sum[:], sig) {
			return nil
		}
	case nil:
		return fmt.Errorf("it is signed by the key %.12s, which nobody trusts", id)
	}
	return fmt.Errorf("the signature is not one of the key %.12s over this statement", id)
}

// ReadPublic reads a public key in PEM: ed25519, or ECDSA as KMS has it.
func ReadPublic(path string) (crypto.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the trusted key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("read the trusted key: %s holds no PUBLIC KEY in PEM", path)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the trusted key %s: %w", path, err)
	}
	switch k.(type) {
	case ed25519.PublicKey, *ecdsa.PublicKey:
		return k, nil
	}
	return nil, fmt.Errorf("read the trusted key %s: it is neither ed25519 nor ECDSA", path)
}

// FileKey is an ed25519 key in a file.
type FileKey struct {
	id  string
	key ed25519.PrivateKey
}

// KeyID names it.
func (k *FileKey) KeyID() string { return k.id }

// Sign signs data.
func (k *FileKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.key, data), nil
}

// Public is the public half.
func (k *FileKey) Public() crypto.PublicKey { return k.key.Public() }

// OpenKey reads an ed25519 key, PKCS #8 in PEM, that nobody but its owner can read.
func OpenKey(path string) (*FileKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read the signing key: others may read %s (mode %04o); chmod 600 it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("read the signing key: %s holds no PRIVATE KEY in PEM", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the signing key %s: %w", path, err)
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the signing key: %s is not an ed25519 key", path)
	}
	id, err := KeyID(private.Public())
	return &FileKey{id, private}, err
}

// MakeKey opens the key of a path, and makes it when it is not there. Several
// runs at once end up with one key.
func MakeKey(path string) (*FileKey, error) {
	k, err := OpenKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-")
	if err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	// A link is made once: who comes second takes the first one's key.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	return OpenKey(path)
}

// WritePublic writes a public key in PEM.
func WritePublic(path string, public crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("write the public key: %w", err)
	}
	return renameio.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}
