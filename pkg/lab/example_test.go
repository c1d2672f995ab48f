package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// stacks is a client of a lab as of AWS.
func stacks(l *lab.Lab) *cloudformation.Client {
	return cloudformation.New(cloudformation.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(l.Endpoint()),
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
}

// A stack is created and followed to its end, and then a user asks for the page.
// In a test, lab.Start(t) takes the place of Open and Close.
func Example() {
	ctx := context.Background()
	l, err := lab.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()

	// An image whose machines serve a page, as an AMI of the account.
	if err := l.Memory().AddImage("site", memory.Site("Hello World", "v1")); err != nil {
		log.Fatal(err)
	}
	image, err := l.AddImage("eu-west-1", "site-1", "site", nil)
	if err != nil {
		log.Fatal(err)
	}

	body, err := os.ReadFile("testdata/site.yaml")
	if err != nil {
		log.Fatal(err)
	}
	client := stacks(l)
	_, err = client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String("site"), TemplateBody: aws.String(string(body)),
		Parameters: []types.Parameter{{ParameterKey: aws.String("ImageId"), ParameterValue: &image}},
	})
	if err != nil {
		log.Fatal(err)
	}
	quick := func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 5*time.Millisecond // the SDK's own are for AWS
	}
	site := &cloudformation.DescribeStacksInput{StackName: aws.String("site")}
	if err := cloudformation.NewStackCreateCompleteWaiter(client, quick).Wait(ctx, site, time.Minute); err != nil {
		log.Fatal(err)
	}
	events, err := client.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: site.StackName})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(*events.StackEvents[0].LogicalResourceId, events.StackEvents[0].ResourceStatus)

	// The internet, as a browser would see it: name, address, balancer, machine.
	browser := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		page, err := browser.Get("http://www.hello.example/")
		if err != nil {
			continue // no target is healthy yet
		}
		text, _ := io.ReadAll(page.Body)
		_ = page.Body.Close()
		fmt.Println(page.StatusCode, strings.TrimSpace(string(text)))
		break
	}
	// Output:
	// site CREATE_COMPLETE
	// 200 Hello World
}

// The third call of an action is throttled, and so is the fourth.
func ExampleLab_Fault() {
	ctx := context.Background()
	l, err := lab.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client := stacks(l)
	list := func() {
		_, err := client.ListStacks(ctx, nil, func(o *cloudformation.Options) { o.RetryMaxAttempts = 1 })
		var refused smithy.APIError
		if errors.As(err, &refused) {
			fmt.Println(refused.ErrorCode())
			return
		}
		fmt.Println("listed")
	}
	list()
	_, err = l.Fault(state.Fault{Kind: core.FaultThrottle, Match: map[string]string{"service": "cloudformation", "action": "List*"}, Times: 2})
	if err != nil {
		log.Fatal(err)
	}
	list()
	list()
	list()
	fmt.Println(l.Calls()["cloudformation.ListStacks"], "calls")
	// Output:
	// listed
	// Throttling
	// Throttling
	// listed
	// 4 calls
}

// With a clock of its own a test says when what happens.
func ExampleLab_Core() {
	ctx := context.Background()
	now := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	l, err := lab.Open(ctx, func(o *lab.Options) { o.Clock, o.Manual, o.Factor = now, true, 1 })
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client := stacks(l)
	_, err = client.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String("wait"),
		TemplateBody: aws.String(`{"Resources": {
			"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
			"Wait":   {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600"}}
		}}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	for status := ""; status != "ROLLBACK_COMPLETE"; {
		next := l.Core().Settle() // does all that is due by the clock
		out, err := client.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String("wait")})
		if err != nil {
			log.Fatal(err)
		}
		if is := string(out.Stacks[0].StackStatus); is != status {
			status = is
			fmt.Println(now.Now().Format(time.TimeOnly), status)
		}
		now.Advance(next.Sub(now.Now()))
	}
	// Output:
	// 03:04:05 CREATE_IN_PROGRESS
	// 03:14:05 ROLLBACK_COMPLETE
}
