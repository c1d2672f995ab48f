package lab

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// faults are what shall go wrong with one call.
type faults struct {
	delay       time.Duration
	err         *wire.Error
	cut, before bool
	stale       bool
	twice       bool
	pages       int64 // 0: as ever
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
		f.twice = tx.Fault(core.FaultDuplicate, attrs) != nil
		if x := tx.Fault(core.FaultSmallPages, attrs); x != nil {
			f.pages = 1
			_, _ = fmt.Sscan(x.Args["size"], &f.pages)
		}
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

// twice repeats each item of an answer's lists.
func twice(out any) any {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return out
	}
	c := reflect.New(v.Elem().Type()) // the answer's own lists may be the world's
	c.Elem().Set(v.Elem())
	for _, list := range c.Elem().Fields() {
		if list.Kind() != reflect.Slice || !list.CanSet() || list.Type().Elem().Kind() == reflect.Uint8 {
			continue
		}
		double := reflect.MakeSlice(list.Type(), 0, 2*list.Len())
		for i := range list.Len() {
			double = reflect.Append(double, list.Index(i), list.Index(i))
		}
		list.Set(double)
	}
	return c.Interface()
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
	for _, e := range tx.World.Ended() {
		w.Restore(e)
	}
	old := *tx
	old.World, old.Region = w, w.Region(region)
	return &old
}
