// Package kms signs with a key of AWS KMS, which never leaves it: an asymmetric
// key of spec ECC_NIST_P256 for SIGN_VERIFY.
package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/build-deploy-chain/chain/pkg/provenance"
)

// Key is one of KMS.
type Key struct {
	api *kms.Client
	arn string
	id  string
}

// Open asks KMS for the key's public half.
func Open(ctx context.Context, cfg aws.Config, arn string) (*Key, error) {
	api := kms.NewFromConfig(cfg)
	out, err := api.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: aws.String(arn)})
	if err != nil {
		return nil, fmt.Errorf("read the signing key %s: %w", arn, err)
	}
	public, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("read the signing key %s: %w", arn, err)
	}
	if _, ok := public.(*ecdsa.PublicKey); !ok || out.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, fmt.Errorf("read the signing key %s: it is %s for %s, not ECC_NIST_P256 for SIGN_VERIFY", arn, out.KeySpec, out.KeyUsage)
	}
	id, err := provenance.KeyID(public)
	return &Key{api, arn, id}, err
}

// KeyID names it.
func (k *Key) KeyID() string { return k.id }

// Sign has KMS sign the SHA-256 of data.
func (k *Key) Sign(ctx context.Context, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	out, err := k.api.Sign(ctx, &kms.SignInput{
		KeyId: aws.String(k.arn), Message: sum[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.arn, err)
	}
	return out.Signature, nil
}
