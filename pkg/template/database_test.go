package template_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfn "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// withDatabase is an environment with one.
func withDatabase(t *testing.T) (*config.Config, *config.Environment) {
	t.Helper()
	c, e := load(t)
	e.Database = &config.Database{Class: "db.t4g.small", Storage: 20, Version: "17"}
	return c, e
}

func TestATemplateWithADatabaseIsSound(t *testing.T) {
	t.Parallel()
	c, e := withDatabase(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	require.NoError(t, template.CheckParameters(body, template.Parameters(e)))
	assert.NotContains(t, string(body), "NoEcho")
	path := filepath.Join(t.TempDir(), "database.yaml")
	require.NoError(t, os.WriteFile(path, body, 0o600))
	lint(t, path)
}

func TestADatabaseComesUpIsRestoredAndLeavesASnapshot(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	c, e := withDatabase(t)
	cfg, err := a.target.AWS(t.Context())
	require.NoError(t, err)
	databases := rds.NewFromConfig(cfg)
	_, err = ssm.NewFromConfig(cfg).PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/web/production/database"), Type: ssmtypes.ParameterTypeSecureString, Value: aws.String("not-a-good-one")})
	require.NoError(t, err)
	rendered, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	body, err := template.SetImage(rendered, a.image("key-1"))
	require.NoError(t, err)
	a.values = template.Parameters(e)
	first := string(body)
	a.change(cfn.ChangeSetTypeCreate, "create", first, "CREATE_COMPLETE")
	assert.Contains(t, a.outputs()["DatabaseEndpoint"], ".eu-west-1.rds.amazonaws.com")
	out, err := databases.DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{})
	require.NoError(t, err)
	require.Len(t, out.DBInstances, 1)
	d := out.DBInstances[0]
	assert.True(t, aws.ToBool(d.StorageEncrypted))
	assert.False(t, aws.ToBool(d.PubliclyAccessible))
	_, err = a.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String(stackName)})
	require.NoError(t, err)
	a.gone()
	left, err := databases.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{})
	require.NoError(t, err)
	require.Len(t, left.DBSnapshots, 1)
	assert.Equal(t, aws.ToString(d.DBInstanceIdentifier), aws.ToString(left.DBSnapshots[0].DBInstanceIdentifier))

	a.values[template.SnapshotID] = aws.ToString(left.DBSnapshots[0].DBSnapshotIdentifier)
	a.change(cfn.ChangeSetTypeCreate, "restore", first, "CREATE_COMPLETE")
	out, err = databases.DescribeDBInstances(t.Context(), &rds.DescribeDBInstancesInput{})
	require.NoError(t, err)
	require.Len(t, out.DBInstances, 1)
	assert.Equal(t, template.DatabaseUser, aws.ToString(out.DBInstances[0].MasterUsername), "it is the snapshot's")

	a.values[template.DatabaseClass], a.values[template.SnapshotID] = "", ""
	for _, c := range a.propose(cfn.ChangeSetTypeUpdate, "without", first).Changes {
		if strings.HasPrefix(aws.ToString(c.ResourceChange.LogicalResourceId), "Database") {
			assert.Equal(t, cfn.ChangeActionRemove, c.ResourceChange.Action, "without a class there is none")
		}
	}
}

// Whatever decides which snapshot a database came from has to stay.
func TestWhatADatabaseCameFromIsRead(t *testing.T) {
	t.Parallel()
	c, e := withDatabase(t)
	body, err := template.Render(c, e, "eu-west-1")
	require.NoError(t, err)
	values := template.Parameters(e)
	from := func(snapshot string) string {
		values[template.SnapshotID] = snapshot
		got, err := template.Restored(body, values)
		require.NoError(t, err)
		require.Len(t, got, 1)
		return got[template.DatabaseID]
	}
	assert.Empty(t, from(""))
	assert.Equal(t, "monday", from("monday"))

	other, err := template.Restored([]byte(`
Parameters: {From: {Type: String, Default: monday}, Fresh: {Type: String, Default: 'no'}}
Conditions: {IsFresh: !Equals [!Ref Fresh, 'yes'], Odd: !Equals [!Ref 'AWS::Region', x]}
Resources:
  Literal: {Type: 'AWS::RDS::DBInstance', Properties: {DBSnapshotIdentifier: tuesday}}
  Default: {Type: 'AWS::RDS::DBCluster', Properties: {SnapshotIdentifier: !Ref From}}
  Chosen: {Type: 'AWS::RDS::DBInstance', Properties: {DBSnapshotIdentifier: !If [IsFresh, !Ref 'AWS::NoValue', !Ref From]}}
  Undecided: {Type: 'AWS::RDS::DBInstance', Properties: {DBSnapshotIdentifier: !If [Odd, a, !Ref From]}}
  Topic: {Type: 'AWS::SNS::Topic'}
`), nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"Literal": "tuesday", "Default": "monday", "Chosen": "monday",
		"Undecided": `{"Fn::If":[{"Fn::Equals":[{"Ref":"AWS::Region"},"x"]},"a","monday"]}`,
	}, other)
}
