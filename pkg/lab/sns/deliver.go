package sns

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

// A delivery by HTTP is tried at once, then again after these waits; then the
// message is dropped. SNS tries for hours.
var retries = []time.Duration{20 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}

// answerWithin is how long an endpoint has, as at SNS.
const answerWithin = 15 * time.Second

// Types of messages, as endpoints see them.
const (
	notification = "Notification"
	confirmation = "SubscriptionConfirmation"
)

// Step delivers what is queued for endpoints of HTTP and HTTPS, one message of a
// subscription at a time.
func (s Service) Step(tx *core.Tx) {
	for _, t := range tx.Region.Topics {
		for _, sub := range t.Subscriptions {
			if len(sub.Queue) > 0 && (sub.TryAt.IsZero() || tx.Due(sub.TryAt)) {
				s.deliver(tx, t, sub)
			}
		}
	}
}

func (s Service) deliver(tx *core.Tx, t *state.Topic, sub *state.Subscription) {
	m := sub.Queue[0]
	arn, topic, endpoint := sub.ARN, t.ARN, sub.Endpoint
	raw := sub.Attributes["RawMessageDelivery"] == "true" && m.Type == ""
	body := s.envelope(t, sub, m)
	tx.Go("sns "+arn, func(ctx context.Context) func(*core.Tx) {
		err := s.post(ctx, topic, arn, endpoint, m, body, raw)
		return func(tx *core.Tx) { delivered(tx, topic, arn, m.ID, err) }
	})
}

// delivered notes how a try ended.
func delivered(tx *core.Tx, topicARN, arn, message string, err error) {
	t, sub := subscriptionIn(tx, topicARN, arn)
	if t == nil || sub == nil || len(sub.Queue) == 0 || sub.Queue[0].ID != message {
		return // it ended meanwhile
	}
	tx.Changed()
	if err != nil && sub.Tries < len(retries) {
		sub.TryAt = tx.Now.Add(tx.Scale(retries[sub.Tries]))
		sub.Tries++
		return
	}
	if err != nil {
		tx.Log().Warn("a message of SNS was dropped", "endpoint", sub.Endpoint, "error", err)
	}
	sub.Queue, sub.Tries, sub.TryAt = sub.Queue[1:], 0, time.Time{}
}

func subscriptionIn(tx *core.Tx, topicARN, arn string) (*state.Topic, *state.Subscription) {
	t := tx.Region.Topics[topicARN]
	if t == nil {
		return nil, nil
	}
	for _, s := range t.Subscriptions {
		if s.ARN == arn {
			return t, s
		}
	}
	return t, nil
}

// envelope is the JSON text that an endpoint gets. The lab does not sign it.
func (s Service) envelope(t *state.Topic, sub *state.Subscription, m state.Message) []byte {
	e := map[string]string{
		"Type": notification, "MessageId": m.ID, "TopicArn": t.ARN, "Message": m.Text, "Timestamp": m.At.UTC().Format("2006-01-02T15:04:05.000Z"),
		"SignatureVersion": "1", "Signature": "", "SigningCertURL": "",
	}
	link := func(action string, more url.Values) string {
		more.Set("Action", action)
		return s.base() + "/?" + more.Encode()
	}
	if m.Type == confirmation {
		e["Type"], e["Token"] = confirmation, sub.Token
		e["SubscribeURL"] = link("ConfirmSubscription", url.Values{"TopicArn": {t.ARN}, "Token": {sub.Token}})
	} else {
		e["UnsubscribeURL"] = link("Unsubscribe", url.Values{"SubscriptionArn": {sub.ARN}})
		if m.Subject != "" {
			e["Subject"] = m.Subject
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("sns: %v", err)) // texts only
	}
	return b
}

func (s Service) base() string {
	if s.Endpoint == nil {
		return ""
	}
	return s.Endpoint()
}

// post sends one message. An endpoint of this machine (127.0.0.1, localhost) is
// reached as it is, any other on the lab's internet alone.
func (s Service) post(ctx context.Context, topic, arn, endpoint string, m state.Message, body []byte, raw bool) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	kind := notification
	if m.Type != "" {
		kind = m.Type
	}
	if raw {
		body = []byte(m.Text)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent")
	r.Header.Set("x-amz-sns-message-type", kind)
	r.Header.Set("x-amz-sns-message-id", m.ID)
	r.Header.Set("x-amz-sns-topic-arn", topic)
	if kind == notification {
		r.Header.Set("x-amz-sns-subscription-arn", arn)
	}
	if raw {
		r.Header.Set("x-amz-sns-rawdelivery", "true")
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       s.dial,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, //nolint:gosec // nobody in the lab has a certificate that others trust
	}}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s answered %s", endpoint, answer.Status)
	}
	return nil
}

func (s Service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() || s.Dial == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return s.Dial(ctx, network, address)
}

// check refuses an endpoint that the protocol cannot have.
func checkEndpoint(protocol, endpoint string) error {
	bad := wire.Errorf("InvalidParameter", "Invalid parameter: Endpoint must match the specified protocol")
	switch protocol {
	case "http", "https":
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != protocol || u.Host == "" {
			return bad
		}
	case "sqs", "lambda", "firehose":
		if len(endpoint) < 5 || endpoint[:4] != "arn:" {
			return wire.Errorf("InvalidParameter", "Invalid parameter: %s endpoint ARN", protocol)
		}
	}
	return nil
}

// ConfirmSubscription confirms a subscription by the token its endpoint was sent.
func ConfirmSubscription(tx *core.Tx, in *ConfirmSubscriptionInput) (*ConfirmSubscriptionOutput, error) {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return nil, err
	}
	for _, s := range t.Subscriptions {
		if s.Token != "" && s.Token == in.Token {
			s.Confirmed = true
			tx.Changed()
			return &ConfirmSubscriptionOutput{SubscriptionArn: s.ARN}, nil
		}
	}
	return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Invalid token")
}

// SetSubscriptionAttributes sets one attribute.
func SetSubscriptionAttributes(tx *core.Tx, in *SetSubscriptionAttributesInput) (*SetSubscriptionAttributesOutput, error) {
	_, s := subscription(tx, in.SubscriptionArn)
	switch {
	case s == nil:
		return nil, &wire.Error{Code: "NotFound", Message: "Subscription does not exist", Status: 404}
	case in.AttributeName != "RawMessageDelivery":
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: AttributeName: the lab has RawMessageDelivery")
	case in.AttributeValue != "true" && in.AttributeValue != "false":
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", in.AttributeValue)
	}
	if s.Attributes == nil {
		s.Attributes = map[string]string{}
	}
	s.Attributes[in.AttributeName] = in.AttributeValue
	tx.Changed()
	return &SetSubscriptionAttributesOutput{}, nil
}
