package provenance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// payloadType of an in-toto statement in a DSSE envelope.
const payloadType = "application/vnd.in-toto+json"

// envelope of DSSE, the Dead Simple Signing Envelope, version 1.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"` // base64 in JSON
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// pae is what is signed: DSSE's pre-authentication encoding.
func pae(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

// ErrRefused is wrapped by every error of Open: the envelope vouches for nothing.
var ErrRefused = errors.New("not to be trusted")

// Seal signs a story.
func Seal(ctx context.Context, signer Signer, s Story) ([]byte, error) {
	payload, err := statement(s)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(ctx, pae(payloadType, payload))
	if err != nil {
		return nil, fmt.Errorf("sign the statement about %s: %w", s.Image, err)
	}
	return write(envelope{payloadType, payload, []signature{{signer.KeyID(), sig}}})
}

// write is the one way to write an envelope.
func write(e envelope) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write the envelope: %w", err)
	}
	return append(b, '\n'), nil
}

// Open is the story of an envelope that one of the trusted keys has signed. Any
// doubt is an error that wraps ErrRefused.
func Open(trusted Trusted, b []byte) (Story, error) {
	s, err := open(trusted, b)
	if err != nil {
		return Story{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return s, nil
}

func open(trusted Trusted, b []byte) (Story, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Story{}, fmt.Errorf("the envelope is not JSON: %w", err)
	}
	// Also what no signature covers: names, spaces, the spelling of base64.
	if again, err := write(e); err != nil || !bytes.Equal(again, b) {
		return Story{}, errors.New("the envelope is not written as it was sealed")
	}
	if e.PayloadType != payloadType {
		return Story{}, fmt.Errorf("the envelope holds %q, not %s", e.PayloadType, payloadType)
	}
	if len(e.Signatures) != 1 {
		return Story{}, fmt.Errorf("the envelope has %d signatures, not one", len(e.Signatures))
	}
	sig := e.Signatures[0]
	if err := trusted.verify(sig.KeyID, pae(e.PayloadType, e.Payload), sig.Sig); err != nil {
		return Story{}, err
	}
	return story(e.Payload)
}
