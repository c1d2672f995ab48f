package route53

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// HealthRegion is the region where health checks have their metrics and where, here,
// they are made from.
const HealthRegion = "us-east-1"

// Times of a probe, as documented: to connect, and then to answer. They are not
// divided by the lab's factor, as no probe's are.
const (
	connectTime = 4 * time.Second
	answerTime  = 2 * time.Second
	// searched is how much of a body is searched for a text.
	searched = 5120
)

// check is a health check by its id.
func check(tx *core.Tx, id string) (*state.OutsideCheck, error) {
	if h := tx.World.Checks[bareID(id)]; h != nil {
		return h, nil
	}
	return nil, &wire.Error{Code: "NoSuchHealthCheck", Message: "A health check with id " + bareID(id) + " does not exist.", Status: 404}
}

// valid says what is wrong with a configuration.
func (c *HealthCheckConfig) valid() error {
	bad := func(format string, args ...any) error { return wire.Errorf("InvalidInput", format, args...) }
	search := strings.HasSuffix(c.Type, "_STR_MATCH")
	switch {
	case c.Type == "CALCULATED" || c.Type == "CLOUDWATCH_METRIC" || c.Type == "RECOVERY_CONTROL":
		return bad("The lab has health checks of endpoints only, not of type %s", c.Type)
	case c.Type != "TCP" && strings.TrimSuffix(c.Type, "_STR_MATCH") != "HTTP" && strings.TrimSuffix(c.Type, "_STR_MATCH") != "HTTPS":
		return bad("Invalid health check type: %s", c.Type)
	case c.IPAddress == "" && c.FullyQualifiedDomainName == "":
		return bad("Invalid parameter : Either IPAddress or FullyQualifiedDomainName must be specified")
	case c.IPAddress != "" && net.ParseIP(c.IPAddress) == nil:
		return bad("Invalid parameter : IPAddress: %s", c.IPAddress)
	case c.Type == "TCP" && c.Port == nil:
		return bad("Invalid parameter : Port must be specified for TCP health checks")
	case c.Type == "TCP" && c.ResourcePath != "":
		return bad("Invalid parameter : ResourcePath is not allowed for TCP health checks")
	case search != (c.SearchString != ""):
		return bad("Invalid parameter : SearchString is for types HTTP_STR_MATCH and HTTPS_STR_MATCH, and required there")
	case c.RequestInterval != nil && *c.RequestInterval != 10 && *c.RequestInterval != 30:
		return bad("Invalid parameter : RequestInterval must be 10 or 30")
	case c.FailureThreshold != nil && (*c.FailureThreshold < 1 || *c.FailureThreshold > 10):
		return bad("Invalid parameter : FailureThreshold must be between 1 and 10")
	case c.Port != nil && (*c.Port < 1 || *c.Port > 65535):
		return bad("Invalid parameter : Port must be between 1 and 65535")
	case len(c.Regions) > 0 && len(c.Regions) < 3:
		return bad("Invalid parameter : Regions: at least 3 are needed")
	case len(c.ChildHealthChecks) > 0 || c.HealthThreshold != nil || c.AlarmIdentifier != nil || c.InsufficientDataHealthStatus != "" || c.RoutingControlArn != "":
		return bad("Invalid parameter : a health check of type %s has an endpoint only", c.Type)
	}
	return nil
}

// complete fills in what AWS would.
func (c *HealthCheckConfig) complete() {
	web := c.Type != "TCP"
	tls := strings.HasPrefix(c.Type, "HTTPS")
	if c.Port == nil && web {
		port := int64(80)
		if tls {
			port = 443
		}
		c.Port = &port
	}
	otherwise(&c.RequestInterval, 30)
	otherwise(&c.FailureThreshold, 3)
	otherwise(&c.MeasureLatency, false)
	otherwise(&c.Inverted, false)
	otherwise(&c.Disabled, false)
	otherwise(&c.EnableSNI, tls)
}

func otherwise[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

func describeCheck(h *state.OutsideCheck) HealthCheck {
	out := HealthCheck{Id: h.ID, CallerReference: h.CallerReference, HealthCheckVersion: h.Version}
	_ = wire.Assign(&out.HealthCheckConfig, h.Config) // it was taken from one
	return out
}

// CreateHealthCheck makes a health check; its first probe is made at once. The same
// caller reference with the same configuration is the same health check.
func CreateHealthCheck(tx *core.Tx, in *CreateHealthCheckInput) (*CreateHealthCheckOutput, error) {
	if in.CallerReference == "" || len(in.CallerReference) > 64 {
		return nil, wire.Errorf("InvalidInput", "CallerReference is required and has 64 characters at most")
	}
	c := in.HealthCheckConfig
	if err := c.valid(); err != nil {
		return nil, err
	}
	c.complete()
	for _, h := range tx.World.Checks {
		if h.CallerReference != in.CallerReference {
			continue
		}
		if fmt.Sprint(h.Config) != fmt.Sprint(c.members()) {
			return nil, &wire.Error{Code: "HealthCheckAlreadyExists", Message: "A health check with the specified caller reference and other settings already exists.", Status: 409}
		}
		return &CreateHealthCheckOutput{HealthCheck: describeCheck(h), Location: location(h.ID)}, nil
	}
	tx.World.Region(HealthRegion) // its probes are made there
	h := &state.OutsideCheck{ID: core.UUID(), CallerReference: in.CallerReference, Version: 1, Config: c.members(), Tags: state.Tags{}, NextAt: tx.Now}
	tx.World.Checks[h.ID] = h
	tx.Changed()
	return &CreateHealthCheckOutput{HealthCheck: describeCheck(h), Location: location(h.ID)}, nil
}

func location(id string) string { return "https://route53.amazonaws.com/2013-04-01/healthcheck/" + id }

// GetHealthCheck tells a health check's settings.
func GetHealthCheck(tx *core.Tx, in *GetHealthCheckInput) (*GetHealthCheckOutput, error) {
	h, err := check(tx, in.HealthCheckId)
	if err != nil {
		return nil, err
	}
	return &GetHealthCheckOutput{HealthCheck: describeCheck(h)}, nil
}

// ListHealthChecks lists all of them.
func ListHealthChecks(tx *core.Tx, in *ListHealthChecksInput) (*ListHealthChecksOutput, error) {
	size, err := pageSize(tx, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &ListHealthChecksOutput{Marker: in.Marker, MaxItems: strconv.FormatInt(size, 10)}
	for _, id := range sortedKeys(tx.World.Checks) {
		if id < in.Marker {
			continue
		}
		if int64(len(out.HealthChecks)) == size {
			out.IsTruncated, out.NextMarker = true, id
			break
		}
		out.HealthChecks = append(out.HealthChecks, describeCheck(tx.World.Checks[id]))
	}
	return out, nil
}

// UpdateHealthCheck changes what may be changed, which is not the type nor the interval.
func UpdateHealthCheck(tx *core.Tx, in *UpdateHealthCheckInput) (*UpdateHealthCheckOutput, error) {
	h, err := check(tx, in.HealthCheckId)
	if err != nil {
		return nil, err
	}
	if in.HealthCheckVersion != nil && *in.HealthCheckVersion != h.Version {
		return nil, &wire.Error{Code: "HealthCheckVersionMismatch", Message: "The value of HealthCheckVersion in the request doesn't match the value of HealthCheckVersion in the health check.", Status: 409}
	}
	var c HealthCheckConfig
	if err := wire.Assign(&c, h.Config); err != nil {
		return nil, err
	}
	set(&c.IPAddress, in.IPAddress)
	set(&c.ResourcePath, in.ResourcePath)
	set(&c.FullyQualifiedDomainName, in.FullyQualifiedDomainName)
	set(&c.SearchString, in.SearchString)
	setP(&c.Port, in.Port)
	setP(&c.FailureThreshold, in.FailureThreshold)
	setP(&c.Inverted, in.Inverted)
	setP(&c.Disabled, in.Disabled)
	setP(&c.EnableSNI, in.EnableSNI)
	if len(in.Regions) > 0 {
		c.Regions = in.Regions
	}
	if err := c.valid(); err != nil {
		return nil, err
	}
	h.Config, h.Version, h.NextAt = c.members(), h.Version+1, tx.Now
	tx.Changed()
	return &UpdateHealthCheckOutput{HealthCheck: describeCheck(h)}, nil
}

func set(p *string, v string) {
	if v != "" {
		*p = v
	}
}

func setP[T any](p **T, v *T) {
	if v != nil {
		*p = v
	}
}

// DeleteHealthCheck ends a health check.
func DeleteHealthCheck(tx *core.Tx, in *DeleteHealthCheckInput) (*DeleteHealthCheckOutput, error) {
	h, err := check(tx, in.HealthCheckId)
	if err != nil {
		return nil, err
	}
	delete(tx.World.Checks, h.ID)
	tx.Changed()
	return &DeleteHealthCheckOutput{}, nil
}

// GetHealthCheckStatus tells what the last probe found.
func GetHealthCheckStatus(tx *core.Tx, in *GetHealthCheckStatusInput) (*GetHealthCheckStatusOutput, error) {
	h, err := check(tx, in.HealthCheckId)
	if err != nil {
		return nil, err
	}
	out := &GetHealthCheckStatusOutput{}
	if !h.LastAt.IsZero() {
		out.HealthCheckObservations = append(out.HealthCheckObservations, HealthCheckObservation{
			Region: HealthRegion, IPAddress: "192.0.2.53", StatusReport: StatusReport{Status: h.Last, CheckedTime: h.LastAt},
		})
	}
	return out, nil
}

// probes makes the probes that are due. All of them come from one place here; AWS's
// come from many, and its verdict is what 18% of them say.
func (s Service) probes(tx *core.Tx) {
	if tx.Region.Name != HealthRegion {
		return
	}
	for _, id := range sortedKeys(tx.World.Checks) {
		h := tx.World.Checks[id]
		if !tx.Due(h.NextAt) {
			continue
		}
		var c HealthCheckConfig
		if wire.Assign(&c, h.Config) != nil || c.Disabled != nil && *c.Disabled {
			continue
		}
		h.NextAt = tx.Now.Add(tx.Scale(time.Duration(*c.RequestInterval) * time.Second))
		tx.Wake(h.NextAt)
		tx.Changed()
		tx.Go("health check "+id, func(ctx context.Context) func(*core.Tx) {
			text, good := s.try(ctx, c)
			return func(tx *core.Tx) { found(tx, id, c, text, good) }
		})
	}
}

// found counts one probe: as many in a row as the threshold says turn the verdict.
func found(tx *core.Tx, id string, c HealthCheckConfig, text string, good bool) {
	h := tx.World.Checks[id]
	if h == nil {
		return
	}
	if *c.Inverted {
		good = !good
	}
	h.Last, h.LastAt = text, tx.Now
	switch {
	case good == !h.Bad:
		h.Streak = 0
	case h.Streak+1 >= *c.FailureThreshold:
		h.Bad, h.Streak = !good, 0
	default:
		h.Streak++
	}
	h.Observed = true
	tx.Changed()
}

// try is one probe, and how Route 53 would tell of it.
func (s Service) try(ctx context.Context, c HealthCheckConfig) (text string, good bool) {
	host := c.IPAddress
	if host == "" {
		host = c.FullyQualifiedDomainName
	}
	address := net.JoinHostPort(host, strconv.FormatInt(*c.Port, 10))
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	connect := func(ctx context.Context, network, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTime)
		defer cancel()
		return dial(ctx, network, address)
	}
	if c.Type == "TCP" {
		conn, err := connect(ctx, "tcp", "")
		if err != nil {
			return "Failure: The health checker could not establish a connection within the timeout limit. " + err.Error(), false
		}
		_ = conn.Close()
		return "Success: TCP connection succeeded.", true
	}
	scheme := "http"
	if strings.HasPrefix(c.Type, "HTTPS") {
		scheme = "https"
	}
	name := c.FullyQualifiedDomainName
	if name == "" {
		name = host
	}
	// Route 53 does not look at certificates.
	transport := &http.Transport{DialContext: connect, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: name}} //nolint:gosec // as AWS does
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, connectTime+answerTime)
	defer cancel()
	path := c.ResourcePath
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+name+path, nil)
	if err != nil {
		return "Failure: " + err.Error(), false
	}
	req.Header.Set("User-Agent", "Amazon-Route53-Health-Check-Service (ref lab; report http://amzn.to/1vsZADi)")
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "Failure: The health checker could not establish a connection within the timeout limit. " + err.Error(), false
	}
	defer res.Body.Close()
	status := fmt.Sprintf("HTTP Status Code %d, %s", res.StatusCode, http.StatusText(res.StatusCode))
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return "Failure: " + status, false
	}
	if c.SearchString != "" {
		b, err := io.ReadAll(io.LimitReader(res.Body, searched))
		if err != nil || !strings.Contains(string(b), c.SearchString) {
			return "Failure: " + status + ". The search string was not found in the first 5120 bytes.", false
		}
	}
	return "Success: " + status, true
}
