package logs

// CreateLogGroupInput makes a log group.
type CreateLogGroupInput struct {
	LogGroupName  string            `wire:"logGroupName"`
	KmsKeyId      string            `wire:"kmsKeyId"`
	LogGroupClass string            `wire:"logGroupClass"`
	Tags          map[string]string `wire:"tags"`
}

// CreateLogGroupOutput is empty.
type CreateLogGroupOutput struct{}

// DeleteLogGroupInput names a log group.
type DeleteLogGroupInput struct {
	LogGroupName string `wire:"logGroupName"`
}

// DeleteLogGroupOutput is empty.
type DeleteLogGroupOutput struct{}

// DescribeLogGroupsInput selects by prefix.
type DescribeLogGroupsInput struct {
	LogGroupNamePrefix string `wire:"logGroupNamePrefix"`
	NextToken          string `wire:"nextToken"`
	Limit              *int64 `wire:"limit"`
}

// DescribeLogGroupsOutput is one page.
type DescribeLogGroupsOutput struct {
	LogGroups []LogGroup `wire:"logGroups"`
	NextToken string     `wire:"nextToken"`
}

// LogGroup as described; CreationTime in milliseconds.
type LogGroup struct {
	LogGroupName      string `wire:"logGroupName"`
	Arn               string `wire:"arn"`
	LogGroupArn       string `wire:"logGroupArn"`
	LogGroupClass     string `wire:"logGroupClass"`
	CreationTime      int64  `wire:"creationTime"`
	RetentionInDays   *int64 `wire:"retentionInDays"`
	MetricFilterCount int64  `wire:"metricFilterCount"`
	StoredBytes       int64  `wire:"storedBytes"`
}

// PutRetentionPolicyInput sets how long events are kept.
type PutRetentionPolicyInput struct {
	LogGroupName    string `wire:"logGroupName"`
	RetentionInDays *int64 `wire:"retentionInDays"`
}

// PutRetentionPolicyOutput is empty.
type PutRetentionPolicyOutput struct{}

// DeleteRetentionPolicyInput keeps events for ever.
type DeleteRetentionPolicyInput struct {
	LogGroupName string `wire:"logGroupName"`
}

// DeleteRetentionPolicyOutput is empty.
type DeleteRetentionPolicyOutput struct{}

// TagResourceInput tags a log group.
type TagResourceInput struct {
	ResourceArn string            `wire:"resourceArn"`
	Tags        map[string]string `wire:"tags"`
}

// TagResourceOutput is empty.
type TagResourceOutput struct{}

// UntagResourceInput takes tags away.
type UntagResourceInput struct {
	ResourceArn string   `wire:"resourceArn"`
	TagKeys     []string `wire:"tagKeys"`
}

// UntagResourceOutput is empty.
type UntagResourceOutput struct{}

// ListTagsForResourceInput names a log group.
type ListTagsForResourceInput struct {
	ResourceArn string `wire:"resourceArn"`
}

// ListTagsForResourceOutput holds its tags.
type ListTagsForResourceOutput struct {
	Tags map[string]string `wire:"tags"`
}
