package cloudformation

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/rds"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

func init() {
	handlers[typeDatabase] = databaseHandler()
	handlers["AWS::RDS::DBSubnetGroup"] = subnetGroupHandler()
	handlers["AWS::RDS::DBParameterGroup"] = parameterGroupHandler()
}

// rdsTags are the tags of a new resource.
func rdsTags(c *call) []rds.Tag {
	var out []rds.Tag
	tags := c.merged()
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, rds.Tag{Key: k, Value: tags[k]})
	}
	return out
}

// retagRDS makes the tags of a resource those of the template and the stack.
func retagRDS(tx *core.Tx, c *call, arn string, now state.Tags) error {
	var gone []string
	for k := range now {
		if _, keep := c.merged()[k]; !keep {
			gone = append(gone, k)
		}
	}
	if _, err := rds.RemoveTagsFromResource(tx, &rds.RemoveTagsFromResourceInput{ResourceName: arn, TagKeys: gone}); err != nil {
		return err
	}
	_, err := rds.AddTagsToResource(tx, &rds.TagsInput{ResourceName: arn, Tags: rdsTags(c)})
	return err
}

var (
	// unseen are properties of a database that change nothing of what the lab shows of it.
	unseen = []string{
		"DatabaseInsightsMode", "DeleteAutomatedBackups", "EnableCloudwatchLogsExports", "EnablePerformanceInsights", "EngineLifecycleSupport",
		"LicenseModel", "MaxAllocatedStorage", "MonitoringInterval", "MonitoringRoleArn", "NetworkType", "PerformanceInsightsKMSKeyId",
		"PerformanceInsightsRetentionPeriod", "StorageThroughput",
	}
	// inherited come from the snapshot: with one they are not to be given.
	inherited = []string{"CharacterSetName", "DBName", "KmsKeyId", "MasterUsername", "MasterUserPassword", "StorageEncrypted", "Timezone"}
	// moving are properties whose change makes another database, where the schema says that it may.
	moving = []string{"AvailabilityZone", "DBSnapshotIdentifier", "Engine"}
	// handled otherwise than by an input's member of the same name.
	handled = []string{"AllowMajorVersionUpgrade", "ApplyImmediately", "DBInstanceIdentifier", "DBSnapshotIdentifier", "Tags", "VPCSecurityGroups"}
)

// fill makes a request of the properties of a database.
func fillDatabase(in any, settings *rds.Settings, c *call, without ...string) error {
	if err := assign(in, c.props, slices.Concat(without, handled, unseen)...); err != nil {
		return err
	}
	settings.VpcSecurityGroupIds = c.props.texts("VPCSecurityGroups")
	return nil
}

// databaseHandler makes databases, empty or of a snapshot. A snapshot's id has to
// stay: without it, or with another, the database is another one.
func databaseHandler() *handler {
	return &handler{
		snapshots: true,
		replaces:  func(property string) bool { return slices.Contains(moving, property) },
		create: func(tx *core.Tx, c *call) (string, error) {
			id := strings.ToLower(c.named("DBInstanceIdentifier", 63))
			from := c.props.text("DBSnapshotIdentifier")
			if from == "" {
				in := &rds.CreateDBInstanceInput{}
				if err := fillDatabase(in, &in.Settings, c); err != nil {
					return "", err
				}
				in.DBInstanceIdentifier, in.Tags = id, rdsTags(c)
				if _, err := rds.CreateDBInstance(tx, in); err != nil {
					return "", err
				}
				return id, nil
			}
			for _, p := range inherited {
				if c.props.has(p) {
					return "", reasonf("The property %s cannot be set with DBSnapshotIdentifier: its value is that of the snapshot", p)
				}
			}
			in := &rds.RestoreDBInstanceFromDBSnapshotInput{}
			later := []string{"EngineVersion", "PreferredMaintenanceWindow"}
			if err := fillDatabase(in, &in.Settings, c, later...); err != nil {
				return "", err
			}
			in.DBInstanceIdentifier, in.DBSnapshotIdentifier, in.Tags = id, from, rdsTags(c)
			if _, err := rds.RestoreDBInstanceFromDBSnapshot(tx, in); err != nil {
				return "", err
			}
			if slices.ContainsFunc(later, c.props.has) {
				c.data()["modify"] = "true"
			}
			return id, nil
		},
		update: func(tx *core.Tx, c *call) error {
			d := tx.Region.DBInstances[c.id]
			if d == nil {
				return wire.Errorf("DBInstanceNotFound", "DBInstance %s not found.", c.id)
			}
			for k := range c.props {
				if k != "Tags" && c.changed(k) {
					c.data()["modify"] = "true"
				}
			}
			return retagRDS(tx, c, d.ARN, d.Tags)
		},
		stable: func(tx *core.Tx, c *call) (bool, error) {
			d := tx.Region.DBInstances[c.id]
			switch {
			case d == nil:
				return false, wire.Errorf("DBInstanceNotFound", "DBInstance %s not found.", c.id)
			case d.Status == "failed":
				return false, reasonf("DB Instance is in state: failed: %s", d.Problem)
			case d.Status != "available":
				return false, nil
			case c.data()["modify"] != "":
				delete(c.data(), "modify")
				return false, modifyDatabase(tx, c, d)
			}
			return true, nil
		},
		remove: func(tx *core.Tx, c *call) error {
			d := tx.Region.DBInstances[c.id]
			if d == nil || d.Status == "deleting" {
				return nil
			}
			skip := true
			in := &rds.DeleteDBInstanceInput{DBInstanceIdentifier: c.id, SkipFinalSnapshot: &skip}
			// One that never came up has nothing to save.
			if c.snapshot && d.Status != "creating" && d.Status != "failed" {
				skip = false
				if c.data()["final"] == "" {
					c.data()["final"] = c.finalSnapshot()
				}
				in.FinalDBSnapshotIdentifier = c.data()["final"]
			}
			_, err := rds.DeleteDBInstance(tx, in)
			return err
		},
		gone: func(tx *core.Tx, c *call) (bool, error) { return tx.Region.DBInstances[c.id] == nil, nil },
		attributes: func(tx *core.Tx, c *call) map[string]any {
			out, err := rds.DescribeDBInstances(tx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: c.id})
			if err != nil || out.DBInstances[0].Endpoint == nil {
				return nil
			}
			d := out.DBInstances[0]
			return map[string]any{
				"DBInstanceArn": d.DBInstanceArn, "DbiResourceId": d.DbiResourceId, "DBInstanceStatus": d.DBInstanceStatus,
				"Endpoint.Address": d.Endpoint.Address, "Endpoint.Port": strconv.FormatInt(d.Endpoint.Port, 10), "Endpoint.HostedZoneId": d.Endpoint.HostedZoneId,
				"CertificateDetails.CAIdentifier": d.CACertificateIdentifier, "InstanceCreateTime": wire.Time(d.InstanceCreateTime),
			}
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			d := tx.Region.DBInstances[c.id]
			if d == nil {
				return nil, false
			}
			out := map[string]any{
				"AllocatedStorage": strconv.FormatInt(d.StorageGiB, 10), "BackupRetentionPeriod": float64(d.Retention), "DBInstanceClass": d.Class,
				"DeletionProtection": d.Protected, "MultiAZ": d.MultiAZ, "PubliclyAccessible": d.Public, "StorageType": d.StorageType,
			}
			maps.DeleteFunc(out, func(k string, _ any) bool { return !c.props.has(k) })
			return out, true
		},
	}
}

func modifyDatabase(tx *core.Tx, c *call, d *state.DBInstance) error {
	yes := true
	in := &rds.ModifyDBInstanceInput{}
	without := append([]string{"AvailabilityZone", "Engine", "Port", "DBSubnetGroupName"}, inherited...)
	if err := fillDatabase(in, &in.Settings, c, without...); err != nil {
		return err
	}
	in.DBInstanceIdentifier, in.ApplyImmediately = c.id, &yes
	in.AllowMajorVersionUpgrade, in.DBPortNumber = c.props.flag("AllowMajorVersionUpgrade"), c.props.number("Port")
	if p := c.props.text("MasterUserPassword"); p != d.Password {
		in.MasterUserPassword = p
	}
	_, err := rds.ModifyDBInstance(tx, in)
	return err
}

func subnetGroupHandler() *handler {
	fill := func(c *call, name string) *rds.SubnetGroupInput {
		return &rds.SubnetGroupInput{DBSubnetGroupName: name, DBSubnetGroupDescription: c.props.text("DBSubnetGroupDescription"), SubnetIds: c.props.texts("SubnetIds")}
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			in := fill(c, strings.ToLower(c.named("DBSubnetGroupName", 255)))
			in.Tags = rdsTags(c)
			out, err := rds.CreateDBSubnetGroup(tx, in)
			if err != nil {
				return "", err
			}
			return out.DBSubnetGroup.DBSubnetGroupName, nil
		},
		update: func(tx *core.Tx, c *call) error {
			if _, err := rds.ModifyDBSubnetGroup(tx, fill(c, c.id)); err != nil {
				return err
			}
			g := tx.Region.DBSubnetGroups[c.id]
			return retagRDS(tx, c, g.ARN, g.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := rds.DeleteDBSubnetGroup(tx, &rds.DeleteDBSubnetGroupInput{DBSubnetGroupName: c.id})
			return err
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.DBSubnetGroups[c.id]
			if g == nil {
				return nil, false
			}
			return map[string]any{"DBSubnetGroupDescription": g.Description}, true
		},
	}
}

func parameterGroupHandler() *handler {
	set := func(tx *core.Tx, c *call) error {
		want := c.props.sub("Parameters")
		in := &rds.ModifyDBParameterGroupInput{DBParameterGroupName: c.id}
		for _, k := range slices.Sorted(maps.Keys(want)) {
			in.Parameters = append(in.Parameters, rds.Parameter{ParameterName: k, ParameterValue: want.text(k), ApplyMethod: "pending-reboot"})
		}
		var gone []rds.Parameter
		for k := range c.old.sub("Parameters") {
			if !want.has(k) {
				gone = append(gone, rds.Parameter{ParameterName: k})
			}
		}
		if len(gone) > 0 {
			if _, err := rds.ResetDBParameterGroup(tx, &rds.ResetDBParameterGroupInput{DBParameterGroupName: c.id, Parameters: gone}); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(in.Parameters, 20) {
			if _, err := rds.ModifyDBParameterGroup(tx, &rds.ModifyDBParameterGroupInput{DBParameterGroupName: c.id, Parameters: part}); err != nil {
				return err
			}
		}
		return nil
	}
	return &handler{
		create: func(tx *core.Tx, c *call) (string, error) {
			out, err := rds.CreateDBParameterGroup(tx, &rds.CreateDBParameterGroupInput{
				DBParameterGroupName: strings.ToLower(c.named("DBParameterGroupName", 255)), DBParameterGroupFamily: c.props.text("Family"),
				Description: c.props.text("Description"), Tags: rdsTags(c),
			})
			if err != nil {
				return "", err
			}
			c.id = out.DBParameterGroup.DBParameterGroupName
			return c.id, set(tx, c)
		},
		update: func(tx *core.Tx, c *call) error {
			g := tx.Region.DBParameterGroups[c.id]
			if g == nil {
				return wire.Errorf("DBParameterGroupNotFound", "DBParameterGroup not found: %s", c.id)
			}
			if err := set(tx, c); err != nil {
				return err
			}
			return retagRDS(tx, c, g.ARN, g.Tags)
		},
		remove: func(tx *core.Tx, c *call) error {
			_, err := rds.DeleteDBParameterGroup(tx, &rds.DeleteDBParameterGroupInput{DBParameterGroupName: c.id})
			return err
		},
		live: func(tx *core.Tx, c *call) (map[string]any, bool) {
			g := tx.Region.DBParameterGroups[c.id]
			if g == nil {
				return nil, false
			}
			out := map[string]any{}
			if c.props.has("Parameters") {
				set := map[string]any{}
				for k, v := range g.Parameters {
					set[k] = v
				}
				out["Parameters"] = set
			}
			return out, true
		},
	}
}
