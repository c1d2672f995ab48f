package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
)

// A deleted stack is written once, and no longer carried around in the snapshot:
// whoever starts a lab on what a killed one left still finds it. Where the kill
// came in between, the snapshot counts.
func TestDeletedStacksAreKeptApart(t *testing.T) {
	dir := t.TempDir()
	l := lab.Start(t, func(o *lab.Options) { o.Dir = dir })
	status := func(l *lab.Lab, stack string) string {
		out, err := cloudformation.NewFromConfig(settings(l)).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &stack})
		if err != nil {
			return err.Error()
		}
		return string(out.Stacks[0].StackStatus)
	}
	// left starts a lab on what is on the disk, the way a kill leaves it.
	left := func(snapshot []byte) *lab.Lab {
		copied := t.TempDir()
		require.NoError(t, os.CopyFS(filepath.Join(copied, "ended"), os.DirFS(filepath.Join(dir, "ended"))))
		require.NoError(t, os.WriteFile(filepath.Join(copied, "state.json"), snapshot, 0o600))
		return lab.Start(t, func(o *lab.Options) { o.Dir = copied })
	}
	snapshot := func() []byte {
		b, err := os.ReadFile(filepath.Join(dir, "state.json"))
		require.NoError(t, err)
		return b
	}
	c := cloudformation.NewFromConfig(settings(l))
	made := must(c.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("shortlived"), TemplateBody: aws.String("Resources: {T: {Type: AWS::SNS::Topic}}")}))(t)
	labtest.Eventually(t, "it is made", func() bool { return status(l, "shortlived") == "CREATE_COMPLETE" })
	must(c.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{}))(t)
	before := snapshot()
	must(c.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: made.StackId}))(t)
	labtest.Eventually(t, "it is gone", func() bool { return status(l, *made.StackId) == "DELETE_COMPLETE" })
	must(c.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("other"), TemplateBody: aws.String("Resources: {T: {Type: AWS::SNS::Topic}}")}))(t)
	assert.NotContains(t, string(snapshot()), "shortlived")

	assert.Equal(t, "DELETE_COMPLETE", status(left(snapshot()), *made.StackId))
	assert.Equal(t, "CREATE_COMPLETE", status(left(before), *made.StackId))
}
