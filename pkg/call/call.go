// Package call makes calls of AWS services whose packages of the SDK take too
// long to compile for the few actions that are needed of them. Everything that is
// hard about it (signatures, retries, who may be called) is left to the SDK's core.
package call

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/build-deploy-chain/chain/pkg/clock"
)

// Op is one action of a service.
type Op struct {
	Service string // of the credential scope and of the host's name
	Method  string // "" is POST
	Path    string // as it is sent, "/" if it is ""
	Query   url.Values
	Header  http.Header
	Body    []byte
	// Decode reads the answer, and makes an error of one that is no success (Fault).
	Decode func(*http.Response, []byte) error
	// Plain says that the path is signed as it is sent, which is S3's way.
	Plain bool
}

// Query is a call of the protocol "query", which is RDS's. out is filled from the
// answer's XML.
func Query(service, version, action string, in url.Values, out any) Op {
	in.Set("Action", action)
	in.Set("Version", version)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return Op{Service: service, Header: header, Body: []byte(in.Encode()), Decode: func(r *http.Response, body []byte) error {
		if r.StatusCode < 300 {
			return xml.Unmarshal(body, out)
		}
		var e struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		if err := xml.Unmarshal(body, &e); err != nil {
			e.Code, e.Message = "UnknownError", http.StatusText(r.StatusCode)
		}
		return Fault(r.StatusCode, e.Code, e.Message)
	}}
}

// JSON is a call of the protocol JSON 1.1. target is "AmazonSSM.GetParameter".
func JSON(service, target string, in, out any) (Op, error) {
	b, err := json.Marshal(in)
	header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target}}
	return Op{Service: service, Header: header, Body: b, Decode: func(r *http.Response, body []byte) error {
		if r.StatusCode < 300 {
			return json.Unmarshal(body, out)
		}
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			e.Type, e.Message = "UnknownError", http.StatusText(r.StatusCode)
		}
		return Fault(r.StatusCode, e.Type[strings.LastIndex(e.Type, "#")+1:], e.Message)
	}}, err
}

// Fault is what an answer that is no success says.
func Fault(status int, code, message string) error {
	f := smithy.FaultClient
	if status >= 500 {
		f = smithy.FaultServer
	}
	return &smithy.GenericAPIError{Code: code, Message: message, Fault: f}
}

// Code is the AWS error code of err, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// endpoint is where a service is called.
func endpoint(cfg aws.Config, service string) string {
	if cfg.BaseEndpoint != nil {
		return *cfg.BaseEndpoint
	}
	host := service + "." + cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(cfg.Region, "cn-") {
		host += ".cn"
	}
	return "https://" + host
}

// Do carries an action out, tried again as the configuration says.
func Do(ctx context.Context, cfg aws.Config, c clock.Clock, op Op) error {
	stack := middleware.NewStack(op.Service, smithyhttp.NewStackRequest)
	base, err := url.Parse(endpoint(cfg, op.Service))
	if err != nil {
		return fmt.Errorf("endpoint of %s: %w", op.Service, err)
	}
	serialize := func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
		r, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("%T is no request", in.Request)
		}
		target := base.JoinPath("/")
		if op.Path != "" {
			target.Path, target.RawPath = "", ""
			if target, err = target.Parse(op.Path); err != nil {
				return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("path of %s: %w", op.Service, err)
			}
		}
		target.RawQuery = strings.ReplaceAll(op.Query.Encode(), "+", "%20")
		r.Method, r.URL, r.Header, r.ContentLength = cmp.Or(op.Method, http.MethodPost), target, op.Header.Clone(), int64(len(op.Body))
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if in.Request, err = r.SetStream(bytes.NewReader(op.Body)); err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, err
		}
		return next.HandleSerialize(ctx, in)
	}
	deserialize := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if err != nil {
			return out, metadata, err
		}
		r, ok := out.RawResponse.(*smithyhttp.Response)
		if !ok {
			return out, metadata, fmt.Errorf("%T is no answer", out.RawResponse)
		}
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err == nil {
			err = op.Decode(r.Response, body)
		}
		if err != nil {
			err = &smithyhttp.ResponseError{Response: r, Err: err}
		}
		return out, metadata, err
	}
	sum := sha256.Sum256(op.Body)
	sign := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		r, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("%T is no request", in.Request)
		}
		who, err := cfg.Credentials.Retrieve(ctx)
		if err == nil {
			err = v4.NewSigner().SignHTTP(ctx, who, r.Request, hex.EncodeToString(sum[:]), op.Service, cfg.Region, c.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = op.Plain })
		}
		if err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("get credentials and sign: %w", err)
		}
		return next.HandleFinalize(ctx, in)
	}
	retryer := aws.Retryer(retry.NewStandard())
	if cfg.Retryer != nil {
		retryer = cfg.Retryer()
	}
	err = errors.Join(
		stack.Serialize.Add(middleware.SerializeMiddlewareFunc("Serialize", serialize), middleware.After),
		stack.Finalize.Add(retry.NewAttemptMiddleware(retryer, smithyhttp.RequestCloner), middleware.After),
		stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Sign", sign), middleware.After),
		stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Deserialize", deserialize), middleware.After),
	)
	for _, option := range cfg.APIOptions {
		err = errors.Join(err, option(stack))
	}
	if err != nil {
		return fmt.Errorf("prepare a call of %s: %w", op.Service, err)
	}
	client := smithyhttp.ClientDo(http.DefaultClient)
	if cfg.HTTPClient != nil {
		client = cfg.HTTPClient
	}
	_, _, err = middleware.DecorateHandler(smithyhttp.NewClientHandlerWithOptions(client), stack).Handle(ctx, nil)
	return err
}
