package route53_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

// That a health check follows what users of an Elastic IP see is shown by the
// whole environment's fire drill, in pkg/release.
func TestHealthChecksByRealClient(t *testing.T) {
	t.Parallel()
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 500 })
	cfg := labtest.AWS(t, l.Endpoint())
	c := route53.NewFromConfig(cfg)
	config := &types.HealthCheckConfig{Type: types.HealthCheckTypeHttp, IPAddress: aws.String("203.0.113.99"), FullyQualifiedDomainName: aws.String("www.hello.example"), ResourcePath: aws.String("/")}
	create := func(reference string, config *types.HealthCheckConfig) (*route53.CreateHealthCheckOutput, error) {
		return c.CreateHealthCheck(t.Context(), &route53.CreateHealthCheckInput{CallerReference: &reference, HealthCheckConfig: config})
	}
	out, err := create("one", config)
	require.NoError(t, err)
	id := out.HealthCheck.Id
	assert.Equal(t, []int32{80, 30, 3}, []int32{*out.HealthCheck.HealthCheckConfig.Port, *out.HealthCheck.HealthCheckConfig.RequestInterval, *out.HealthCheck.HealthCheckConfig.FailureThreshold})
	again, err := create("one", config)
	require.NoError(t, err)
	assert.Equal(t, *id, *again.HealthCheck.Id)
	_, err = create("one", &types.HealthCheckConfig{Type: types.HealthCheckTypeTcp, IPAddress: aws.String("203.0.113.99"), Port: aws.Int32(80)})
	require.ErrorContains(t, err, "HealthCheckAlreadyExists")
	for said, bad := range map[string]*types.HealthCheckConfig{
		"Either IPAddress or":        {Type: types.HealthCheckTypeHttp},
		"RequestInterval must be":    {Type: types.HealthCheckTypeHttp, IPAddress: aws.String("203.0.113.99"), RequestInterval: aws.Int32(20)},
		"endpoints only":             {Type: types.HealthCheckTypeCalculated},
		"Port must be specified":     {Type: types.HealthCheckTypeTcp, IPAddress: aws.String("203.0.113.99")},
		"SearchString is for types ": {Type: types.HealthCheckTypeHttpStrMatch, IPAddress: aws.String("203.0.113.99")},
	} {
		_, err := create("bad", bad)
		require.ErrorContains(t, err, said)
	}

	status := func(region string) (last float64, points int) {
		s, err := cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) { o.Region = region }).GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckStatus"), Dimensions: []cwtypes.Dimension{{Name: aws.String("HealthCheckId"), Value: id}},
			StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Minute)), Period: aws.Int32(60), Statistics: []cwtypes.Statistic{cwtypes.StatisticMinimum},
		})
		require.NoError(t, err)
		for _, p := range s.Datapoints {
			last = *p.Minimum
		}
		return last, len(s.Datapoints)
	}
	labtest.Eventually(t, "nobody answers there", func() bool { v, n := status("us-east-1"); return n > 0 && v == 0 })
	_, points := status("eu-west-1")
	assert.Zero(t, points, "the metric is in us-east-1 alone")
	seen, err := c.GetHealthCheckStatus(t.Context(), &route53.GetHealthCheckStatusInput{HealthCheckId: id})
	require.NoError(t, err)
	require.Len(t, seen.HealthCheckObservations, 1)
	assert.Contains(t, *seen.HealthCheckObservations[0].StatusReport.Status, "Failure: ")

	_, err = c.UpdateHealthCheck(t.Context(), &route53.UpdateHealthCheckInput{HealthCheckId: id, HealthCheckVersion: aws.Int64(7)})
	require.ErrorContains(t, err, "HealthCheckVersionMismatch")
	up, err := c.UpdateHealthCheck(t.Context(), &route53.UpdateHealthCheckInput{HealthCheckId: id, Inverted: aws.Bool(true)})
	require.NoError(t, err)
	assert.Equal(t, int64(2), *up.HealthCheck.HealthCheckVersion)
	labtest.Eventually(t, "what is bad is good", func() bool {
		s, err := cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) { o.Region = "us-east-1" }).GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{
			StartTime: aws.Time(time.Now().Add(-time.Second)), EndTime: aws.Time(time.Now().Add(time.Second)), MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("m"), MetricStat: &cwtypes.MetricStat{
				Metric: &cwtypes.Metric{Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckPercentageHealthy"), Dimensions: []cwtypes.Dimension{{Name: aws.String("HealthCheckId"), Value: id}}},
				Period: aws.Int32(1), Stat: aws.String("Maximum"),
			}}},
		})
		require.NoError(t, err)
		v := s.MetricDataResults[0].Values
		return len(v) > 0 && v[0] == 100
	})

	_, err = c.ChangeTagsForResource(t.Context(), &route53.ChangeTagsForResourceInput{ResourceType: types.TagResourceTypeHealthcheck, ResourceId: id, AddTags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("web")}}})
	require.NoError(t, err)
	tags, err := c.ListTagsForResource(t.Context(), &route53.ListTagsForResourceInput{ResourceType: types.TagResourceTypeHealthcheck, ResourceId: id})
	require.NoError(t, err)
	assert.Equal(t, "web", *tags.ResourceTagSet.Tags[0].Value)
	list, err := c.ListHealthChecks(t.Context(), &route53.ListHealthChecksInput{})
	require.NoError(t, err)
	assert.Len(t, list.HealthChecks, 1)
	_, err = c.DeleteHealthCheck(t.Context(), &route53.DeleteHealthCheckInput{HealthCheckId: id})
	require.NoError(t, err)
	_, err = c.GetHealthCheck(t.Context(), &route53.GetHealthCheckInput{HealthCheckId: id})
	require.ErrorContains(t, err, "NoSuchHealthCheck")
}
