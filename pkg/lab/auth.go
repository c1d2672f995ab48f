package lab

import (
	"net/http"

	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// unsigned is how the services word that a signature does not hold: those of XML
// protocols but EC2, those of JSON ones, and EC2, which does not say what is wrong.
func unsigned(p wire.Protocol, problem *sigv4.Problem) *wire.Error {
	words := map[sigv4.Kind]struct{ query, json string }{
		sigv4.Missing:    {"MissingAuthenticationToken", "MissingAuthenticationTokenException"},
		sigv4.Incomplete: {"IncompleteSignature", "IncompleteSignatureException"},
		sigv4.UnknownKey: {"InvalidClientTokenId", "UnrecognizedClientException"},
		sigv4.ExpiredKey: {"ExpiredToken", "ExpiredTokenException"},
		sigv4.Expired:    {"SignatureDoesNotMatch", "InvalidSignatureException"},
		sigv4.Mismatch:   {"SignatureDoesNotMatch", "InvalidSignatureException"},
	}[problem.Kind]
	e := &wire.Error{Code: words.query, Message: problem.Text, Status: http.StatusForbidden}
	switch {
	case p == wire.JSON:
		e.Code, e.Status = words.json, http.StatusBadRequest
	case p == wire.CBOR:
		e.Shape, e.Status = words.json, http.StatusBadRequest
	case p != wire.EC2:
	case problem.Kind == sigv4.Expired, problem.Kind == sigv4.ExpiredKey:
		e.Code, e.Message, e.Status = "RequestExpired", "Request has expired.", http.StatusBadRequest
	case problem.Kind == sigv4.UnknownKey, problem.Kind == sigv4.Mismatch:
		e.Code, e.Message, e.Status = "AuthFailure", "AWS was not able to validate the provided access credentials", http.StatusUnauthorized
	}
	return e
}
