package sns

import (
	"context"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

const remembered = 100 // messages of a topic

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// settable are the attributes a caller may set.
var settable = []string{
	"DisplayName", "Policy", "DeliveryPolicy", "KmsMasterKeyId", "TracingConfig", "SignatureVersion", "ArchivePolicy",
	"DataProtectionPolicy",
}

// Service is the SNS API and its deliveries.
type Service struct {
	// Dial connects to endpoints on the lab's internet; nil: directly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Endpoint is the URL of the lab's API, for the links in messages; nil: none.
	Endpoint func() string
}

// Name is the credential scope.
func (Service) Name() string { return "sns" }

// Actions are the API's rows.
func (Service) Actions() []core.Action {
	return []core.Action{
		core.Act("CreateTopic", CreateTopic),
		core.Act("DeleteTopic", DeleteTopic),
		core.Act("ListTopics", ListTopics),
		core.Act("GetTopicAttributes", GetTopicAttributes),
		core.Act("SetTopicAttributes", SetTopicAttributes),
		core.Act("Subscribe", Subscribe),
		core.Act("Unsubscribe", Unsubscribe),
		core.Act("ListSubscriptions", ListSubscriptions),
		core.Act("ListSubscriptionsByTopic", ListSubscriptionsByTopic),
		core.Act("GetSubscriptionAttributes", GetSubscriptionAttributes),
		core.Act("ConfirmSubscription", ConfirmSubscription),
		core.Act("SetSubscriptionAttributes", SetSubscriptionAttributes),
		core.Act("Publish", Publish),
		core.Act("TagResource", TagResource),
		core.Act("UntagResource", UntagResource),
		core.Act("ListTagsForResource", ListTagsForResource),
	}
}

func topic(tx *core.Tx, arn string) (*state.Topic, error) {
	if t := tx.Region.Topics[arn]; t != nil {
		return t, nil
	}
	return nil, &wire.Error{Code: "NotFound", Message: "Topic does not exist", Status: 404}
}

// CreateTopic makes a topic, or finds the one of that name: its attributes and
// tags must then be the same.
func CreateTopic(tx *core.Tx, in *CreateTopicInput) (*CreateTopicOutput, error) {
	if !validName.MatchString(in.Name) {
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Topic Name")
	}
	for k := range in.Attributes {
		if !slices.Contains(settable, k) {
			return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Attributes Reason: Unknown attribute %s", k)
		}
	}
	tags := state.Tags{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	arn := tx.ARN("sns", in.Name)
	if t := tx.Region.Topics[arn]; t != nil {
		for k, v := range in.Attributes {
			if t.Attributes[k] != v {
				return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Attributes Reason: Topic already exists with different attributes")
			}
		}
		if len(tags) > 0 && !maps.Equal(tags, t.Tags) {
			return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")
		}
		return &CreateTopicOutput{TopicArn: arn}, nil
	}
	attributes := map[string]string{"DisplayName": "", "Policy": defaultPolicy(tx, arn)}
	maps.Copy(attributes, in.Attributes)
	tx.Region.Topics[arn] = &state.Topic{ARN: arn, Name: in.Name, Attributes: attributes, Tags: tags}
	tx.Changed()
	return &CreateTopicOutput{TopicArn: arn}, nil
}

func defaultPolicy(tx *core.Tx, arn string) string {
	return `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},` +
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],` +
		`"Resource":"` + arn + `","Condition":{"StringEquals":{"AWS:SourceOwner":"` + tx.World.Account + `"}}}]}`
}

// DeleteTopic deletes a topic with its subscriptions; an unknown one is no error.
func DeleteTopic(tx *core.Tx, in *DeleteTopicInput) (*DeleteTopicOutput, error) {
	delete(tx.Region.Topics, in.TopicArn)
	tx.Changed()
	return &DeleteTopicOutput{}, nil
}

// ListTopics lists topics.
func ListTopics(tx *core.Tx, in *ListTopicsInput) (*ListTopicsOutput, error) {
	var all []Topic
	for _, arn := range slices.Sorted(maps.Keys(tx.Region.Topics)) {
		all = append(all, Topic{TopicArn: arn})
	}
	page, next, err := core.Page(tx, all, func(t Topic) string { return t.TopicArn }, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListTopicsOutput{Topics: page, NextToken: next}, nil
}

// GetTopicAttributes tells all attributes and counts the subscriptions.
func GetTopicAttributes(tx *core.Tx, in *GetTopicAttributesInput) (*GetTopicAttributesOutput, error) {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return nil, err
	}
	a := maps.Clone(t.Attributes)
	confirmed := 0
	for _, s := range t.Subscriptions {
		if s.Confirmed {
			confirmed++
		}
	}
	a["TopicArn"], a["Owner"] = t.ARN, tx.World.Account
	a["SubscriptionsConfirmed"] = strconv.Itoa(confirmed)
	a["SubscriptionsPending"] = strconv.Itoa(len(t.Subscriptions) - confirmed)
	a["SubscriptionsDeleted"] = "0"
	return &GetTopicAttributesOutput{Attributes: a}, nil
}

// SetTopicAttributes sets one attribute.
func SetTopicAttributes(tx *core.Tx, in *SetTopicAttributesInput) (*SetTopicAttributesOutput, error) {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(settable, in.AttributeName) {
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: AttributeName")
	}
	t.Attributes[in.AttributeName] = in.AttributeValue
	if in.AttributeName == "Policy" && in.AttributeValue == "" {
		t.Attributes["Policy"] = defaultPolicy(tx, t.ARN)
	}
	tx.Changed()
	return &SetTopicAttributesOutput{}, nil
}

// protocols and whether a subscription of them needs no confirmation.
var protocols = map[string]bool{
	"email": false, "email-json": false, "http": false, "https": false, "sms": true, "sqs": true, "lambda": true,
	"firehose": true, "application": true,
}

// Subscribe adds a subscription, or finds the same one.
func Subscribe(tx *core.Tx, in *SubscribeInput) (*SubscribeOutput, error) {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return nil, err
	}
	confirmed, known := protocols[in.Protocol]
	switch {
	case !known:
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Amazon SNS does not support this protocol string: %s", in.Protocol)
	case in.Endpoint == "":
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Endpoint")
	}
	if err := checkEndpoint(in.Protocol, in.Endpoint); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(t.Subscriptions, func(s *state.Subscription) bool { return s.Protocol == in.Protocol && s.Endpoint == in.Endpoint })
	if i < 0 {
		i = len(t.Subscriptions)
		t.Subscriptions = append(t.Subscriptions, &state.Subscription{ARN: t.ARN + ":" + core.UUID(), Protocol: in.Protocol, Endpoint: in.Endpoint, Confirmed: confirmed, Attributes: in.Attributes})
		tx.Changed()
	}
	s := t.Subscriptions[i]
	if !s.Confirmed {
		s.Token = core.Hex(64)
		queue(s, state.Message{Type: confirmation, ID: core.UUID(), At: tx.Now, Text: "You have chosen to subscribe to the topic " + t.ARN + ".\nTo confirm the subscription, visit the SubscribeURL included in this message."})
	}
	if !s.Confirmed && (in.ReturnSubscriptionArn == nil || !*in.ReturnSubscriptionArn) {
		return &SubscribeOutput{SubscriptionArn: "pending confirmation"}, nil
	}
	return &SubscribeOutput{SubscriptionArn: s.ARN}, nil
}

// subscription finds a subscription and the topic it belongs to.
func subscription(tx *core.Tx, arn string) (*state.Topic, *state.Subscription) {
	cut := strings.LastIndex(arn, ":")
	if cut < 0 {
		return nil, nil
	}
	t := tx.Region.Topics[arn[:cut]]
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

// Unsubscribe takes a subscription away; an unknown one is no error.
func Unsubscribe(tx *core.Tx, in *UnsubscribeInput) (*UnsubscribeOutput, error) {
	if t, s := subscription(tx, in.SubscriptionArn); s != nil {
		t.Subscriptions = slices.DeleteFunc(t.Subscriptions, func(x *state.Subscription) bool { return x == s })
		tx.Changed()
	}
	return &UnsubscribeOutput{}, nil
}

func describe(tx *core.Tx, t *state.Topic) []Subscription {
	var out []Subscription
	for _, s := range t.Subscriptions {
		arn := s.ARN
		if !s.Confirmed {
			arn = "PendingConfirmation"
		}
		out = append(out, Subscription{SubscriptionArn: arn, Owner: tx.World.Account, Protocol: s.Protocol, Endpoint: s.Endpoint, TopicArn: t.ARN})
	}
	return out
}

func subscriptionKey(s Subscription) string { return s.TopicArn + " " + s.Protocol + " " + s.Endpoint }

// ListSubscriptions lists the subscriptions of all topics.
func ListSubscriptions(tx *core.Tx, in *ListSubscriptionsInput) (*ListSubscriptionsOutput, error) {
	var all []Subscription
	for _, arn := range slices.Sorted(maps.Keys(tx.Region.Topics)) {
		all = append(all, describe(tx, tx.Region.Topics[arn])...)
	}
	page, next, err := core.Page(tx, all, subscriptionKey, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListSubscriptionsOutput{Subscriptions: page, NextToken: next}, nil
}

// ListSubscriptionsByTopic lists one topic's.
func ListSubscriptionsByTopic(tx *core.Tx, in *ListSubscriptionsByTopicInput) (*ListSubscriptionsByTopicOutput, error) {
	t, err := topic(tx, in.TopicArn)
	if err != nil {
		return nil, err
	}
	page, next, err := core.Page(tx, describe(tx, t), subscriptionKey, nil, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListSubscriptionsByTopicOutput{Subscriptions: page, NextToken: next}, nil
}

// GetSubscriptionAttributes tells a subscription.
func GetSubscriptionAttributes(tx *core.Tx, in *GetSubscriptionAttributesInput) (*GetSubscriptionAttributesOutput, error) {
	t, s := subscription(tx, in.SubscriptionArn)
	if s == nil {
		return nil, &wire.Error{Code: "NotFound", Message: "Subscription does not exist", Status: 404}
	}
	return &GetSubscriptionAttributesOutput{Attributes: map[string]string{
		"SubscriptionArn": s.ARN, "TopicArn": t.ARN, "Owner": tx.World.Account, "Protocol": s.Protocol, "Endpoint": s.Endpoint,
		"PendingConfirmation": strconv.FormatBool(!s.Confirmed), "RawMessageDelivery": strconv.FormatBool(s.Attributes["RawMessageDelivery"] == "true"),
	}}, nil
}

// queue lets a message wait for its delivery, where there is one.
func queue(s *state.Subscription, m state.Message) {
	if s.Protocol == "http" || s.Protocol == "https" {
		s.Queue = append(s.Queue, m)
	}
}

// Publish records a message and delivers it to the confirmed subscriptions of
// HTTP and HTTPS; other protocols lead out of the lab and get nothing.
func Publish(tx *core.Tx, in *PublishInput) (*PublishOutput, error) {
	arn := in.TopicArn
	if arn == "" {
		arn = in.TargetArn
	}
	t, err := topic(tx, arn)
	if err != nil {
		return nil, err
	}
	if in.Message == "" {
		return nil, wire.Errorf("InvalidParameter", "Invalid parameter: Empty message")
	}
	m := state.Message{ID: core.UUID(), Subject: in.Subject, Text: in.Message, At: tx.Now}
	t.Messages = append(t.Messages, m)
	for _, s := range t.Subscriptions {
		if s.Confirmed {
			queue(s, m)
		}
	}
	if over := len(t.Messages) - remembered; over > 0 {
		t.Messages = slices.Delete(t.Messages, 0, over)
	}
	tx.Changed()
	return &PublishOutput{MessageId: m.ID}, nil
}

func tagged(tx *core.Tx, arn string) (*state.Topic, error) {
	if t := tx.Region.Topics[arn]; t != nil {
		return t, nil
	}
	return nil, &wire.Error{Code: "ResourceNotFound", Message: "Resource does not exist", Status: 404}
}

// TagResource sets tags of a topic.
func TagResource(tx *core.Tx, in *TagResourceInput) (*TagResourceOutput, error) {
	t, err := tagged(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	for _, tag := range in.Tags {
		t.Tags[tag.Key] = tag.Value
	}
	return &TagResourceOutput{}, nil
}

// UntagResource takes tags away.
func UntagResource(tx *core.Tx, in *UntagResourceInput) (*UntagResourceOutput, error) {
	t, err := tagged(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(t.Tags, k)
	}
	return &UntagResourceOutput{}, nil
}

// ListTagsForResource tells the tags of a topic.
func ListTagsForResource(tx *core.Tx, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	t, err := tagged(tx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	out := &ListTagsForResourceOutput{}
	for _, k := range slices.Sorted(maps.Keys(t.Tags)) {
		out.Tags = append(out.Tags, Tag{Key: k, Value: t.Tags[k]})
	}
	return out, nil
}
