package template

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/awslabs/goformation/v7/cloudformation/ec2"
	"github.com/awslabs/goformation/v7/cloudformation/rds"

	"github.com/build-deploy-chain/chain/pkg/config"
)

// Logical ids and parameters of a database that others ask for.
const (
	DatabaseID = "Database"
	// SnapshotID is the parameter that names the snapshot a database is restored
	// from. It has to stay what it was when the database was made: without it, or
	// with another, CloudFormation makes another database and removes this one.
	SnapshotID = "DBSnapshotIdentifier"
	// DatabaseClass is the parameter without whose value there is no database.
	DatabaseClass = "DatabaseClass"
	// DatabasePassword is the parameter that names the secure string of the
	// parameter store with a new database's password.
	DatabasePassword = "DatabasePassword"

	hasDatabase, restoresDatabase = "HasDatabase", "RestoresDatabase"
	databasePort                  = 5432
)

// DatabaseUser and DatabaseName are those of a database that was not restored.
const (
	DatabaseUser = "chain"
	DatabaseName = "site"
)

func databaseParameters(t *Template) {
	t.Parameters = append(t.Parameters,
		Parameter{ID: DatabaseClass, Type: "String", AllowedPattern: `(db\.[a-z0-9.-]+)?`, ConstraintDescription: "a class such as db.t4g.small", Description: "Class of the database, or nothing for none"},
		Parameter{ID: "DatabaseStorage", Type: "Number", MinValue: 20, MaxValue: 65536, Description: "Size of the database in GiB; it only grows"},
		Parameter{ID: "DatabaseVersion", Type: "String", AllowedPattern: `[0-9.]+`, ConstraintDescription: "a version such as 17", Description: "Version of PostgreSQL"},
		Parameter{ID: "DatabaseMultiAZ", Type: "String", AllowedPattern: `true|false`, ConstraintDescription: "true or false", Description: "Whether the database has a standby in another zone"},
		Parameter{
			ID: DatabasePassword, Type: "String", AllowedPattern: `/[A-Za-z0-9/_.-]+`, ConstraintDescription: "a name that begins with a slash",
			Description: "Name of the secure string in the parameter store that holds a new database's password",
		},
		Parameter{
			ID: SnapshotID, Type: "String", AllowedPattern: `[A-Za-z0-9:-]*`, ConstraintDescription: "the name or ARN of a snapshot",
			Description: "Snapshot that the database is restored from, or nothing; it stays what it was when the database was made",
		},
	)
	t.Conditions = append(t.Conditions,
		Condition{hasDatabase, Not(Equals(Ref(DatabaseClass), ""))},
		Condition{restoresDatabase, Not(Equals(Ref(SnapshotID), ""))},
	)
}

// database is a PostgreSQL database that the instances reach and nobody else:
// its subnets have no route to the internet.
func database(t *Template, s Shape) {
	add := func(id string, p Properties) *Resource {
		r := t.Add(id, p)
		r.Condition = hasDatabase
		return r
	}
	var subnets []string
	for i := range s.Zones {
		id := fmt.Sprintf("DatabaseSubnet%d", i+1)
		add(id, &ec2.Subnet{
			VpcId: Ref("Vpc"), CidrBlock: new(fmt.Sprintf("10.0.%d.0/24", 100+i)), AvailabilityZone: new(Select(i, GetAZs())),
			MapPublicIpOnLaunch: new(false), Tags: name(fmt.Sprintf("database %d", i+1)),
		})
		subnets = append(subnets, Ref(id))
	}
	add("DatabaseSubnets", &rds.DBSubnetGroup{DBSubnetGroupDescription: "Subnets of the database", SubnetIds: subnets, Tags: name("database")})
	add("DatabaseSecurityGroup", &ec2.SecurityGroup{
		GroupDescription: "Database", VpcId: new(Ref("Vpc")), Tags: name("database"),
		SecurityGroupIngress: []ec2.SecurityGroup_Ingress{{
			Description: new("The instances alone"), IpProtocol: "tcp", FromPort: new(databasePort), ToPort: new(databasePort),
			SourceSecurityGroupId: new(GetAtt("InstanceSecurityGroup", "GroupId")),
		}},
		SecurityGroupEgress: []ec2.SecurityGroup_Egress{{Description: new("Nowhere"), IpProtocol: "-1", CidrIp: new("127.0.0.1/32")}},
	})
	add("DatabaseEgress", &ec2.SecurityGroupEgress{
		GroupId: GetAtt("InstanceSecurityGroup", "GroupId"), Description: new("The database"),
		IpProtocol: "tcp", FromPort: new(databasePort), ToPort: new(databasePort), DestinationSecurityGroupId: new(GetAtt("DatabaseSecurityGroup", "GroupId")),
	})
	// What a snapshot brings along must not be given beside it.
	unlessRestored := func(v any) string { return If(restoresDatabase, Ref("AWS::NoValue"), v) }
	d := add(DatabaseID, &rds.DBInstance{
		Engine: new("postgres"), EngineVersion: new(Ref("DatabaseVersion")), DBInstanceClass: new(Ref(DatabaseClass)),
		AllocatedStorage: new(Ref("DatabaseStorage")), StorageType: new("gp3"),
		DBSnapshotIdentifier: new(If(restoresDatabase, Ref(SnapshotID), Ref("AWS::NoValue"))),
		DBName:               new(unlessRestored(DatabaseName)), MasterUsername: new(unlessRestored(DatabaseUser)),
		// A reference, resolved where the database is made: the password is in no
		// parameter, no template and no event.
		MasterUserPassword: new(unlessRestored(Sub("{{resolve:ssm-secure:${" + DatabasePassword + "}}}"))),
		DBSubnetGroupName:  new(Ref("DatabaseSubnets")), VPCSecurityGroups: []string{GetAtt("DatabaseSecurityGroup", "GroupId")},
		PubliclyAccessible: new(false), BackupRetentionPeriod: new(7), CopyTagsToSnapshot: new(true), Tags: name("database"),
	})
	d.Set = map[string]any{"MultiAZ": Ref("DatabaseMultiAZ"), "StorageEncrypted": unlessRestored(true)}
	d.DeletionPolicy, d.UpdateReplacePolicy = "Snapshot", "Snapshot"
}

func databaseOutputs(t *Template) {
	t.Outputs = append(t.Outputs, Output{ID: "DatabaseEndpoint", Description: "Name of the database", Value: GetAtt(DatabaseID, "Endpoint.Address"), Condition: hasDatabase})
}

// databaseValues are the parameters' values for a new stack.
func databaseValues(e *config.Environment) map[string]string {
	d := e.Database
	return map[string]string{
		DatabaseClass: d.Class, "DatabaseStorage": strconv.Itoa(d.Storage), "DatabaseVersion": d.Version, "DatabaseMultiAZ": strconv.FormatBool(d.MultiAZ),
		DatabasePassword: "/" + e.Site.Name + "/" + e.Name + "/database", SnapshotID: d.Snapshot,
	}
}

// Restored are the resources whose data came from a snapshot, each with what
// names the snapshot and decides about it under these parameter values. A
// difference between two of them, or one without its other, makes the data anew.
func Restored(body []byte, values map[string]string) (map[string]string, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	r := resolver{values, section(t, "Parameters"), section(t, "Conditions")}
	out := map[string]string{}
	resources := section(t, "Resources")
	for _, id := range keys(resources) {
		properties := section(section(resources, id), "Properties")
		for _, name := range []string{"DBSnapshotIdentifier", "SnapshotIdentifier", "DBClusterSnapshotIdentifier"} {
			if v, ok := properties[name]; ok {
				out[id] = r.text(v)
			}
		}
	}
	return out, nil
}

// resolver puts values in the place of references.
type resolver struct {
	values                 map[string]string
	parameters, conditions map[string]any
}

func (r resolver) text(v any) string {
	switch v := r.resolve(v).(type) {
	case string:
		return v
	case nil:
		return ""
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v) // it came from YAML, with keys that JSON cannot have
		}
		return string(b)
	}
}

// resolve is v with its references and conditions resolved, as far as parameters
// alone decide; nil is no value.
func (r resolver) resolve(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = r.resolve(item)
		}
		return out
	case map[string]any:
		switch {
		case v["Ref"] == "AWS::NoValue":
			return nil
		case v["Ref"] != nil:
			name, _ := v["Ref"].(string)
			if value, sent := r.values[name]; sent {
				return value
			}
			if d := section(r.parameters, name)["Default"]; d != nil {
				return fmt.Sprint(d)
			}
			return v
		}
		if arms, ok := v["Fn::If"].([]any); ok && len(arms) == 3 {
			name, _ := arms[0].(string)
			switch r.resolve(r.conditions[name]) {
			case true:
				return r.resolve(arms[1])
			case false:
				return r.resolve(arms[2])
			}
			return map[string]any{"Fn::If": []any{r.resolve(r.conditions[name]), r.resolve(arms[1]), r.resolve(arms[2])}}
		}
		if args, ok := r.resolve(v["Fn::Equals"]).([]any); ok && len(args) == 2 {
			a, isA := args[0].(string)
			b, isB := args[1].(string)
			if isA && isB {
				return a == b
			}
		}
		if args, ok := r.resolve(v["Fn::Not"]).([]any); ok && len(args) == 1 {
			if is, decided := args[0].(bool); decided {
				return !is
			}
		}
		if args, ok := r.resolve(v["Fn::Or"]).([]any); ok {
			switch {
			case slices.Contains(args, any(true)):
				return true
			case len(args) > 0 && !slices.ContainsFunc(args, func(a any) bool { return a != false }):
				return false
			}
		}
		if args, ok := r.resolve(v["Fn::And"]).([]any); ok {
			switch {
			case slices.Contains(args, any(false)):
				return false
			case len(args) > 0 && !slices.ContainsFunc(args, func(a any) bool { return a != true }):
				return true
			}
		}
		if name, ok := v["Condition"].(string); ok && len(v) == 1 {
			return r.resolve(r.conditions[name])
		}
		out := map[string]any{}
		for _, k := range keys(v) {
			out[k] = r.resolve(v[k])
		}
		return out
	}
	return v
}

// Kinds are the types of a template's resources, by logical id.
func Kinds(body []byte) (map[string]string, error) {
	t, err := load(body)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	resources := section(t, "Resources")
	for id := range resources {
		out[id], _ = section(resources, id)["Type"].(string)
	}
	return out, nil
}

// Without are the logical ids that a template's conditions leave out under these
// parameter values. A condition that parameters alone do not decide leaves out nothing.
func Without(body string, values map[string]string) map[string]bool {
	t, err := load([]byte(body))
	if err != nil {
		return nil
	}
	r := resolver{values, section(t, "Parameters"), section(t, "Conditions")}
	out := map[string]bool{}
	resources := section(t, "Resources")
	for id := range resources {
		if c, ok := section(resources, id)["Condition"].(string); ok && r.resolve(r.conditions[c]) == false {
			out[id] = true
		}
	}
	return out
}
