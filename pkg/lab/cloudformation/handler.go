package cloudformation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/cloudformation/schema"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// handler is what CloudFormation does with one resource type. Nothing in it
// waits: stable and gone are asked at every step until they say yes.
type handler struct {
	// create begins to make the resource and returns its physical id.
	create func(tx *core.Tx, c *call) (string, error)
	// update begins to change it in place from c.old to c.props; nil: nothing is to be done.
	update func(tx *core.Tx, c *call) error
	// stable says whether what create or update began has come to an end; nil: at once.
	stable func(tx *core.Tx, c *call) (bool, error)
	// remove begins to delete it. What is gone already is no error.
	remove func(tx *core.Tx, c *call) error
	// gone says whether it is deleted; nil: at once.
	gone func(tx *core.Tx, c *call) (bool, error)
	// attributes are what Fn::GetAtt gives, besides the properties themselves; nil: none.
	attributes func(tx *core.Tx, c *call) map[string]any
	// live reads the properties that can drift as they are now, and whether
	// the resource is still there; nil: drift detection is not supported.
	live func(tx *core.Tx, c *call) (map[string]any, bool)
	// replaces says of a property whose change may replace the resource, by its
	// schema, that it does; nil: none does.
	replaces func(property string) bool
	// snapshots says that the policy Snapshot is meant for it: remove makes one.
	snapshots bool
	// signals says that SignalResource is meant for it.
	signals bool
}

// handlers by resource type.
var handlers = map[string]*handler{}

// call is one resource that a handler works on.
type call struct {
	stack    *state.Stack
	res      *state.StackResource
	id       string     // physical id; "" for create
	props    properties // as they shall be
	old      properties // as they are
	tags     state.Tags // of the stack and of CloudFormation, to be merged with the resource's own
	rollback bool       // a rollback to what was
	retag    bool       // the stack's tags changed
	snapshot bool       // of a removal: what it holds shall be kept as a snapshot
	engine   *engine
}

// data remembers values between the steps of one operation.
func (c *call) data() map[string]string {
	if c.res.Work.Data == nil {
		c.res.Work.Data = map[string]string{}
	}
	return c.res.Work.Data
}

// name is the physical name of a resource whose template gives none: stack, logical id and 12 random signs.
func (c *call) name(limit int) string {
	suffix := "-" + strings.ToUpper(core.Hex(12))
	base := c.stack.Name + "-" + c.res.LogicalID
	if len(base)+len(suffix) > limit {
		base = strings.TrimRight(base[:limit-len(suffix)], "-")
	}
	return base + suffix
}

// shortName is name for load balancers and target groups, as CloudFormation makes it: web-pro-LoadB-1A2B3C4D5E6F.
func (c *call) shortName() string {
	return strings.TrimRight(c.stack.Name[:min(len(c.stack.Name), 7)], "-") + "-" +
		c.res.LogicalID[:min(len(c.res.LogicalID), 5)] + "-" + strings.ToUpper(core.Hex(12))
}

// finalSnapshot is the name of the snapshot made before the resource is removed.
func (c *call) finalSnapshot() string {
	return strings.ToLower(c.stack.Name + "-snapshot-" + c.res.LogicalID + "-" + core.Hex(12))
}

// given or generated name.
func (c *call) named(property string, limit int) string {
	if n := c.props.text(property); n != "" {
		return n
	}
	return c.name(limit)
}

// merged are the tags of the stack and those of the resource's own Tags property.
func (c *call) merged() state.Tags {
	out := state.Tags{}
	maps.Copy(out, c.tags)
	for _, t := range c.props.list("Tags") {
		out[properties(asMap(t)).text("Key")] = properties(asMap(t)).text("Value")
	}
	return out
}

// properties are resolved properties of a resource.
type properties map[string]any

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func (p properties) has(key string) bool { _, ok := p[key]; return ok }

func (p properties) text(key string) string { return scalar(p[key]) }

func (p properties) number(key string) *int64 {
	var n int64
	if _, err := fmt.Sscan(scalar(p[key]), &n); err != nil {
		return nil
	}
	return &n
}

func (p properties) whole(key string, fallback int64) int64 {
	if n := p.number(key); n != nil {
		return *n
	}
	return fallback
}

func (p properties) flag(key string) *bool {
	switch scalar(p[key]) {
	case "true":
		b := true
		return &b
	case "false":
		b := false
		return &b
	}
	return nil
}

func (p properties) list(key string) []any { l, _ := p[key].([]any); return l }

func (p properties) texts(key string) []string {
	if s, ok := p[key].(string); ok {
		return []string{s}
	}
	var out []string
	for _, x := range p.list(key) {
		out = append(out, scalar(x))
	}
	return out
}

func (p properties) sub(key string) properties { return asMap(p[key]) }

func (p properties) maps(key string) []properties {
	var out []properties
	for _, x := range p.list(key) {
		out = append(out, asMap(x))
	}
	return out
}

// changed says whether a property differs between what is and what shall be.
func (c *call) changed(keys ...string) bool {
	t := schema.Lookup(c.res.Type)
	a, b := t.Canonical(c.old), t.Canonical(c.props)
	return slices.ContainsFunc(keys, func(k string) bool { return compact(a[k]) != compact(b[k]) })
}

// reason is a text of AWS's own, told as the reason of a failed resource.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

// notFound says that an error is a service's way to say that a thing is not there.
func notFound(err error) bool {
	var e *wire.Error
	if !errors.As(err, &e) {
		return false
	}
	return strings.Contains(e.Code, "NotFound") || strings.HasPrefix(e.Code, "NoSuch") || e.Code == "ResourceNotFoundException" ||
		e.Code == "ParameterNotFound" || strings.HasSuffix(e.Code, "NotFoundException") || e.Code == "ResourceNotFound" ||
		e.Code == "ValidationError" && strings.Contains(e.Message, "not found")
}

// busy says that a deletion may work later: something still uses the thing.
func busy(err error) bool {
	var e *wire.Error
	if !errors.As(err, &e) {
		return false
	}
	return slices.Contains([]string{
		"DependencyViolation", "ResourceInUse", "ResourceInUseFault", "ScalingActivityInProgress", "OperationNotPermitted",
		"InvalidIPAddress.InUse", "InvalidAddress.InUse", "ResourceContention", "DeleteConflict", "PriorRequestNotComplete",
		"AuthFailure", "InvalidGroup.InUse", "InvalidDBInstanceState", "InvalidDBSubnetGroupStateFault", "InvalidDBParameterGroupState",
	}, e.Code)
}

// services are the names AWS gives the services in the texts of its errors.
var services = map[string]string{
	"EC2": "Ec2", "ElasticLoadBalancingV2": "ElasticLoadBalancingV2", "Route53": "Route53", "CloudWatch": "CloudWatch",
	"SNS": "Sns", "IAM": "Iam", "Logs": "CloudWatchLogs", "SSM": "Ssm", "RDS": "Rds",
}

// explain is the reason of a failed resource, as CloudFormation words a service's error.
func explain(kind string, err error) string {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	parts := strings.Split(kind, "::")
	service, ok := services[parts[1]]
	if !ok || e.Code == "ValidationError" && strings.HasPrefix(e.Message, "Template") {
		return e.Message
	}
	code := "GeneralServiceException"
	switch {
	case notFound(err):
		code = "NotFound"
	case strings.Contains(e.Code, "LimitExceeded"):
		code = "ServiceLimitExceeded"
	case strings.Contains(e.Code, "Duplicate") || strings.Contains(e.Code, "AlreadyExists"):
		code = "AlreadyExists"
	case strings.Contains(e.Code, "Invalid") || strings.Contains(e.Code, "Validation"):
		code = "InvalidRequest"
	case e.Code == "Throttling" || e.Code == "RequestLimitExceeded":
		code = "Throttling"
	}
	status := e.Status
	if status == 0 {
		status = 400
	}
	return fmt.Sprintf("Resource handler returned message: %q (RequestToken: %s, HandlerErrorCode: %s)",
		fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s)", e.Message, service, status, core.UUID()), core.UUID(), code)
}
