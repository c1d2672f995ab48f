package sns

// Tag of a topic.
type Tag struct{ Key, Value string }

// CreateTopicInput makes a topic, or finds the one of that name.
type CreateTopicInput struct {
	Name       string
	Attributes map[string]string
	Tags       []Tag
}

// CreateTopicOutput is its ARN.
type CreateTopicOutput struct{ TopicArn string }

// DeleteTopicInput names a topic; an unknown one is no error.
type DeleteTopicInput struct{ TopicArn string }

// DeleteTopicOutput is empty.
type DeleteTopicOutput struct{}

// Topic in a listing.
type Topic struct{ TopicArn string }

// ListTopicsInput asks for one page.
type ListTopicsInput struct{ NextToken string }

// ListTopicsOutput is one page.
type ListTopicsOutput struct {
	Topics    []Topic
	NextToken string
}

// GetTopicAttributesInput names a topic.
type GetTopicAttributesInput struct{ TopicArn string }

// GetTopicAttributesOutput holds all attributes, counts of subscriptions too.
type GetTopicAttributesOutput struct{ Attributes map[string]string }

// SetTopicAttributesInput sets one attribute: Policy, DisplayName, KmsMasterKeyId, …
type SetTopicAttributesInput struct{ TopicArn, AttributeName, AttributeValue string }

// SetTopicAttributesOutput is empty.
type SetTopicAttributesOutput struct{}

// SubscribeInput adds a subscription.
type SubscribeInput struct {
	TopicArn, Protocol, Endpoint string
	Attributes                   map[string]string
	ReturnSubscriptionArn        *bool
}

// SubscribeOutput is the ARN, or "pending confirmation".
type SubscribeOutput struct{ SubscriptionArn string }

// UnsubscribeInput names a subscription.
type UnsubscribeInput struct{ SubscriptionArn string }

// UnsubscribeOutput is empty.
type UnsubscribeOutput struct{}

// Subscription in a listing.
type Subscription struct{ SubscriptionArn, Owner, Protocol, Endpoint, TopicArn string }

// ListSubscriptionsInput asks for one page of all.
type ListSubscriptionsInput struct{ NextToken string }

// ListSubscriptionsOutput is one page.
type ListSubscriptionsOutput struct {
	Subscriptions []Subscription
	NextToken     string
}

// ListSubscriptionsByTopicInput asks for one topic's.
type ListSubscriptionsByTopicInput struct{ TopicArn, NextToken string }

// ListSubscriptionsByTopicOutput is one page.
type ListSubscriptionsByTopicOutput struct {
	Subscriptions []Subscription
	NextToken     string
}

// GetSubscriptionAttributesInput names a subscription.
type GetSubscriptionAttributesInput struct{ SubscriptionArn string }

// GetSubscriptionAttributesOutput holds its attributes.
type GetSubscriptionAttributesOutput struct{ Attributes map[string]string }

// PublishInput is a message.
type PublishInput struct {
	TopicArn, TargetArn, Subject, Message, MessageStructure string
}

// PublishOutput is its id.
type PublishOutput struct{ MessageId string }

// TagResourceInput tags a topic.
type TagResourceInput struct {
	ResourceArn string
	Tags        []Tag
}

// TagResourceOutput is empty.
type TagResourceOutput struct{}

// UntagResourceInput takes tags away.
type UntagResourceInput struct {
	ResourceArn string
	TagKeys     []string
}

// UntagResourceOutput is empty.
type UntagResourceOutput struct{}

// ListTagsForResourceInput names a topic.
type ListTagsForResourceInput struct{ ResourceArn string }

// ListTagsForResourceOutput holds its tags.
type ListTagsForResourceOutput struct{ Tags []Tag }

// ConfirmSubscriptionInput is a token that an endpoint was sent.
type ConfirmSubscriptionInput struct{ TopicArn, Token, AuthenticateOnUnsubscribe string }

// ConfirmSubscriptionOutput is the subscription's ARN.
type ConfirmSubscriptionOutput struct{ SubscriptionArn string }

// SetSubscriptionAttributesInput sets one attribute.
type SetSubscriptionAttributesInput struct{ SubscriptionArn, AttributeName, AttributeValue string }

// SetSubscriptionAttributesOutput is empty.
type SetSubscriptionAttributesOutput struct{}
