package ec2

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/md5" // EC2's fingerprint of an imported RSA key
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // EC2's fingerprint of an RSA key it made
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// CreateKeyPairInput of CreateKeyPair.
type CreateKeyPairInput struct {
	KeyName, KeyType, KeyFormat string
	TagSpecifications           []TagSpecification `wire:"TagSpecification"`

	// What Fetch made, for making an RSA key takes long.
	private, public, fingerprint string
	err                          error
}

// CreateKeyPairOutput of CreateKeyPair.
type CreateKeyPairOutput struct {
	KeyName, KeyFingerprint, KeyMaterial, KeyPairId string
	Tags                                            []Tag `wire:"tagSet"`
}

// ImportKeyPairInput of ImportKeyPair.
type ImportKeyPairInput struct {
	KeyName           string
	PublicKeyMaterial []byte
	TagSpecifications []TagSpecification `wire:"TagSpecification"`
}

// ImportKeyPairOutput of ImportKeyPair.
type ImportKeyPairOutput struct {
	KeyName, KeyFingerprint, KeyPairId string
	Tags                               []Tag `wire:"tagSet"`
}

// DeleteKeyPairInput of DeleteKeyPair.
type DeleteKeyPairInput struct{ KeyName, KeyPairId string }

// DeleteKeyPairOutput of DeleteKeyPair.
type DeleteKeyPairOutput struct {
	Return    bool
	KeyPairId string
}

// DescribeKeyPairsInput of DescribeKeyPairs.
type DescribeKeyPairsInput struct {
	KeyNames         []string `wire:"KeyName"`
	KeyPairIds       []string `wire:"KeyPairId"`
	IncludePublicKey *bool
	Filters          []Filter `wire:"Filter"`
}

// DescribeKeyPairsOutput of DescribeKeyPairs.
type DescribeKeyPairsOutput struct {
	KeyPairs []KeyPairInfo `wire:"keySet"`
}

// KeyPairInfo is a key pair without its private half.
type KeyPairInfo struct {
	KeyName, KeyPairId, KeyType, KeyFingerprint, PublicKey string
	CreateTime                                             time.Time
	Tags                                                   []Tag `wire:"tagSet"`
}

// makeKey makes the key itself: RSA as PKCS#1 PEM, ed25519 in OpenSSH's format.
func makeKey(_ context.Context, _ runtime.Runtime, in *CreateKeyPairInput) {
	fail := func(err error) { in.err = wire.Errorf("InternalError", "make a key: %v", err) }
	if in.KeyType == "ed25519" {
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			fail(err)
			return
		}
		block, err := ssh.MarshalPrivateKey(priv, "")
		if err != nil {
			fail(err)
			return
		}
		in.private = string(pem.EncodeToMemory(block))
		in.setPublic(pub)
		if key, err := ssh.NewPublicKey(pub); err == nil {
			in.fingerprint = strings.TrimPrefix(ssh.FingerprintSHA256(key), "SHA256:") + "="
		}
		return
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		fail(err)
		return
	}
	in.private = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	in.setPublic(key.Public())
	if der, err := x509.MarshalPKCS8PrivateKey(key); err == nil {
		sum := sha1.Sum(der) // as EC2 does
		in.fingerprint = colons(sum[:])
	}
}

func (in *CreateKeyPairInput) setPublic(pub crypto.PublicKey) {
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		in.err = wire.Errorf("InternalError", "make a key: %v", err)
		return
	}
	in.public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for k, x := range b {
		parts[k] = hex.EncodeToString([]byte{x})
	}
	return strings.Join(parts, ":")
}

func checkKeyName(tx *core.Tx, name string) error {
	if name == "" {
		return missing("KeyName")
	}
	if tx.Region.KeyPairs[name] != nil {
		return wire.Errorf("InvalidKeyPair.Duplicate", "The keypair '%s' already exists.", name)
	}
	return nil
}

// createKeyPair keeps the public half and answers the private one.
func createKeyPair(tx *core.Tx, in *CreateKeyPairInput) (*CreateKeyPairOutput, error) {
	if err := checkKeyName(tx, in.KeyName); err != nil {
		return nil, err
	}
	if in.KeyType != "" && in.KeyType != "rsa" && in.KeyType != "ed25519" {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter keyType is invalid.", in.KeyType)
	}
	if in.KeyFormat != "" && in.KeyFormat != "pem" {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter keyFormat is invalid: the lab makes pem only.", in.KeyFormat)
	}
	if err := checkTags(in.TagSpecifications, "key-pair"); err != nil {
		return nil, err
	}
	if in.err != nil {
		return nil, in.err
	}
	kind := in.KeyType
	if kind == "" {
		kind = "rsa"
	}
	k := &state.KeyPair{
		ID: tx.ID("key"), Name: in.KeyName, Type: kind, Fingerprint: in.fingerprint, PublicKey: in.public + " " + in.KeyName, Created: tx.Now,
		Tags: tagsFor("key-pair", in.TagSpecifications),
	}
	tx.Region.KeyPairs[k.Name] = k
	return &CreateKeyPairOutput{KeyName: k.Name, KeyFingerprint: k.Fingerprint, KeyMaterial: in.private, KeyPairId: k.ID, Tags: tagList(k.Tags)}, nil
}

// ImportKeyPair keeps a public key.
func ImportKeyPair(tx *core.Tx, in *ImportKeyPairInput) (*ImportKeyPairOutput, error) {
	if err := checkKeyName(tx, in.KeyName); err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSpecifications, "key-pair"); err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(in.PublicKeyMaterial)
	if err != nil {
		return nil, wire.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k := &state.KeyPair{
		ID: tx.ID("key"), Name: in.KeyName, Created: tx.Now, Tags: tagsFor("key-pair", in.TagSpecifications),
		PublicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + in.KeyName,
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		k.Type = "ed25519"
		sum := sha256.Sum256(key.Marshal())
		k.Fingerprint = base64.StdEncoding.EncodeToString(sum[:])
	case ssh.KeyAlgoRSA:
		k.Type = "rsa"
		der, err := x509.MarshalPKIXPublicKey(key.(ssh.CryptoPublicKey).CryptoPublicKey())
		if err != nil {
			return nil, wire.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
		}
		sum := md5.Sum(der) // as EC2 does
		k.Fingerprint = colons(sum[:])
	default:
		return nil, wire.Errorf("InvalidKey.Format", "Key type %s is not supported", key.Type())
	}
	tx.Region.KeyPairs[k.Name] = k
	return &ImportKeyPairOutput{KeyName: k.Name, KeyFingerprint: k.Fingerprint, KeyPairId: k.ID, Tags: tagList(k.Tags)}, nil
}

// DeleteKeyPair forgets a key. One that is not there is no error, as in EC2.
func DeleteKeyPair(tx *core.Tx, in *DeleteKeyPairInput) (*DeleteKeyPairOutput, error) {
	if in.KeyName == "" && in.KeyPairId == "" {
		return nil, missing("KeyName or KeyPairId")
	}
	out := &DeleteKeyPairOutput{Return: true}
	for name, k := range tx.Region.KeyPairs {
		if name == in.KeyName || k.ID == in.KeyPairId {
			out.KeyPairId = k.ID
			delete(tx.Region.KeyPairs, name)
		}
	}
	return out, nil
}

// DescribeKeyPairs lists keys.
func DescribeKeyPairs(tx *core.Tx, in *DescribeKeyPairsInput) (*DescribeKeyPairsOutput, error) {
	names := slices.Clone(in.KeyNames)
	for _, id := range in.KeyPairIds {
		found := false
		for name, k := range tx.Region.KeyPairs {
			if k.ID == id {
				names, found = append(names, name), true
			}
		}
		if !found {
			return nil, wire.Errorf("InvalidKeyPair.NotFound", "The key pair ID '%s' does not exist", id)
		}
	}
	list, err := pick(tx.Region.KeyPairs, names, func(n string) error {
		return wire.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", n)
	})
	if err != nil {
		return nil, err
	}
	list, err = filter(list, in.Filters, func(k *state.KeyPair) state.Tags { return k.Tags }, func(k *state.KeyPair) attrs {
		return attrs{"key-name": one(k.Name), "key-pair-id": one(k.ID), "fingerprint": one(k.Fingerprint)}
	})
	if err != nil {
		return nil, err
	}
	out := &DescribeKeyPairsOutput{}
	for _, k := range list {
		i := KeyPairInfo{KeyName: k.Name, KeyPairId: k.ID, KeyType: k.Type, KeyFingerprint: k.Fingerprint, CreateTime: k.Created, Tags: tagList(k.Tags)}
		if yes(in.IncludePublicKey) {
			i.PublicKey = k.PublicKey
		}
		out.KeyPairs = append(out.KeyPairs, i)
	}
	return out, nil
}
