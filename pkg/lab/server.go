package lab

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
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
	if c.scope, ok = scopeOf(r); !ok {
		refuse(&wire.Error{Code: "MissingAuthenticationToken", Status: http.StatusForbidden, Message: "Request is missing Authentication Token: the lab tells services apart by the signature's credential scope"})
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		refuse(wire.Errorf("RequestEntityTooLarge", "the request's body cannot be read: %v", err))
		return
	}
	c.body = body
	s = l.services[c.service]
	if s != nil {
		c.protocol = s.speaks(c.protocol)
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

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var src io.Reader = http.MaxBytesReader(w, r.Body, wire.MaxBody)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, err
		}
		src = io.LimitReader(z, wire.MaxBody)
	}
	return io.ReadAll(src)
}

func (l *Lab) count(c *call) {
	l.calls.Lock()
	defer l.calls.Unlock()
	l.calls.n[c.service+"."+c.action]++
}

// decode fills the input struct of an action. dry is EC2's DryRun.
func (c *call) decode(in any) (dry bool, err error) {
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
	dry, err := c.decode(in)
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
		if x, ok := err.(*wire.Error); ok { //nolint:errorlint // services return it plainly; a wrapped one is a fault of the lab
			e = x
		} else {
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
		out, err := action.Call(tx, in)
		if err != nil {
			return err
		}
		if f.status != nil {
			out = odd(out, f.status)
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

// remember keeps the world as it was before a change, while a fault wants stale answers.
func (l *Lab) remember(tx *core.Tx) {
	wanted := false
	for _, f := range tx.World.Faults {
		wanted = wanted || f.Kind == core.FaultStale
	}
	l.before.Lock()
	defer l.before.Unlock()
	if !wanted {
		l.before.world = nil
		return
	}
	if b, err := json.Marshal(tx.World); err == nil {
		l.before.world = b
	}
}

func (l *Lab) remembered(tx *core.Tx, region string) *core.Tx {
	l.before.Lock()
	defer l.before.Unlock()
	if l.before.world == nil {
		return nil
	}
	w := &state.World{}
	if err := json.Unmarshal(l.before.world, w); err != nil {
		return nil
	}
	w.Init()
	old := *tx
	old.World, old.Region = w, w.Region(region)
	return &old
}

// faults are what shall go wrong with one call.
type faults struct {
	delay       time.Duration
	err         *wire.Error
	cut, before bool
	stale       bool
	status      *state.Fault
}

var throttling = map[wire.Protocol]wire.Error{
	wire.EC2:     {Code: "RequestLimitExceeded", Status: 503, Message: "Request limit exceeded."},
	wire.Query:   {Code: "Throttling", Status: 400, Message: "Rate exceeded"},
	wire.RESTXML: {Code: "Throttling", Status: 400, Message: "Rate exceeded"},
	wire.JSON:    {Code: "ThrottlingException", Status: 400, Message: "Rate exceeded"},
	wire.CBOR:    {Code: "Throttling", Shape: "ThrottlingException", Status: 400, Message: "Rate exceeded"},
}

func (l *Lab) faultsFor(c *call, in any) (faults, error) {
	var f faults
	some := false
	l.core.View(c.region, func(tx *core.Tx) { some = len(tx.World.Faults) > 0 })
	if !some {
		return f, nil
	}
	attrs := c.attrs(in)
	err := l.core.Do(c.region, func(tx *core.Tx) error {
		for _, kind := range []string{core.FaultSlow, core.FaultSignalLate} {
			if x := tx.Fault(kind, attrs); x != nil {
				f.delay += core.FaultDuration(x, "delay")
			}
		}
		if x := tx.Fault(core.FaultThrottle, attrs); x != nil {
			e := throttling[c.protocol]
			f.err = &e
			return nil
		}
		if x := tx.Fault(core.FaultError, attrs); x != nil {
			f.err = &wire.Error{Code: x.Args["code"], Message: x.Args["message"]}
			_, _ = fmt.Sscan(x.Args["status"], &f.err.Status)
			return nil
		}
		if x := tx.Fault(core.FaultLostAnswer, attrs); x != nil {
			f.cut, f.before = true, core.FaultFlag(x, "before")
			return nil
		}
		f.stale = tx.Fault(core.FaultStale, attrs) != nil
		f.status = tx.Fault(core.FaultUnknownStatus, attrs)
		return nil
	})
	return f, err
}

// aliases are the short names by which a fault may match members of a request.
var aliases = map[string]string{
	"StackName": "stack", "LogicalResourceId": "logical", "ImageId": "image", "InstanceId": "instance", "InstanceIds": "instance",
	"AutoScalingGroupName": "group", "UniqueId": "instance",
}

// attrs are what a fault can match of a call.
func (c *call) attrs(in any) map[string]string {
	a := map[string]string{"service": c.service, "action": c.action, "region": c.region}
	v := reflect.ValueOf(in).Elem()
	if v.Kind() != reflect.Struct {
		return a
	}
	for k := range v.NumField() {
		sf := v.Type().Field(k)
		if !sf.IsExported() {
			continue
		}
		text := ""
		switch x := v.Field(k).Interface().(type) {
		case string:
			text = x
		case []string:
			if len(x) > 0 {
				text = x[0]
			}
		}
		if text == "" {
			continue
		}
		a[sf.Name] = text
		if short := aliases[sf.Name]; short != "" {
			a[short] = text
		}
	}
	// A stack may be named by its ARN: faults match the name.
	if parts := strings.Split(a["stack"], "/"); strings.HasPrefix(a["stack"], "arn:") && len(parts) > 1 {
		a["stack"] = parts[1]
	}
	return a
}

// odd puts a text into the members of an answer that a fault names.
func odd(out any, f *state.Fault) any {
	name, value := f.Args["field"], f.Args["value"]
	if name == "" {
		name = "StackStatus"
	}
	if value == "" {
		value = "UNKNOWN_TO_YOU"
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for k := range v.Len() {
				walk(v.Index(k))
			}
		case reflect.Struct:
			for k := range v.NumField() {
				sf := v.Type().Field(k)
				if !sf.IsExported() {
					continue
				}
				if sf.Name == name && sf.Type.Kind() == reflect.String && v.Field(k).CanSet() {
					v.Field(k).SetString(value)
					continue
				}
				walk(v.Field(k))
			}
		default:
		}
	}
	walk(reflect.ValueOf(out))
	return out
}
