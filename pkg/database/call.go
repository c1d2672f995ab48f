package database

import (
	"bytes"
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
)

// A call is one action of a service that the SDK has a package for which we do
// not compile. Signing, retries and errors are the SDK's.
type call struct {
	service string // of the credential scope and of the host's name
	header  http.Header
	body    []byte
	decode  func(status int, body []byte) error
}

// rds is a call of RDS's protocol, "query". out is filled from the answer's XML.
func rds(action string, in url.Values, out any) call {
	in.Set("Action", action)
	in.Set("Version", "2014-10-31")
	return call{"rds", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(in.Encode()), func(status int, body []byte) error {
		if status < 300 {
			return xml.Unmarshal(body, out)
		}
		var e struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		if err := xml.Unmarshal(body, &e); err != nil {
			e.Code, e.Message = "UnknownError", http.StatusText(status)
		}
		return fault(status, e.Code, e.Message)
	}}
}

// parameters is a call of the parameter store's protocol, JSON 1.1.
func parameters(action string, in, out any) (call, error) {
	b, err := json.Marshal(in)
	return call{"ssm", http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"AmazonSSM." + action}}, b, func(status int, body []byte) error {
		if status < 300 {
			return json.Unmarshal(body, out)
		}
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			e.Type, e.Message = "UnknownError", http.StatusText(status)
		}
		return fault(status, e.Type[strings.LastIndex(e.Type, "#")+1:], e.Message)
	}}, err
}

func fault(status int, code, message string) error {
	f := smithy.FaultClient
	if status >= 500 {
		f = smithy.FaultServer
	}
	return &smithy.GenericAPIError{Code: code, Message: message, Fault: f}
}

// endpoint is where a service is called.
func (c *Client) endpoint(service string) string {
	if c.cfg.BaseEndpoint != nil {
		return *c.cfg.BaseEndpoint
	}
	host := service + "." + c.cfg.Region + ".amazonaws.com"
	if strings.HasPrefix(c.cfg.Region, "cn-") {
		host += ".cn"
	}
	return "https://" + host
}

func (c *Client) do(ctx context.Context, op call) error {
	stack := middleware.NewStack(op.service, smithyhttp.NewStackRequest)
	endpoint, err := url.Parse(c.endpoint(op.service))
	if err != nil {
		return fmt.Errorf("endpoint of %s: %w", op.service, err)
	}
	serialize := func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
		r, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("%T is no request", in.Request)
		}
		r.Method, r.URL, r.Header, r.ContentLength = http.MethodPost, endpoint.JoinPath("/"), op.header.Clone(), int64(len(op.body))
		var err error
		if in.Request, err = r.SetStream(bytes.NewReader(op.body)); err != nil {
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
			err = op.decode(r.StatusCode, body)
		}
		if err != nil {
			err = &smithyhttp.ResponseError{Response: r, Err: err}
		}
		return out, metadata, err
	}
	sum := sha256.Sum256(op.body)
	sign := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		r, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("%T is no request", in.Request)
		}
		who, err := c.cfg.Credentials.Retrieve(ctx)
		if err == nil {
			err = v4.NewSigner().SignHTTP(ctx, who, r.Request, hex.EncodeToString(sum[:]), op.service, c.cfg.Region, c.clock.Now())
		}
		if err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("get credentials and sign: %w", err)
		}
		return next.HandleFinalize(ctx, in)
	}
	retryer := aws.Retryer(retry.NewStandard())
	if c.cfg.Retryer != nil {
		retryer = c.cfg.Retryer()
	}
	err = errors.Join(
		stack.Serialize.Add(middleware.SerializeMiddlewareFunc("Serialize", serialize), middleware.After),
		stack.Finalize.Add(retry.NewAttemptMiddleware(retryer, smithyhttp.RequestCloner), middleware.After),
		stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Sign", sign), middleware.After),
		stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Deserialize", deserialize), middleware.After),
	)
	for _, option := range c.cfg.APIOptions {
		err = errors.Join(err, option(stack))
	}
	if err != nil {
		return fmt.Errorf("prepare a call of %s: %w", op.service, err)
	}
	client := smithyhttp.ClientDo(http.DefaultClient)
	if c.cfg.HTTPClient != nil {
		client = c.cfg.HTTPClient
	}
	_, _, err = middleware.DecorateHandler(smithyhttp.NewClientHandlerWithOptions(client), stack).Handle(ctx, nil)
	return err
}

// code is the AWS error code of err, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
