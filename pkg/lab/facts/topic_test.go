package facts_test

import (
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"
)

// dropTopic deletes the topic of the stack behind its back.
func (s *stack) dropTopic() {
	s.Helper()
	arn := s.physical("Topic")
	_, err := s.sns.DeleteTopic(s.ctx, &sns.DeleteTopicInput{TopicArn: &arn})
	require.NoError(s, err)
}
