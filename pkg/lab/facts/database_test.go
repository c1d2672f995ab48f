package facts_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// store is a template with a database in the default VPC, empty or of a snapshot.
func store(attributes string) string {
	return `
Parameters:
  Snapshot: {Type: String, Default: ""}
  Class: {Type: String, Default: db.t3.micro}
  Mark: {Type: String, Default: one}
Conditions:
  Restored: !Not [!Equals [!Ref Snapshot, ""]]
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    ` + attributes + `
    Properties:
      Engine: postgres
      DBInstanceClass: !Ref Class
      AllocatedStorage: "20"
      BackupRetentionPeriod: 0
      DBSnapshotIdentifier: !If [Restored, !Ref Snapshot, !Ref "AWS::NoValue"]
      MasterUsername: !If [Restored, !Ref "AWS::NoValue", chain]
      MasterUserPassword: !If [Restored, !Ref "AWS::NoValue", secret-one]
      Tags: [{Key: mark, Value: !Ref Mark}]
Outputs:
  Address: {Value: !GetAtt Database.Endpoint.Address}
  Port: {Value: !GetAtt Database.Endpoint.Port}
`
}

// database is the stack's database, nil if there is none any more.
func (s *stack) database(id string) *rdstypes.DBInstance {
	s.Helper()
	out, err := s.rds.DescribeDBInstances(s.ctx, &rds.DescribeDBInstancesInput{})
	require.NoError(s, err)
	for _, d := range out.DBInstances {
		if *d.DBInstanceIdentifier == id {
			return &d
		}
	}
	return nil
}

// snapped makes a snapshot of the stack's database.
func (s *stack) snapped(name string) string {
	s.Helper()
	s.forgetSnapshots()
	name = s.name + "-" + name
	_, err := s.rds.CreateDBSnapshot(s.ctx, &rds.CreateDBSnapshotInput{DBInstanceIdentifier: aws.String(s.physical("Database")), DBSnapshotIdentifier: &name})
	require.NoError(s, err)
	s.until(30*time.Minute, "the snapshot is there", func() bool {
		return slices.Contains(s.snapshots(), name+" available") && *s.database(s.physical("Database")).DBInstanceStatus == "available"
	})
	return name
}

// snapshots of this check: "name status".
func (w *world) snapshots() (list []string) {
	w.Helper()
	out, err := w.rds.DescribeDBSnapshots(context.WithoutCancel(w.ctx), &rds.DescribeDBSnapshotsInput{})
	require.NoError(w, err)
	own := w.name("") // the lab has no others; on AWS it ends in a number
	own = own[:strings.LastIndex(own, "-")+1]
	for _, x := range out.DBSnapshots {
		if !strings.HasPrefix(*x.DBSnapshotIdentifier, own) {
			continue
		}
		list = append(list, *x.DBSnapshotIdentifier+" "+*x.Status)
	}
	return list
}

// forgetSnapshots deletes, on AWS, what the check leaves.
func (w *world) forgetSnapshots() {
	w.afterwards(func(ctx context.Context) {
		for _, x := range w.snapshots() {
			name, _, _ := strings.Cut(x, " ")
			_, _ = w.rds.DeleteDBSnapshot(ctx, &rds.DeleteDBSnapshotInput{DBSnapshotIdentifier: &name})
		}
	})
}

var databaseFacts = []fact{
	{id: "F400", claim: "A database without DBSnapshotIdentifier is new and empty, and its endpoint is an attribute once it is made.", source: "[UG:aws-resource-rds-dbinstance]", check: func(w *world) {
		s := w.made("store", store("DeletionPolicy: Delete"))
		d := s.database(s.physical("Database"))
		require.NotNil(w, d)
		assert.Equal(w, "available", *d.DBInstanceStatus)
		assert.Equal(w, map[string]string{"Address": *d.Endpoint.Address, "Port": "5432"}, s.outputs())
		assert.Regexp(w, `^`+s.physical("Database")+`\.[a-z0-9]+\.`+region+`\.rds\.amazonaws\.com$`, *d.Endpoint.Address)
	}},
	{id: "F401", claim: "With DBSnapshotIdentifier the database has what the snapshot had, and keeps it in updates as long as the id stays.", source: "[UG:aws-resource-rds-dbinstance]", check: func(w *world) {
		first := w.made("store", store("DeletionPolicy: Delete"))
		snapshot := first.snapped("a")
		s := w.made("restored", store("DeletionPolicy: Delete"), with("Snapshot", snapshot))
		id := s.physical("Database")
		assert.Equal(w, "chain", *s.database(id).MasterUsername)
		require.NoError(w, s.update(store("DeletionPolicy: Delete"), to("Snapshot", snapshot, "Class", "db.t3.small")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, id, s.physical("Database"), "the same database")
		assert.Equal(w, "db.t3.small", *s.database(id).DBInstanceClass)
	}},
	{id: "F402", claim: "Taking DBSnapshotIdentifier out, or changing it, makes another database and deletes the old one.", source: "[UG:aws-resource-rds-dbinstance]", check: func(w *world) {
		first := w.made("store", store("DeletionPolicy: Delete"))
		a, b := first.snapped("a"), first.snapped("b")
		s := w.made("restored", store("DeletionPolicy: Delete"), with("Snapshot", a))
		last := s.physical("Database")
		for _, snapshot := range []string{b, ""} {
			require.NoError(w, s.update(store("DeletionPolicy: Delete"), to("Snapshot", snapshot)))
			s.await("UPDATE_COMPLETE")
			assert.NotEqual(w, last, s.physical("Database"))
			assert.Nil(w, s.database(last))
			last = s.physical("Database")
			assert.Contains(w, strings.Join(s.events(), "\n"), "Database UPDATE_IN_PROGRESS: Requested update requires the creation of a new physical resource; hence creating one.")
		}
		assert.Len(w, w.snapshots(), 2, "UpdateReplacePolicy is Delete unless told")
	}},
	{id: "F403", claim: "A change set says of a changed DBSnapshotIdentifier that it may replace the database.", source: "[CP]", check: func(w *world) {
		s := w.made("store", store("DeletionPolicy: Delete"))
		snapshot := s.snapped("a")
		c := s.changes(store("DeletionPolicy: Delete\n    UpdateReplacePolicy: Snapshot"), func(in *cloudformation.CreateChangeSetInput) { in.Parameters = params("Snapshot", snapshot) })["Database"]
		require.NotNil(w, c)
		assert.NotEqual(w, "False", string(c.Replacement))
	}},
	{id: "F404", claim: "A snapshot that is not there fails the creation, and nothing is left.", source: "[UG:aws-resource-rds-dbinstance]", check: func(w *world) {
		s := w.create("store", store(""), with("Snapshot", "nobody-s"))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.history(), "\n"), "DBSnapshot nobody-s not found.")
		assert.Empty(w, w.snapshots())
	}},
	{id: "F405", claim: "Without a DeletionPolicy a database that is in no cluster leaves a snapshot when its stack goes.", source: "[UG:aws-attribute-deletionpolicy]", check: func(w *world) {
		w.forgetSnapshots()
		s := w.made("store", store(""))
		id := s.physical("Database")
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Nil(w, s.database(id))
		require.Len(w, w.snapshots(), 1)
		assert.Regexp(w, `^`+s.name+`-snapshot-database-[a-z0-9]+ available$`, w.snapshots()[0])
	}},
	{id: "F406", claim: "With DeletionPolicy Delete no snapshot is left.", source: "[UG:aws-attribute-deletionpolicy]", check: func(w *world) {
		s := w.made("store", store("DeletionPolicy: Delete"))
		s.remove()
		s.await("DELETE_COMPLETE")
		assert.Empty(w, w.snapshots())
	}},
	{id: "F407", claim: "With UpdateReplacePolicy Snapshot a replaced database leaves a snapshot, and the change set says ReplaceAndSnapshot where the replacement is sure.", source: "[UG:aws-attribute-updatereplacepolicy] [SDK:cloudformation types.PolicyAction]", check: func(w *world) {
		body := store("DeletionPolicy: Delete\n    UpdateReplacePolicy: Snapshot")
		w.forgetSnapshots()
		s := w.made("store", body)
		id := s.physical("Database")
		next := strings.Replace(body, "MasterUsername: !If [Restored, !Ref \"AWS::NoValue\", chain]", "MasterUsername: other", 1)
		c := s.changes(next)["Database"]
		require.NotNil(w, c)
		assert.Equal(w, []string{"True", "ReplaceAndSnapshot"}, []string{string(c.Replacement), string(c.PolicyAction)})
		require.NoError(w, s.update(next))
		s.await("UPDATE_COMPLETE")
		assert.Nil(w, s.database(id))
		assert.Len(w, w.snapshots(), 1)
	}},
	{id: "F408", claim: "A protected database is not deleted, and its stack ends in DELETE_FAILED.", source: "[SDK:rds DeleteDBInstance]", check: func(w *world) {
		s := w.made("store", strings.Replace(store("DeletionPolicy: Delete"), "Engine: postgres", "Engine: postgres\n      DeletionProtection: true", 1))
		s.remove()
		s.await("DELETE_FAILED")
		assert.Contains(w, strings.Join(s.history(), "\n"), "Cannot delete protected DB Instance, please disable deletion protection and try again.")
		_, err := s.rds.ModifyDBInstance(w.ctx, &rds.ModifyDBInstanceInput{DBInstanceIdentifier: aws.String(s.physical("Database")), DeletionProtection: aws.Bool(false), ApplyImmediately: aws.Bool(true)})
		require.NoError(w, err)
		s.until(30*time.Minute, "the protection is off", func() bool { return *s.database(s.physical("Database")).DBInstanceStatus == "available" })
		s.remove()
		s.await("DELETE_COMPLETE")
	}},
	{id: "F409", claim: "What comes from the snapshot is not set beside DBSnapshotIdentifier.", source: "[UG:aws-resource-rds-dbinstance] [INFERRED]", check: func(w *world) {
		first := w.made("store", store("DeletionPolicy: Delete"))
		snapshot := first.snapped("a")
		body := strings.Replace(store("DeletionPolicy: Delete"), "Engine: postgres", "Engine: postgres\n      DBName: hello", 1)
		s := w.create("both", body, with("Snapshot", snapshot))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.history(), "\n"), "DBName")
	}},
	{id: "F410", claim: "A DB subnet group covers two zones at least.", source: "[SDK:rds CreateDBSubnetGroup]", check: func(w *world) {
		s := w.create("places", "Resources:\n  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.8.0.0/16}}\n"+
			"  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.8.0.0/24}}\n"+
			"  Places: {Type: AWS::RDS::DBSubnetGroup, Properties: {DBSubnetGroupDescription: d, SubnetIds: [!Ref Subnet]}}\n")
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.history(), "\n"), "Add subnets to cover at least 2 AZs.")
	}},
}
