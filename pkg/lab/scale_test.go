package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
)

// The benchmarks ask a lab in the process, or with CHAIN_BENCH_ENDPOINT whatever
// listens there: station/bench compares another emulator that way.
func endpoint(b *testing.B) *cloudformation.Client {
	b.Helper()
	cfg := aws.Config{Region: region, BaseEndpoint: aws.String(os.Getenv("CHAIN_BENCH_ENDPOINT")), Credentials: keys(), RetryMaxAttempts: 3}
	if *cfg.BaseEndpoint == "" {
		cfg = settings(lab.Start(b))
	}
	return cloudformation.NewFromConfig(cfg)
}

// topics is a template of n resources, each of which refers to a parameter and
// to the one before, in chains of ten.
func topics(n int) *string {
	resources := map[string]any{}
	for k := range n {
		text := "${P}"
		if k%10 > 0 {
			text = fmt.Sprintf("${P} ${T%03d.TopicName}", k-1)
		}
		resources[fmt.Sprintf("T%03d", k)] = map[string]any{"Type": "AWS::SNS::Topic", "Properties": map[string]any{"DisplayName": map[string]string{"Fn::Sub": text}}}
	}
	body, _ := json.Marshal(map[string]any{"Parameters": map[string]any{"P": map[string]string{"Type": "String"}}, "Resources": resources})
	return aws.String(string(body))
}

func value(text string) []types.Parameter {
	return []types.Parameter{{ParameterKey: aws.String("P"), ParameterValue: &text}}
}

// settle waits until a stack has a status, or is no longer there for "".
func settle(b *testing.B, c *cloudformation.Client, name string, want types.StackStatus) {
	b.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		out, err := c.DescribeStacks(context.Background(), &cloudformation.DescribeStacksInput{StackName: &name})
		if want == "" && code(err) == "ValidationError" {
			return
		}
		require.NoError(b, err)
		if out.Stacks[0].StackStatus == want {
			return
		}
	}
	b.Fatalf("stack %s did not come to %q", name, want)
}

// life creates, updates and deletes a stack of n resources, and measures each.
func life(b *testing.B, c *cloudformation.Client, name string, n int) (create, update, remove time.Duration) {
	b.Helper()
	ctx := context.Background()
	began := time.Now()
	_, err := c.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: &name, TemplateBody: topics(n), Parameters: value("one")})
	require.NoError(b, err)
	settle(b, c, name, types.StackStatusCreateComplete)
	create, began = time.Since(began), time.Now()
	_, err = c.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: &name, TemplateBody: topics(n), Parameters: value("two")})
	require.NoError(b, err)
	settle(b, c, name, types.StackStatusUpdateComplete)
	update, began = time.Since(began), time.Now()
	_, err = c.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &name})
	require.NoError(b, err)
	settle(b, c, name, "")
	return create, update, time.Since(began)
}

// A template of as many resources as CloudFormation takes. Wanted: 2 s each.
func BenchmarkLargeStack(b *testing.B) {
	c := endpoint(b)
	var create, update, remove time.Duration
	for b.Loop() {
		x, y, z := life(b, c, fmt.Sprintf("large-%d", time.Now().UnixNano()), 500)
		create, update, remove = create+x, update+y, remove+z
	}
	n := float64(b.N)
	b.ReportMetric(create.Seconds()/n, "s/create")
	b.ReportMetric(update.Seconds()/n, "s/update")
	b.ReportMetric(remove.Seconds()/n, "s/delete")
}

// Twenty stacks of 20 resources each, all at once.
func BenchmarkManyStacks(b *testing.B) {
	c := endpoint(b)
	for b.Loop() {
		done := make(chan struct{})
		for k := range 20 {
			go func() {
				defer func() { done <- struct{}{} }()
				life(b, c, fmt.Sprintf("many-%d", k), 20)
			}()
		}
		for range 20 {
			<-done
		}
	}
}
