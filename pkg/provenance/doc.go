// Package provenance says what an image is and how it came to be, and has that
// signed: an in-toto statement with a SLSA provenance predicate in a DSSE
// envelope.
//
//	Story     what is said, in the chain's own words
//	Seal      story -> signed envelope
//	Open      envelope -> story, if a trusted key signed exactly these bytes
//	Signer    an ed25519 key in a file; package kms has one of AWS KMS
//
// Open fails closed: an envelope has one way to be written, so a byte that
// differs anywhere, be it one that no signature covers, is refused.
package provenance
