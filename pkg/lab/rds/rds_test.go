package rds_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/internal/labtest"
	"github.com/build-deploy-chain/chain/pkg/lab/network"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// site is a lab and a client of its RDS.
type site struct {
	*testing.T
	lab *lab.Lab
	api *rds.Client
}

func open(t *testing.T) *site {
	t.Helper()
	l := lab.Start(t)
	return &site{t, l, rds.NewFromConfig(labtest.AWS(t, l.Endpoint()))}
}

func (s *site) elsewhere(region string) *site {
	c := labtest.AWS(s.T, s.lab.Endpoint())
	c.Region = region
	return &site{s.T, s.lab, rds.NewFromConfig(c)}
}

func (s *site) create(id string, change ...func(*rds.CreateDBInstanceInput)) *types.DBInstance {
	s.Helper()
	in := &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: &id, Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
		MasterUsername: aws.String("chain"), MasterUserPassword: aws.String("secret-one"),
	}
	for _, c := range change {
		c(in)
	}
	out, err := s.api.CreateDBInstance(s.Context(), in)
	require.NoError(s, err)
	assert.Equal(s, "creating", *out.DBInstance.DBInstanceStatus)
	return out.DBInstance
}

func (s *site) describe(id string) types.DBInstance {
	s.Helper()
	out, err := s.api.DescribeDBInstances(s.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	require.NoError(s, err)
	return out.DBInstances[0]
}

func (s *site) available(id string) types.DBInstance {
	s.Helper()
	require.NoError(s, rds.NewDBInstanceAvailableWaiter(s.api, func(o *rds.DBInstanceAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 20*time.Millisecond
	}).Wait(s.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id}, time.Minute))
	return s.describe(id)
}

func (s *site) snapshot(id string) types.DBSnapshot {
	s.Helper()
	require.NoError(s, rds.NewDBSnapshotAvailableWaiter(s.api, func(o *rds.DBSnapshotAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 20*time.Millisecond
	}).Wait(s.Context(), &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: &id}, time.Minute))
	out, err := s.api.DescribeDBSnapshots(s.Context(), &rds.DescribeDBSnapshotsInput{DBSnapshotIdentifier: &id})
	require.NoError(s, err)
	return out.DBSnapshots[0]
}

func (s *site) gone(id string) {
	s.Helper()
	require.NoError(s, rds.NewDBInstanceDeletedWaiter(s.api, func(o *rds.DBInstanceDeletedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 20*time.Millisecond
	}).Wait(s.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id}, time.Minute))
}

func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, code, e.ErrorCode())
	assert.Contains(t, e.ErrorMessage(), text)
}

// What was in a database when its snapshot was taken is in what is restored of
// it, in another region too, and nothing else.
func TestSnapshotsCarryTheData(t *testing.T) {
	s := open(t)
	d := s.create("Main", func(in *rds.CreateDBInstanceInput) {
		in.Tags, in.CopyTagsToSnapshot = []types.Tag{{Key: aws.String("site"), Value: aws.String("web")}}, aws.Bool(true)
	})
	assert.Nil(t, d.Endpoint, "there is none before it is up")
	got := s.available("main")
	assert.Equal(t, []any{"main", "chain", int32(5432)}, []any{*got.DBInstanceIdentifier, *got.MasterUsername, *got.Endpoint.Port})
	require.NoError(t, s.lab.Memory().Edit(*d.DbiResourceId, func(disk *memory.Image) { disk.Data = map[string]string{"orders": "1"} }))
	_, err := s.api.CreateDBSnapshot(t.Context(), &rds.CreateDBSnapshotInput{DBInstanceIdentifier: aws.String("main"), DBSnapshotIdentifier: aws.String("first")})
	require.NoError(t, err)
	snap := s.snapshot("first")
	assert.Equal(t, []any{"manual", "main", int32(20)}, []any{*snap.SnapshotType, *snap.DBInstanceIdentifier, *snap.AllocatedStorage})
	assert.Equal(t, "site", *snap.TagList[0].Key, "the tags are copied")
	s.available("main")
	require.NoError(t, s.lab.Memory().Edit(*d.DbiResourceId, func(disk *memory.Image) { disk.Data["orders"] = "2" }))

	restored, err := s.api.RestoreDBInstanceFromDBSnapshot(t.Context(), &rds.RestoreDBInstanceFromDBSnapshotInput{DBInstanceIdentifier: aws.String("again"), DBSnapshotIdentifier: aws.String("first")})
	require.NoError(t, err)
	assert.Equal(t, "chain", *s.available("again").MasterUsername)
	disk, _ := s.lab.Memory().Disk(*restored.DBInstance.DbiResourceId)
	assert.Equal(t, map[string]string{"orders": "1"}, disk.Data)

	far := s.elsewhere("us-east-1")
	_, err = far.api.CopyDBSnapshot(t.Context(), &rds.CopyDBSnapshotInput{
		SourceDBSnapshotIdentifier: snap.DBSnapshotArn, TargetDBSnapshotIdentifier: aws.String("copy"), SourceRegion: aws.String("eu-west-1"), CopyTags: aws.Bool(true),
	})
	require.NoError(t, err)
	copied := far.snapshot("copy")
	assert.Equal(t, *snap.DBSnapshotArn, *copied.SourceDBSnapshotIdentifier)
	assert.Len(t, copied.TagList, 1)

	// Main goes with a last snapshot; the first is deleted, and its copy stays whole.
	_, err = s.api.DeleteDBInstance(t.Context(), &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("main")})
	refused(t, err, "InvalidParameterCombination", "FinalDBSnapshotIdentifier is required")
	_, err = s.api.DeleteDBInstance(t.Context(), &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("main"), FinalDBSnapshotIdentifier: aws.String("last")})
	require.NoError(t, err)
	s.gone("main")
	s.snapshot("last")
	_, err = s.api.DeleteDBSnapshot(t.Context(), &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: aws.String("first")})
	require.NoError(t, err)
	out, err := far.api.RestoreDBInstanceFromDBSnapshot(t.Context(), &rds.RestoreDBInstanceFromDBSnapshotInput{DBInstanceIdentifier: aws.String("far"), DBSnapshotIdentifier: aws.String("copy")})
	require.NoError(t, err)
	far.available("far")
	disk, _ = s.lab.Memory().Disk(*out.DBInstance.DbiResourceId)
	assert.Equal(t, map[string]string{"orders": "1"}, disk.Data)

	listed, err := s.api.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{DBInstanceIdentifier: aws.String("main"), SnapshotType: aws.String("manual")})
	require.NoError(t, err)
	require.Len(t, listed.DBSnapshots, 1)
	assert.Equal(t, "last", *listed.DBSnapshots[0].DBSnapshotIdentifier)
	_, err = s.api.DescribeDBSnapshots(t.Context(), &rds.DescribeDBSnapshotsInput{Filters: []types.Filter{{Name: aws.String("colour"), Values: []string{"red"}}}})
	refused(t, err, "InvalidParameterValue", "Unrecognized filter name: colour")

	for _, id := range []string{"last"} {
		_, err := s.api.DeleteDBSnapshot(t.Context(), &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: &id})
		require.NoError(t, err)
	}
	_, err = far.api.DeleteDBSnapshot(t.Context(), &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: aws.String("copy")})
	require.NoError(t, err)
	labtest.Eventually(t, "no snapshot's data is left", func() bool { return len(s.lab.Memory().Images()) == 2 })
}

// A change, a restart and a password reach the machine; the endpoint is reached
// by who may.
func TestDatabaseIsChangedAndReached(t *testing.T) {
	s := open(t)
	d := s.create("main", func(in *rds.CreateDBInstanceInput) { in.Port, in.DeletionProtection = aws.Int32(6000), aws.Bool(true) })
	_, err := s.api.ModifyDBInstance(t.Context(), &rds.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("main"), AllocatedStorage: aws.Int32(30)})
	refused(t, err, "InvalidDBInstanceState", "not in available state")
	endpoint := s.available("main").Endpoint
	address := net.JoinHostPort(*endpoint.Address, "6000")
	dial := func() error {
		c, err := s.lab.Dial(t.Context(), "tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	why := func(err error) network.Reason {
		t.Helper()
		var e *network.Error
		require.ErrorAs(t, err, &e)
		return e.Reason
	}
	assert.Equal(t, network.Unreachable, why(dial()), "it has no public address")
	_, err = s.api.ModifyDBInstance(t.Context(), &rds.ModifyDBInstanceInput{
		DBInstanceIdentifier: aws.String("main"), PubliclyAccessible: aws.Bool(true), MasterUserPassword: aws.String("secret-two"), AllocatedStorage: aws.Int32(30), ApplyImmediately: aws.Bool(true),
	})
	require.NoError(t, err)
	assert.EqualValues(t, 30, *s.available("main").AllocatedStorage)
	assert.Equal(t, network.NotAllowed, why(dial()), "no group lets the client in")
	require.NoError(t, s.lab.Core().Do(labtest.Region, func(tx *core.Tx) error {
		port := int64(6000)
		_, err := ec2.AuthorizeSecurityGroupIngress(tx, &ec2.SecurityGroupRulesInput{GroupId: *d.VpcSecurityGroups[0].VpcSecurityGroupId, IpProtocol: "tcp", FromPort: &port, ToPort: &port, CidrIp: "0.0.0.0/0"})
		return err
	}))
	require.NoError(t, dial())
	_, err = s.api.RebootDBInstance(t.Context(), &rds.RebootDBInstanceInput{DBInstanceIdentifier: aws.String("main")})
	require.NoError(t, err)
	s.available("main")
	require.NoError(t, dial())

	// A machine that dies is brought up again.
	require.NoError(t, s.lab.Memory().Kill(*d.DbiResourceId))
	labtest.Eventually(t, "it is up again", func() bool { return dial() == nil && *s.describe("main").DBInstanceStatus == "available" })

	_, err = s.api.DeleteDBInstance(t.Context(), &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("main"), SkipFinalSnapshot: aws.Bool(true)})
	refused(t, err, "InvalidParameterCombination", "Cannot delete protected DB Instance")
	_, err = s.api.ModifyDBInstance(t.Context(), &rds.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String("main"), DeletionProtection: aws.Bool(false)})
	require.NoError(t, err)
	s.available("main")
	_, err = s.api.DeleteDBInstance(t.Context(), &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("main"), SkipFinalSnapshot: aws.Bool(true)})
	require.NoError(t, err)
	s.gone("main")
	assert.Equal(t, network.Unknown, why(dial()))
	_, there := s.lab.Memory().Disk(*d.DbiResourceId)
	assert.False(t, there)
}

func TestGroupsByRealClient(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	_, err := s.api.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{}) // the region is there from now on
	require.NoError(t, err)
	var subnets []string
	s.lab.Core().View(labtest.Region, func(tx *core.Tx) {
		for id := range tx.Region.Subnets {
			subnets = append(subnets, id)
		}
	})
	_, err = s.api.CreateDBSubnetGroup(ctx, &rds.CreateDBSubnetGroupInput{DBSubnetGroupName: aws.String("Here"), DBSubnetGroupDescription: aws.String("d"), SubnetIds: subnets[:1]})
	refused(t, err, "DBSubnetGroupDoesNotCoverEnoughAZs", "Add subnets to cover at least 2 AZs.")
	made, err := s.api.CreateDBSubnetGroup(ctx, &rds.CreateDBSubnetGroupInput{
		DBSubnetGroupName: aws.String("Here"), DBSubnetGroupDescription: aws.String("d"), SubnetIds: subnets[:2], Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
	})
	require.NoError(t, err)
	_, err = s.api.ModifyDBSubnetGroup(ctx, &rds.ModifyDBSubnetGroupInput{DBSubnetGroupName: aws.String("here"), SubnetIds: subnets})
	require.NoError(t, err)
	groups, err := s.api.DescribeDBSubnetGroups(ctx, &rds.DescribeDBSubnetGroupsInput{DBSubnetGroupName: aws.String("here")})
	require.NoError(t, err)
	assert.Len(t, groups.DBSubnetGroups[0].Subnets, len(subnets))

	_, err = s.api.CreateDBParameterGroup(ctx, &rds.CreateDBParameterGroupInput{DBParameterGroupName: aws.String("how"), DBParameterGroupFamily: aws.String("postgres17"), Description: aws.String("d")})
	require.NoError(t, err)
	_, err = s.api.ModifyDBParameterGroup(ctx, &rds.ModifyDBParameterGroupInput{DBParameterGroupName: aws.String("how"), Parameters: []types.Parameter{
		{ParameterName: aws.String("work_mem"), ParameterValue: aws.String("8"), ApplyMethod: types.ApplyMethodImmediate},
		{ParameterName: aws.String("log_statement"), ParameterValue: aws.String("all"), ApplyMethod: types.ApplyMethodImmediate},
	}})
	require.NoError(t, err)
	_, err = s.api.ResetDBParameterGroup(ctx, &rds.ResetDBParameterGroupInput{DBParameterGroupName: aws.String("how"), Parameters: []types.Parameter{{ParameterName: aws.String("work_mem")}}})
	require.NoError(t, err)
	set, err := s.api.DescribeDBParameters(ctx, &rds.DescribeDBParametersInput{DBParameterGroupName: aws.String("how"), Source: aws.String("user")})
	require.NoError(t, err)
	require.Len(t, set.Parameters, 1)
	assert.Equal(t, "all", *set.Parameters[0].ParameterValue)
	how, err := s.api.DescribeDBParameterGroups(ctx, &rds.DescribeDBParameterGroupsInput{})
	require.NoError(t, err)
	assert.Equal(t, "postgres17", *how.DBParameterGroups[0].DBParameterGroupFamily)

	s.create("main", func(in *rds.CreateDBInstanceInput) {
		in.DBSubnetGroupName, in.DBParameterGroupName, in.BackupRetentionPeriod = aws.String("here"), aws.String("how"), aws.Int32(0)
	})
	_, err = s.api.DeleteDBSubnetGroup(ctx, &rds.DeleteDBSubnetGroupInput{DBSubnetGroupName: aws.String("here")})
	refused(t, err, "InvalidDBSubnetGroupStateFault", "main is still using it")
	_, err = s.api.DeleteDBParameterGroup(ctx, &rds.DeleteDBParameterGroupInput{DBParameterGroupName: aws.String("how")})
	refused(t, err, "InvalidDBParameterGroupState", "still members of this parameter group")
	s.available("main")
	_, err = s.api.DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String("main"), SkipFinalSnapshot: aws.Bool(true)})
	require.NoError(t, err)
	s.gone("main")

	arn := made.DBSubnetGroup.DBSubnetGroupArn
	_, err = s.api.AddTagsToResource(ctx, &rds.AddTagsToResourceInput{ResourceName: arn, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}})
	require.NoError(t, err)
	_, err = s.api.RemoveTagsFromResource(ctx, &rds.RemoveTagsFromResourceInput{ResourceName: arn, TagKeys: []string{"a"}})
	require.NoError(t, err)
	tags, err := s.api.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: arn})
	require.NoError(t, err)
	require.Len(t, tags.TagList, 1)
	assert.Equal(t, "b", *tags.TagList[0].Key)
	_, err = s.api.ListTagsForResource(ctx, &rds.ListTagsForResourceInput{ResourceName: aws.String("arn:aws:rds:eu-west-1:111111111111:db:none")})
	refused(t, err, "DBInstanceNotFound", "DBInstance none not found.")

	_, err = s.api.DeleteDBSubnetGroup(ctx, &rds.DeleteDBSubnetGroupInput{DBSubnetGroupName: aws.String("here")})
	require.NoError(t, err)
	_, err = s.api.DeleteDBParameterGroup(ctx, &rds.DeleteDBParameterGroupInput{DBParameterGroupName: aws.String("how")})
	require.NoError(t, err)
	_, err = s.api.DescribeDBParameterGroups(ctx, &rds.DescribeDBParameterGroupsInput{DBParameterGroupName: aws.String("how")})
	refused(t, err, "DBParameterGroupNotFound", "how")
}

func TestBadInput(t *testing.T) {
	s := open(t)
	for text, change := range map[string]func(*rds.CreateDBInstanceInput){
		"InvalidParameterValue: Invalid DB engine: mysql":                                            func(in *rds.CreateDBInstanceInput) { in.Engine = aws.String("mysql") },
		"InvalidParameterValue: The parameter DBInstanceIdentifier is not a valid":                   func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = aws.String("a--b") },
		"InvalidParameterValue: The parameter MasterUserPassword is not a valid password because it": func(in *rds.CreateDBInstanceInput) { in.MasterUserPassword = aws.String("short") },
		"InvalidParameterValue: MasterUsername admin cannot be used as it is a reserved word":        func(in *rds.CreateDBInstanceInput) { in.MasterUsername = aws.String("admin") },
		"InvalidParameterValue: Invalid DB Instance class: t3.micro":                                 func(in *rds.CreateDBInstanceInput) { in.DBInstanceClass = aws.String("t3.micro") },
		"InvalidParameterValue: Invalid storage size for engine name postgres and storage type gp2":  func(in *rds.CreateDBInstanceInput) { in.AllocatedStorage = aws.Int32(5) },
		"InvalidParameterValue: Invalid security group , groupId= sg-1":                              func(in *rds.CreateDBInstanceInput) { in.VpcSecurityGroupIds = []string{"sg-1"} },
		"DBSubnetGroupNotFoundFault: DB subnet group 'none' does not exist.":                         func(in *rds.CreateDBInstanceInput) { in.DBSubnetGroupName = aws.String("none") },
		"DBParameterGroupNotFound: DBParameterGroup not found: none":                                 func(in *rds.CreateDBInstanceInput) { in.DBParameterGroupName = aws.String("none") },
		"InvalidParameterCombination: Cannot find version 9.6 for postgres":                          func(in *rds.CreateDBInstanceInput) { in.EngineVersion = aws.String("9.6") },
		"InvalidVPCNetworkStateFault: The DB subnet group 'default' has no subnet in":                func(in *rds.CreateDBInstanceInput) { in.AvailabilityZone = aws.String("us-east-1a") },
		"ValidationError: The parameter DBClusterIdentifier is not recognized":                       func(in *rds.CreateDBInstanceInput) { in.DBClusterIdentifier = aws.String("c") },
	} {
		in := &rds.CreateDBInstanceInput{
			DBInstanceIdentifier: aws.String("main"), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
			MasterUsername: aws.String("chain"), MasterUserPassword: aws.String("secret-one"),
		}
		change(in)
		_, err := s.api.CreateDBInstance(context.Background(), in)
		var e smithy.APIError
		if assert.True(t, errors.As(err, &e), text) {
			assert.True(t, strings.HasPrefix(e.ErrorCode()+": "+e.ErrorMessage(), text), "%s: %s", e.ErrorCode(), e.ErrorMessage())
		}
	}
	_, err := s.api.RestoreDBInstanceFromDBSnapshot(t.Context(), &rds.RestoreDBInstanceFromDBSnapshotInput{DBInstanceIdentifier: aws.String("main"), DBSnapshotIdentifier: aws.String("none")})
	refused(t, err, "DBSnapshotNotFound", "DBSnapshot none not found.")
	s.create("main")
	_, err = s.api.CreateDBSnapshot(t.Context(), &rds.CreateDBSnapshotInput{DBInstanceIdentifier: aws.String("main"), DBSnapshotIdentifier: aws.String("early")})
	refused(t, err, "InvalidDBInstanceState", "not currently in the available state")
}

// A database that is not public is reached by the instances of its VPC.
func TestInstancesReachTheDatabase(t *testing.T) {
	s := open(t)
	d := s.create("main")
	address := net.JoinHostPort(*s.available("main").Endpoint.Address, "5432")
	var client, group string
	require.NoError(t, s.lab.Core().Do(labtest.Region, func(tx *core.Tx) error {
		out, err := ec2.RunInstances(tx, &ec2.RunInstancesInput{ImageId: s.lab.BaseImage(labtest.Region), InstanceType: "t3.micro", MinCount: aws.Int64(1), MaxCount: aws.Int64(1)})
		if err == nil {
			client, group = out.Instances[0].PrivateIpAddress, out.Instances[0].SecurityGroups[0].GroupId
		}
		return err
	}))
	assert.Equal(t, *d.VpcSecurityGroups[0].VpcSecurityGroupId, group, "the VPC's default group lets its own members in")
	// The network a test has at hand is everybody's but this one's: it is the same world.
	n := network.New()
	n.Use(s.lab.Core())
	labtest.Eventually(t, "the instance reaches it", func() bool {
		c, err := n.DialFrom(t.Context(), client, "tcp", address)
		return err == nil && c.Close() == nil
	})
	_, err := n.DialFrom(t.Context(), "172.31.250.250", "tcp", address)
	require.ErrorContains(t, err, "not allowed")
	_, err = n.Dial(t.Context(), "tcp", address)
	require.ErrorContains(t, err, "not publicly accessible")
}
