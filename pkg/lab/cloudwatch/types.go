package cloudwatch

import "time"

// Tag of an alarm.
type Tag struct{ Key, Value string }

// Dimension of a metric.
type Dimension struct{ Name, Value string }

// PutMetricAlarmInput makes or replaces a metric alarm.
type PutMetricAlarmInput struct {
	AlarmName                        string
	AlarmDescription                 string
	ActionsEnabled                   *bool
	OKActions                        []string
	AlarmActions                     []string
	InsufficientDataActions          []string
	MetricName                       string
	Namespace                        string
	Statistic                        string
	ExtendedStatistic                string
	Dimensions                       []Dimension
	Period                           *int64
	Unit                             string
	EvaluationPeriods                *int64
	DatapointsToAlarm                *int64
	Threshold                        *float64
	ComparisonOperator               string
	TreatMissingData                 string
	EvaluateLowSampleCountPercentile string
	Metrics                          []MetricDataQuery
	ThresholdMetricId                string
	Tags                             []Tag
}

// PutMetricAlarmOutput is empty.
type PutMetricAlarmOutput struct{}

// PutCompositeAlarmInput makes or replaces an alarm over other alarms.
type PutCompositeAlarmInput struct {
	AlarmName               string
	AlarmDescription        string
	ActionsEnabled          *bool
	OKActions               []string
	AlarmActions            []string
	InsufficientDataActions []string
	AlarmRule               string
	// ActionsSuppressor is an alarm, by name or ARN: while it is in ALARM no action is
	// taken. With it both periods are needed, in seconds.
	ActionsSuppressor                string
	ActionsSuppressorWaitPeriod      *int64
	ActionsSuppressorExtensionPeriod *int64
	Tags                             []Tag
}

// PutCompositeAlarmOutput is empty.
type PutCompositeAlarmOutput struct{}

// DescribeAlarmsInput selects alarms; without AlarmTypes only metric alarms come.
type DescribeAlarmsInput struct {
	AlarmNames      []string
	AlarmNamePrefix string
	AlarmTypes      []string // "MetricAlarm", "CompositeAlarm"
	StateValue      string
	ActionPrefix    string
	MaxRecords      *int64
	NextToken       string
}

// DescribeAlarmsOutput is one page.
type DescribeAlarmsOutput struct {
	MetricAlarms    []MetricAlarm
	CompositeAlarms []CompositeAlarm
	NextToken       string
}

// MetricAlarm as described.
type MetricAlarm struct {
	AlarmName                          string
	AlarmArn                           string
	AlarmDescription                   string
	AlarmConfigurationUpdatedTimestamp time.Time
	ActionsEnabled                     bool
	OKActions                          []string
	AlarmActions                       []string
	InsufficientDataActions            []string
	StateValue                         string
	StateReason                        string
	StateReasonData                    string
	StateUpdatedTimestamp              time.Time
	StateTransitionedTimestamp         time.Time
	MetricName                         string
	Namespace                          string
	Statistic                          string
	ExtendedStatistic                  string
	Dimensions                         []Dimension
	Period                             *int64
	Unit                               string
	EvaluationPeriods                  *int64
	DatapointsToAlarm                  *int64
	Threshold                          *float64
	ComparisonOperator                 string
	TreatMissingData                   string
	EvaluateLowSampleCountPercentile   string
	Metrics                            []MetricDataQuery
	ThresholdMetricId                  string
}

// CompositeAlarm as described.
type CompositeAlarm struct {
	AlarmName                          string
	AlarmArn                           string
	AlarmDescription                   string
	AlarmConfigurationUpdatedTimestamp time.Time
	ActionsEnabled                     bool
	OKActions                          []string
	AlarmActions                       []string
	InsufficientDataActions            []string
	AlarmRule                          string
	StateValue                         string
	StateReason                        string
	StateUpdatedTimestamp              time.Time
	StateTransitionedTimestamp         time.Time
	ActionsSuppressor                  string
	ActionsSuppressorWaitPeriod        *int64
	ActionsSuppressorExtensionPeriod   *int64
	ActionsSuppressedBy                string // "WaitPeriod", "ExtensionPeriod", "Alarm"; "" if nothing is held back
	ActionsSuppressedReason            string
}

// DescribeAlarmHistoryInput selects what became of alarms.
type DescribeAlarmHistoryInput struct {
	AlarmName       string
	AlarmTypes      []string // without them, metric alarms
	HistoryItemType string   // "ConfigurationUpdate", "StateUpdate", "Action"
	StartDate       *time.Time
	EndDate         *time.Time
	MaxRecords      *int64
	NextToken       string
	ScanBy          string // "TimestampAscending"; else the newest first
}

// DescribeAlarmHistoryOutput is one page.
type DescribeAlarmHistoryOutput struct {
	AlarmHistoryItems []AlarmHistoryItem
	NextToken         string
}

// AlarmHistoryItem is one thing that became of an alarm.
type AlarmHistoryItem struct {
	AlarmName       string
	AlarmType       string
	Timestamp       time.Time
	HistoryItemType string
	HistorySummary  string
	HistoryData     string
}

// DeleteAlarmsInput names alarms; unknown names are refused.
type DeleteAlarmsInput struct{ AlarmNames []string }

// DeleteAlarmsOutput is empty.
type DeleteAlarmsOutput struct{}

// SetAlarmStateInput sets a state by hand, until the next evaluation.
type SetAlarmStateInput struct {
	AlarmName       string
	StateValue      string
	StateReason     string
	StateReasonData string
}

// SetAlarmStateOutput is empty.
type SetAlarmStateOutput struct{}

// PutDashboardInput makes or replaces a dashboard.
type PutDashboardInput struct {
	DashboardName string
	DashboardBody string
}

// PutDashboardOutput holds what is wrong with the body, if anything.
type PutDashboardOutput struct {
	DashboardValidationMessages []DashboardValidationMessage
}

// DashboardValidationMessage is one fault of a body.
type DashboardValidationMessage struct{ DataPath, Message string }

// GetDashboardInput names a dashboard.
type GetDashboardInput struct{ DashboardName string }

// GetDashboardOutput is its body.
type GetDashboardOutput struct{ DashboardArn, DashboardBody, DashboardName string }

// ListDashboardsInput selects by prefix.
type ListDashboardsInput struct{ DashboardNamePrefix, NextToken string }

// ListDashboardsOutput lists them.
type ListDashboardsOutput struct {
	DashboardEntries []DashboardEntry
	NextToken        string
}

// DashboardEntry is one dashboard.
type DashboardEntry struct {
	DashboardName string
	DashboardArn  string
	LastModified  time.Time
	Size          int64
}

// DeleteDashboardsInput names dashboards.
type DeleteDashboardsInput struct{ DashboardNames []string }

// DeleteDashboardsOutput is empty.
type DeleteDashboardsOutput struct{}

// Metric names a metric.
type Metric struct {
	Namespace, MetricName string
	Dimensions            []Dimension
}

// MetricStat is a statistic of a metric.
type MetricStat struct {
	Metric Metric
	Period *int64
	Stat   string
	Unit   string
}

// MetricDataQuery asks for one metric.
type MetricDataQuery struct {
	Id         string
	MetricStat *MetricStat
	Expression string
	Label      string
	ReturnData *bool
	Period     *int64
}

// PutMetricDataInput stores data points.
type PutMetricDataInput struct {
	Namespace  string
	MetricData []MetricDatum
}

// MetricDatum is one data point.
type MetricDatum struct {
	MetricName string
	Dimensions []Dimension
	Timestamp  *time.Time
	Value      *float64
	Values     []float64
	Counts     []float64
	Unit       string
}

// PutMetricDataOutput is empty.
type PutMetricDataOutput struct{}

// GetMetricDataInput asks for metrics of a time range.
type GetMetricDataInput struct {
	MetricDataQueries []MetricDataQuery
	StartTime         time.Time
	EndTime           time.Time
	ScanBy            string
	MaxDatapoints     *int64
	NextToken         string
}

// GetMetricDataOutput holds one result for each query.
type GetMetricDataOutput struct {
	MetricDataResults []MetricDataResult
	NextToken         string
}

// MetricDataResult is one metric's values, the newest first unless asked otherwise.
type MetricDataResult struct {
	Id, Label  string
	Timestamps []time.Time
	Values     []float64
	StatusCode string
}

// TagResourceInput tags an alarm.
type TagResourceInput struct {
	ResourceARN string
	Tags        []Tag
}

// TagResourceOutput is empty.
type TagResourceOutput struct{}

// UntagResourceInput takes tags away.
type UntagResourceInput struct {
	ResourceARN string
	TagKeys     []string
}

// UntagResourceOutput is empty.
type UntagResourceOutput struct{}

// ListTagsForResourceInput names an alarm.
type ListTagsForResourceInput struct{ ResourceARN string }

// ListTagsForResourceOutput holds its tags.
type ListTagsForResourceOutput struct{ Tags []Tag }

// GetMetricStatisticsInput asks for statistics of one metric.
type GetMetricStatisticsInput struct {
	Namespace, MetricName string
	Dimensions            []Dimension
	StartTime, EndTime    time.Time
	Period                *int64
	Statistics            []string
}

// GetMetricStatisticsOutput are its points, in no certain order at AWS.
type GetMetricStatisticsOutput struct {
	Label      string
	Datapoints []Datapoint
}

// Datapoint is one period of a metric, with the statistics that were asked for.
type Datapoint struct {
	Timestamp                                   time.Time
	SampleCount, Average, Sum, Minimum, Maximum *float64
	Unit                                        string
}

// ListMetricsInput selects metrics.
type ListMetricsInput struct {
	Namespace, MetricName string
	Dimensions            []Dimension
	NextToken             string
}

// ListMetricsOutput is a page of metrics.
type ListMetricsOutput struct {
	Metrics   []Metric
	NextToken string
}
