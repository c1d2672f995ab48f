package sns_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

func TestTopicsByRealClient(t *testing.T) {
	l := lab.Start(t)
	c := sns.NewFromConfig(labtest.AWS(t, l.Endpoint()))
	in := &sns.CreateTopicInput{Name: aws.String("alarms"), Attributes: map[string]string{"DisplayName": "Alarms"}, Tags: []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}}}
	made, err := c.CreateTopic(t.Context(), in)
	require.NoError(t, err)
	arn := made.TopicArn
	assert.Equal(t, "arn:aws:sns:eu-west-1:111111111111:alarms", *arn)
	again, err := c.CreateTopic(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, *arn, *again.TopicArn)
	_, err = c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alarms"), Attributes: map[string]string{"DisplayName": "Other"}})
	require.ErrorContains(t, err, "Topic already exists with different attributes")

	_, err = c.SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: aws.String("Policy"), AttributeValue: aws.String(`{"Version":"2012-10-17"}`)})
	require.NoError(t, err)
	mail, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn, Protocol: aws.String("email"), Endpoint: aws.String("a@hello.example")})
	require.NoError(t, err)
	assert.Equal(t, "pending confirmation", *mail.SubscriptionArn)
	queue, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: arn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:eu-west-1:111111111111:q")})
	require.NoError(t, err)
	got, err := c.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: arn})
	require.NoError(t, err)
	assert.Equal(t, `{"Version":"2012-10-17"}`, got.Attributes["Policy"])
	assert.Equal(t, []string{"1", "1", "Alarms"}, []string{got.Attributes["SubscriptionsConfirmed"], got.Attributes["SubscriptionsPending"], got.Attributes["DisplayName"]})
	list, err := c.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: arn})
	require.NoError(t, err)
	assert.Len(t, list.Subscriptions, 2)
	_, err = c.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: queue.SubscriptionArn})
	require.NoError(t, err)

	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: arn, Subject: aws.String("s"), Message: aws.String("hello")})
	require.NoError(t, err)
	l.Core().View(labtest.Region, func(tx *core.Tx) { assert.Equal(t, "hello", tx.Region.Topics[*arn].Messages[0].Text) })
	tags, err := c.ListTagsForResource(t.Context(), &sns.ListTagsForResourceInput{ResourceArn: arn})
	require.NoError(t, err)
	assert.Equal(t, "web", *tags.Tags[0].Value)
	for range 2 {
		_, err = c.DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: arn})
		require.NoError(t, err)
	}
	_, err = c.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: arn})
	var missing *types.NotFoundException
	require.ErrorAs(t, err, &missing)
}
