package facts_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

const region = "eu-west-1"

// world is where one fact is checked: a lab whose time the check moves, with
// AWS's own waits, or AWS.
type world struct {
	*testing.T
	ctx   context.Context
	lab   *lab.Lab      // nil on AWS
	clock *clock.Manual // nil on AWS

	cfn *cloudformation.Client
	asg *autoscaling.Client
	elb *elb.Client
	r53 *route53.Client
	cw  *cloudwatch.Client
	sns *sns.Client
	ssm *ssm.Client
	rds *rds.Client

	image, other string // AMIs whose machines serve a page on port 80
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context()}
	var c aws.Config
	if live() {
		var err error
		c, err = config.LoadDefaultConfig(w.ctx, config.WithRegion(region))
		require.NoError(t, err)
		w.image, w.other = os.Getenv("LIVE_AWS_IMAGE"), os.Getenv("LIVE_AWS_OTHER_IMAGE")
	} else {
		w.clock = clock.NewManual(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
		w.lab = lab.Start(t, func(o *lab.Options) { o.Clock, o.Manual, o.Factor = w.clock, true, 1 })
		for ref, id := range map[string]*string{"one": &w.image, "two": &w.other} {
			require.NoError(t, w.lab.Memory().AddImage(ref, memory.Site("Hello World", ref)))
			var err error
			*id, err = w.lab.AddImage(region, ref, ref, nil)
			require.NoError(t, err)
		}
		wires := &http.Transport{}
		t.Cleanup(wires.CloseIdleConnections)
		c = aws.Config{
			Region: region, BaseEndpoint: aws.String(w.lab.Endpoint()), RetryMaxAttempts: 1, HTTPClient: patient{&http.Client{Transport: wires}},
			Credentials: credentials.NewStaticCredentialsProvider("AKIDFACTS", "secret", ""),
		}
	}
	w.cfn, w.asg, w.elb = cloudformation.NewFromConfig(c), autoscaling.NewFromConfig(c), elb.NewFromConfig(c)
	w.r53, w.cw = route53.NewFromConfig(c), cloudwatch.NewFromConfig(c)
	w.sns, w.ssm, w.rds = sns.NewFromConfig(c), ssm.NewFromConfig(c), rds.NewFromConfig(c)
	return w
}

// afterwards does something on AWS when the check is over; a lab is thrown away.
func (w *world) afterwards(do func(ctx context.Context)) {
	if w.lab == nil {
		w.Cleanup(func() { do(context.WithoutCancel(w.ctx)) })
	}
}

// images skips a check on AWS to which nobody gave images.
func (w *world) images() {
	w.Helper()
	if w.image == "" || w.other == "" {
		w.Skip("it needs LIVE_AWS_IMAGE and LIVE_AWS_OTHER_IMAGE: AMIs that serve a page on port 80")
	}
}

// name is a name that nothing else of the account has.
func (w *world) name(stem string) string {
	if w.lab != nil {
		return stem
	}
	return fmt.Sprintf("fact-%s-%s-%d", strings.ToLower(strings.ReplaceAll(w.Name()[strings.LastIndex(w.Name(), "/")+1:], "_", "-")), stem, time.Now().UnixNano()%1e9)
}

// settle lets everything happen that can happen at this moment, and tells when
// the lab wants to go on.
func (w *world) settle() time.Time {
	if w.lab == nil {
		return time.Time{}
	}
	return w.lab.Core().Settle()
}

// step lets time pass until something may have happened: at most a while.
func (w *world) step(while time.Duration) {
	if w.lab == nil {
		time.Sleep(min(while, 5*time.Second))
		return
	}
	// What happens within a few seconds of the lab's time is one step: each costs the check a question.
	const together = 10 * time.Second
	for begun := w.now(); ; {
		next, now := w.settle(), w.now()
		if next.IsZero() || next.Sub(begun) > while {
			w.clock.Advance(max(while-now.Sub(begun), time.Second))
			break
		}
		w.clock.Advance(max(next.Sub(now), time.Second))
		if w.now().Sub(begun) >= together {
			break
		}
	}
	w.settle()
}

func (w *world) now() time.Time {
	if w.lab == nil {
		return time.Now()
	}
	return w.clock.Now()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	for end := w.now().Add(d); w.now().Before(end); {
		w.step(end.Sub(w.now()))
	}
}

// jump lets time pass without a look at what happens in between.
func (w *world) jump(d time.Duration) {
	if w.lab == nil {
		w.pass(d)
		return
	}
	w.clock.Advance(d)
	w.settle()
}

// until lets time pass until cond holds, for at most limit of AWS's time.
func (w *world) until(limit time.Duration, what string, cond func() bool) {
	w.Helper()
	w.settle()
	for end := w.now().Add(limit); !cond(); {
		if w.now().After(end) {
			w.Fatalf("not within %s: %s", limit, what)
		}
		w.step(30 * time.Second)
	}
}

// dial connects as somebody on the internet does.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if w.lab == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return w.lab.Dial(ctx, network, address)
}

// refused wants an error with just that code and text. "*" in it stands for anything.
func (w *world) refused(err error, code, text string) {
	w.Helper()
	var e smithy.APIError
	require.ErrorAs(w, err, &e)
	assert.Equal(w, code, e.ErrorCode())
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, `(?s:.*)`) + "$"
	assert.Regexp(w, pattern, e.ErrorMessage())
}

// patient is an HTTP client that never closes a request's body: the SDK does
// as soon as the answer begins, which breaks the connection when net/http
// still looks whether the body is over. A busy machine is that slow.
type patient struct{ *http.Client }

type open struct{ io.Reader }

func (open) Close() error { return nil }

func (p patient) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = open{r.Body}
	}
	return p.Client.Do(r)
}
