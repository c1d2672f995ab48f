package lab

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/s3"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// Handler answers the AWS APIs and, under /_lab/, the lab's own.
func (l *Lab) Handler() http.Handler {
	mux := http.NewServeMux()
	l.control(mux)
	mux.HandleFunc("/", l.aws)
	return mux
}

// scope is what a signature says about a request.
type scope struct{ region, service string }

var credential = regexp.MustCompile(`Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request`)

func scopeOf(r *http.Request) (scope, bool) {
	text := r.Header.Get("Authorization")
	if q := r.URL.Query().Get("X-Amz-Credential"); text == "" && q != "" {
		text = "Credential=" + q
	}
	m := credential.FindStringSubmatch(text)
	if m == nil {
		return scope{}, false
	}
	return scope{region: m[1], service: m[2]}, true
}

// linkOf is the scope of a link in a message of SNS, which nobody signs: its
// token or ARN is the proof.
func linkOf(r *http.Request) (scope, bool) {
	q := r.URL.Query()
	arn := map[string]string{"ConfirmSubscription": q.Get("TopicArn"), "Unsubscribe": q.Get("SubscriptionArn")}[q.Get("Action")]
	parts := strings.Split(arn, ":")
	if r.Method != http.MethodGet || len(parts) < 6 || parts[2] != "sns" {
		return scope{}, false
	}
	return scope{region: parts[3], service: "sns"}, true
}

// call is one request on its way.
type call struct {
	scope
	protocol wire.Protocol
	action   string
	path     map[string]string // REST
	form     url.Values        // Query and EC2
	body     []byte
	id       string
	query    bool // the client wants codes of the query protocol
	request  *http.Request
}

func (l *Lab) aws(w http.ResponseWriter, r *http.Request) {
	c := &call{id: core.UUID(), request: r, protocol: guess(r), query: r.Header.Get("X-Amzn-Query-Mode") == "true"}
	send := func(a *wire.Answer) {
		for k, v := range a.Header {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body) // a client that went away does not want it any more
	}
	var s *service
	refuse := func(e *wire.Error) {
		namespace, model := "", c.service
		if s != nil {
			namespace, model = s.namespace, s.model
		}
		send(wire.EncodeError(c.protocol, namespace, model, c.id, e, c.query))
	}
	var ok bool
	link := false
	if c.scope, ok = scopeOf(r); !ok {
		c.scope, link = linkOf(r)
		ok = link
	}
	if !ok {
		refuse(unsigned(c.protocol, &sigv4.Problem{Kind: sigv4.Missing, Text: "Request is missing Authentication Token: the lab tells services apart by the signature's credential scope"}))
		return
	}
	limit := int64(wire.MaxBody)
	if c.service == "s3" {
		limit = s3.MaxContent
	}
	sent, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		c.body = sent
		if c.service != "s3" { // which keeps what it is given
			c.body, err = plain(r, sent)
		}
	}
	if err != nil {
		refuse(wire.Errorf("RequestEntityTooLarge", "the request's body cannot be read: %v", err))
		return
	}
	s = l.services[c.service]
	if s != nil {
		c.protocol = s.speaks(c.protocol)
	}
	if len(l.opts.Credentials) > 0 && !link {
		// By the machine's clock, which the signer's is too, whatever the lab's is.
		if p := sigv4.Verify(r, sent, l.opts.Credentials, clock.System{}.Now()); p != nil {
			refuse(unsigned(c.protocol, p))
			return
		}
	}
	if c.service == "s3" && ec2.KnownRegion(c.region) {
		l.objects(w, r, c)
		return
	}
	if e := c.name(s); e != nil {
		refuse(e)
		return
	}
	l.count(c)
	if s == nil {
		refuse(&wire.Error{Code: "InvalidAction", Message: fmt.Sprintf("The lab has no service %s (asked for %s.%s)", c.service, c.service, c.action)})
		return
	}
	action, ok := s.actions[c.action]
	if !ok {
		refuse(&wire.Error{Code: unknownAction(c.protocol), Message: fmt.Sprintf("The lab does not have the action %s.%s", c.service, c.action)})
		return
	}
	if !ec2.KnownRegion(c.region) {
		refuse(&wire.Error{Code: "InvalidRegion", Message: fmt.Sprintf("The lab has no region %s", c.region)})
		return
	}
	l.perform(w, r, c, s, action, send, refuse)
}

func unknownAction(p wire.Protocol) string {
	if p == wire.JSON || p == wire.CBOR {
		return "UnknownOperationException"
	}
	return "InvalidAction"
}

// guess tells the protocol by the request's form alone; Query stands for Query and EC2.
func guess(r *http.Request) wire.Protocol {
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		return wire.CBOR
	case r.Header.Get("X-Amz-Target") != "":
		return wire.JSON
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.URL.Query().Has("Action"):
		return wire.Query
	}
	return wire.RESTXML
}

// speaks is the protocol of a request to this service.
func (s *service) speaks(seen wire.Protocol) wire.Protocol {
	if seen == wire.Query && s.protocol == wire.EC2 {
		return wire.EC2
	}
	if seen == wire.RESTXML && s.protocol != wire.RESTXML {
		return s.protocol // not understood at all: answer in the service's own form
	}
	return seen
}

// name finds out which action is meant.
func (c *call) name(s *service) *wire.Error {
	r := c.request
	switch guess(r) {
	case wire.CBOR:
		// /service/GraniteServiceVersion20100801/operation/DescribeAlarms
		parts := split(r.URL.Path)
		if len(parts) != 4 || parts[0] != "service" || parts[2] != "operation" {
			return wire.Errorf("UnknownOperationException", "the path %s is none of rpcv2Cbor", r.URL.Path)
		}
		c.action = parts[3]
	case wire.JSON:
		target := r.Header.Get("X-Amz-Target")
		c.action = target[strings.LastIndex(target, ".")+1:]
	case wire.Query:
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return wire.Errorf("MalformedQueryString", "the body is no form: %v", err)
		}
		for k, v := range r.URL.Query() {
			if _, ok := form[k]; !ok && !strings.HasPrefix(k, "X-Amz-") {
				form[k] = v
			}
		}
		c.form, c.action = form, form.Get("Action")
		if c.action == "" {
			return wire.Errorf("MissingAction", "The request must contain the parameter Action.")
		}
	default:
		c.action = r.Method + " " + r.URL.Path
		if s == nil {
			return nil
		}
		if action, params, ok := s.find(r.Method, r.URL.EscapedPath()); ok {
			c.action, c.path = action.Name, params
		}
	}
	return nil
}

// plain is a body without its content encoding.
func plain(r *http.Request, sent []byte) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return sent, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, wire.MaxBody))
}

func (l *Lab) count(c *call) {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.calls.n[c.service+"."+c.action]++
}

// decode fills the input struct of an action. dry is EC2's DryRun.
func (c *call) decode(action core.Action, in any) (dry bool, err error) {
	if dry, err = c.read(in); err != nil {
		return dry, err
	}
	for _, member := range action.Lacking {
		if !reflect.ValueOf(in).Elem().FieldByName(member).IsZero() {
			return dry, &wire.UnknownMember{Path: member}
		}
	}
	return dry, nil
}

func (c *call) read(in any) (dry bool, err error) {
	switch c.protocol {
	case wire.JSON:
		return false, wire.DecodeJSON(c.body, in)
	case wire.CBOR:
		return false, wire.DecodeCBOR(c.body, in)
	case wire.RESTXML:
		return false, wire.DecodeREST(c.path, c.request.URL.Query(), c.request.Header, c.body, in)
	}
	tree, err := wire.Form(c.form)
	if err != nil {
		return false, err
	}
	if c.protocol == wire.EC2 {
		dry = tree["DryRun"] == "true"
		delete(tree, "DryRun")
	}
	return dry, wire.DecodeTree(tree, in)
}

// perform carries the action out, with the faults that apply to it.
func (l *Lab) perform(w http.ResponseWriter, r *http.Request, c *call, s *service, action core.Action, send func(*wire.Answer), refuse func(*wire.Error)) {
	in := action.New()
	dry, err := c.decode(action, in)
	if err != nil {
		refuse(wire.Refusal(c.protocol, c.service, c.action, err))
		return
	}
	f, err := l.faultsFor(c, in)
	if err != nil {
		refuse(&wire.Error{Code: "InternalFailure", Status: 500, Message: err.Error()})
		return
	}
	if f.delay > 0 && l.opts.Clock.Sleep(r.Context(), f.delay) != nil {
		return
	}
	if f.err != nil {
		refuse(f.err)
		return
	}
	if f.cut && f.before {
		cut(w)
		return
	}
	if dry {
		refuse(&wire.Error{Code: "DryRunOperation", Status: http.StatusPreconditionFailed, Message: "Request would have succeeded, but DryRun flag is set."})
		return
	}
	if action.Fetch != nil {
		action.Fetch(r.Context(), l.opts.Runtime, in)
	}
	answer, err := l.run(c, s, action, in, f)
	if f.cut {
		cut(w)
		return
	}
	if err != nil {
		var e *wire.Error
		var page *core.PageError
		if errors.As(err, &page) {
			e = s.badPage(page)
		} else if !errors.As(err, &e) {
			l.opts.Log.Error("a call failed", "action", c.service+"."+c.action, "error", err)
			e = &wire.Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: err.Error()}
		}
		refuse(e)
		return
	}
	send(answer)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// run calls the action under the lock and encodes its answer there, for an
// answer may point into the world.
func (l *Lab) run(c *call, s *service, action core.Action, in any, f faults) (answer *wire.Answer, err error) {
	body := func(tx *core.Tx) (err error) {
		defer func() {
			if p := recover(); p != nil {
				l.opts.Log.Error("an action panicked", "action", c.service+"."+c.action, "panic", p, "stack", string(debug.Stack()))
				err = fmt.Errorf("%s.%s panicked: %v", c.service, c.action, p)
			}
		}()
		tx.RequestID = c.id
		tx.SmallPages(f.pages)
		out, err := action.Call(tx, in)
		if err != nil {
			return err
		}
		if f.status != nil {
			out = odd(out, f.status)
		}
		if f.twice {
			out = twice(out)
		}
		answer, err = wire.Encode(c.protocol, s.namespace, c.action, c.id, out)
		return err
	}
	if err := l.ready(c.region); err != nil {
		return nil, err
	}
	if !action.ReadOnly {
		err := l.core.Do(c.region, func(tx *core.Tx) error {
			l.remember(tx)
			return body(tx)
		})
		if err != nil {
			return nil, err
		}
		return answer, nil
	}
	l.core.View(c.region, func(tx *core.Tx) {
		if f.stale {
			if old := l.remembered(tx, c.region); old != nil {
				tx = old
			}
		}
		err = body(tx)
	})
	return answer, err
}

// ready seeds a region at its first use.
func (l *Lab) ready(region string) error {
	seeded := false
	l.core.View(region, func(tx *core.Tx) { seeded = tx.Region.Seeded })
	if seeded {
		return nil
	}
	return l.core.Do(region, func(tx *core.Tx) error { ec2.Seed(tx, l.opts.Base); return nil })
}
