package template

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Metadata of an alarm. It is metadata, so that a site's own alarms can say the
// same.
const (
	metadataKey = "Chain"
	triggerKey  = "RollbackTrigger"
	causeKey    = "Cause"
	valueKey    = "Value"
)

// A Cause is what makes an alarm fire in a fire drill. Every alarm has one, or
// nobody would know that it ever fires: Check refuses those that have none.
type Cause struct {
	Kind  string
	Value float64 // of KindData; of KindSilence one that is good
}

// Kinds of causes. All of them are carried out by calls to AWS alone, since no
// machine lets anybody in.
const (
	KindUnreachable = "unreachable"
	KindHang        = "hang"
	KindGone        = "gone"
	KindBusy        = "busy"
	KindData        = "data"
	KindParts       = "parts"
	KindSilence     = "silence"
)

var (
	// Unreachable means that the balancer no longer gets through to any instance.
	Unreachable = Cause{Kind: KindUnreachable}
	// Hang means that the kernel of an instance panics.
	Hang = Cause{Kind: KindHang}
	// Gone means that every instance is terminated, and none comes for it.
	Gone = Cause{Kind: KindGone}
	// Busy means that the processors of every instance are burnt.
	Busy = Cause{Kind: KindBusy}
	// Parts are the alarms that a composite alarm is made of.
	Parts = Cause{Kind: KindParts}
)

// Data is a value that is put for the alarm's own metric, which must not be one
// of AWS's.
func Data(value float64) Cause { return Cause{KindData, value} }

// Silence means that nobody puts the alarm's own metric, for which missing data is
// breaching; good is a value that clears it.
func Silence(good float64) Cause { return Cause{KindSilence, good} }

// Metadata is what an alarm says of its cause.
func (c Cause) Metadata() map[string]any { return map[string]any{metadataKey: c.members()} }

func (c Cause) members() map[string]any {
	m := map[string]any{causeKey: c.Kind}
	if c.Kind == KindData || c.Kind == KindSilence {
		m[valueKey] = c.Value
	}
	return m
}

// Trigger is the metadata of an alarm that may roll an update back. It MUST NOT
// fire while a healthy update rolls.
func Trigger(c Cause) map[string]any {
	m := c.members()
	m[triggerKey] = true
	return map[string]any{metadataKey: m}
}

const (
	typeAlarm     = "AWS::CloudWatch::Alarm"
	typeComposite = "AWS::CloudWatch::CompositeAlarm"
	typeDashboard = "AWS::CloudWatch::Dashboard"

	// TypeSubscription is the type of the resources that tell somebody.
	TypeSubscription = "AWS::SNS::Subscription"
)

// An Alarm of a template with its cause.
type Alarm struct {
	ID    string // logical
	Cause Cause
}

// Alarms are those of a template by their logical ids. Its error names all
// without a cause that can be carried out.
func Alarms(body []byte) ([]Alarm, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	var out []Alarm
	var errs []error
	resources := section(t, "Resources")
	for _, id := range keys(resources) {
		r, _ := resources[id].(map[string]any)
		kind, _ := r["Type"].(string)
		if kind != typeAlarm && kind != typeComposite {
			continue
		}
		c, err := causeOf(r, kind)
		if err != nil {
			errs = append(errs, fmt.Errorf("alarm %s: %w", id, err))
			continue
		}
		out = append(out, Alarm{id, c})
	}
	return out, errors.Join(errs...)
}

func causeOf(r map[string]any, kind string) (Cause, error) {
	m := section(section(r, "Metadata"), metadataKey)
	c := Cause{}
	c.Kind, _ = m[causeKey].(string)
	switch v := m[valueKey].(type) {
	case int:
		c.Value = float64(v)
	case float64:
		c.Value = v
	}
	kinds := []string{KindUnreachable, KindHang, KindGone, KindBusy, KindData, KindSilence}
	if kind == typeComposite {
		kinds = []string{KindParts}
	}
	namespace, _ := section(r, "Properties")["Namespace"].(string)
	switch {
	case c.Kind == "":
		return c, fmt.Errorf("no cause is written down (metadata %s.%s), so nobody knows that it ever fires: one of %s", metadataKey, causeKey, strings.Join(kinds, ", "))
	case !slices.Contains(kinds, c.Kind):
		return c, fmt.Errorf("there is no cause %q for it, but %s", c.Kind, strings.Join(kinds, ", "))
	case (c.Kind == KindData || c.Kind == KindSilence) && m[valueKey] == nil:
		return c, fmt.Errorf("cause %s needs %s.%s", c.Kind, metadataKey, valueKey)
	case (c.Kind == KindData || c.Kind == KindSilence) && (namespace == "" || strings.HasPrefix(namespace, "AWS/")):
		return c, fmt.Errorf("cause %s is for metrics of one's own, nobody but AWS can put %q", c.Kind, namespace)
	case c.Kind == KindSilence && section(r, "Properties")["TreatMissingData"] != "breaching":
		return c, fmt.Errorf("cause %s is for alarms whose TreatMissingData is breaching", KindSilence)
	}
	return c, nil
}

// watching are the types of resources that a fire drill is about. Who is told is
// none of them: test stacks tell nobody.
func watching(kind string) bool {
	return strings.HasPrefix(kind, "AWS::CloudWatch::") || kind == "AWS::Route53::HealthCheck" || strings.HasPrefix(kind, "AWS::SNS::") && kind != TypeSubscription
}

// Monitoring is a digest of the part of a template that watches: what a fire
// drill has proved of one template it has proved of every one with that digest.
func Monitoring(body []byte) (string, error) {
	t, err := load(body)
	if err != nil {
		return "", err
	}
	part := map[string]any{}
	for id, r := range section(t, "Resources") {
		m, _ := r.(map[string]any)
		if kind, _ := m["Type"].(string); watching(kind) {
			part[id] = m
		}
	}
	b, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("digest of the alarms: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
