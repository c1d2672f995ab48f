package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/net/proxy"
)

// Target is where a run acts: the one seam between the chain and its
// surroundings. It is the only thing that differs between a run against AWS
// and one against a stand-in, and nobody but this package looks at Name.
type Target struct {
	Name    string // "aws" or "lab", for people
	Account string // every call is made to this account, see Guard
	Region  string

	Endpoint    string                  // of all AWS APIs; "" is AWS's own
	Credentials aws.CredentialsProvider // nil: the SDK's default chain
	SOCKS       string                  // "host:port" that pages are fetched through; "" is directly
	From        []string                // networks (CIDR) that our connections come from; nil: our public address is asked for

	Remote string // of the trail: a Git remote's name, URL or path
	Branch string // of the trail
	GitDir string // checkout whose remote it is and where the trail is written; made by pkg/trail if it is not there
	Source string // the user's clone, which is read: HEAD, chain.yaml, the recipes
	State  string // directory for logs and caches, ".chain"

	// Hear is the address on which the topics of this target reach a listener of
	// ours, "127.0.0.1:0"; "": they do not.
	Hear string

	Console bool // whether AWS's console shows what is there

	Poll      Poll
	ProbeRate int     // how often a second the page is asked for while it changes; 0 is 50
	Factor    float64 // own waits are divided by it; 1 against AWS
	Ask       bool    // a person approves before production changes
	Caller    string  // ARN of who we are to AWS, once Guard has asked
	// Signing is how images are vouched for.
	Signing Signing
	// PinFirst pins the base image that is found first; otherwise somebody has to
	// choose it by base:update.
	PinFirst bool
}

// For is the target for an environment in one of its regions; with "", its first.
func (c *Config) For(e *Environment, region string) (*Target, error) {
	if region == "" {
		region = e.Regions[0]
	}
	known := false
	for _, r := range e.Regions {
		known = known || r == region
	}
	if !known {
		return nil, fmt.Errorf("%s is not in region %s, but in %s", e.Stack(), region, strings.Join(e.Regions, ", "))
	}
	t := &Target{
		Name: c.Target, Region: region, Source: c.Dir, State: filepath.Join(c.Dir, ".chain"), Branch: c.Trail.Branch,
	}
	if c.Target == "lab" {
		return t, c.lab(t)
	}
	t.Account, t.Remote, t.GitDir, t.Signing = e.Account, c.Trail.Remote, c.Dir, c.Signing
	t.Poll = Poll{2 * time.Second, 5 * time.Second}
	t.Factor, t.Ask, t.Console = 1, true, true
	for name, value := range c.endpoints() {
		if err := amazon(value); err != nil {
			return nil, fmt.Errorf("%s: %w: target aws talks to AWS alone", name, err)
		}
	}
	return t, nil
}

// endpoints are the variables that lead the SDK elsewhere.
func (c *Config) endpoints() map[string]string {
	out := map[string]string{}
	for k, v := range c.environ {
		if strings.HasPrefix(k, "AWS_ENDPOINT_URL") && v != "" {
			out[k] = v
		}
	}
	return out
}

// ErrElsewhere is wrapped when a call would leave for another place than the target's.
var ErrElsewhere = errors.New("not an endpoint of this target")

// amazon refuses a URL that is not AWS's.
func amazon(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%w: %q", ErrElsewhere, raw)
	}
	host := u.Hostname()
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu"} {
		if strings.HasSuffix(host, suffix) && u.Scheme == "https" {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", ErrElsewhere, raw)
}

// attempts of a call before it is given up. Long waits are made of short calls,
// and a burst of throttling must not end them.
const attempts = 10

// AWS is the SDK's configuration for this target. A call that would go anywhere
// else fails with ErrElsewhere before it is sent.
func (t *Target) AWS(ctx context.Context) (aws.Config, error) {
	retryer := func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = attempts
			o.MaxBackoff = t.Scale(20 * time.Second)
			o.RateLimiter = ratelimit.None
		})
	}
	if t.Endpoint != "" {
		// Made by hand: no variable and no file of the user can lead it elsewhere.
		u, err := url.Parse(t.Endpoint)
		if err != nil {
			return aws.Config{}, fmt.Errorf("endpoint of target %s: %w", t.Name, err)
		}
		return aws.Config{
			Region: t.Region, BaseEndpoint: aws.String(t.Endpoint), Credentials: t.Credentials, Retryer: retryer,
			HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}},
			APIOptions: []func(*middleware.Stack) error{stay(func(host string) bool { return host == u.Host }), plainBody},
		}, nil
	}
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(t.Region), awsconfig.WithRetryer(retryer)}
	if t.Credentials != nil {
		options = append(options, awsconfig.WithCredentialsProvider(t.Credentials))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	cfg.APIOptions = append(cfg.APIOptions, stay(func(host string) bool { return amazon("https://"+host) == nil }), plainBody)
	return cfg, nil
}

// stay refuses requests to other hosts, whatever led them there.
func stay(allowed func(host string) bool) func(*middleware.Stack) error {
	check := middleware.FinalizeMiddlewareFunc("StayOnTarget", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok && !allowed(r.URL.Host) {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("%w: %s", ErrElsewhere, r.URL.Host)
		}
		return next.HandleFinalize(ctx, in)
	})
	return func(s *middleware.Stack) error { return s.Finalize.Add(check, middleware.After) }
}

// plainBody keeps an answer from being cut off by its own request.
//
// As soon as an answer's head is there the SDK closes the request's body, and
// with smithy-go v1.28.8 what is closed answers WriteTo with io.EOF, which is no
// end there but an error. net/http's write loop, when it looks only then whether
// the body is longer than it said, closes the connection under the answer: "use
// of closed network connection". A body without WriteTo is read, and its end is an end.
func plainBody(s *middleware.Stack) error {
	return s.Finalize.Add(middleware.FinalizeMiddlewareFunc("PlainBody", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			if body, ok := r.GetStream().(io.ReadSeeker); ok {
				plain, err := r.SetStream(struct{ io.ReadSeeker }{body})
				if err != nil {
					return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("prepare the request's body: %w", err)
				}
				in.Request = plain
			}
		}
		return next.HandleFinalize(ctx, in)
	}), middleware.After)
}

// MismatchError is an account that is not the one meant.
type MismatchError struct{ Want, Got, Who string }

// Error names both accounts.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("account is %s (%s), not %s as %s says", e.Got, e.Who, e.Want, File)
}

// Guard asks STS who we are, keeps the answer as Caller, and refuses another
// account than the target's. It MUST be called before the first write.
func (t *Target) Guard(ctx context.Context) error {
	cfg, err := t.AWS(ctx)
	if err != nil {
		return err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fmt.Errorf("ask AWS who we are: %w", err)
	}
	if got := aws.ToString(who.Account); got != t.Account {
		return &MismatchError{Want: t.Account, Got: got, Who: aws.ToString(who.Arn)}
	}
	t.Caller = aws.ToString(who.Arn)
	return nil
}

// Dial connects to an address as a client on the internet would: names are
// resolved where the target's names are known.
func (t *Target) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	direct := &net.Dialer{}
	if t.SOCKS == "" {
		return direct.DialContext(ctx, network, addr)
	}
	d, err := proxy.SOCKS5("tcp", t.SOCKS, nil, direct)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", t.SOCKS, err)
	}
	return d.(proxy.ContextDialer).DialContext(ctx, network, addr)
}

// Scale turns a wait of the chain's own into the target's.
func (t *Target) Scale(d time.Duration) time.Duration {
	if t.Factor <= 0 {
		return d
	}
	return time.Duration(float64(d) / t.Factor)
}

// Environ is what a child needs in its environment to act on this target:
// region, endpoint and credentials.
func (t *Target) Environ(ctx context.Context) ([]string, error) {
	cfg, err := t.AWS(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Credentials == nil {
		return nil, errors.New("no credentials")
	}
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("get credentials: %w", err)
	}
	env := []string{
		"AWS_REGION=" + t.Region, "AWS_DEFAULT_REGION=" + t.Region,
		"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
	}
	if c.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+c.SessionToken)
	}
	if t.Endpoint != "" {
		env = append(env, "AWS_ENDPOINT_URL="+t.Endpoint)
	}
	return env, nil
}
