package clients_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime/memory"
)

// until asks again and again, as a person does, until the answer is the wanted one.
func until(t *testing.T, want string, ask func() string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = ask(); got == want {
			return
		}
	}
	require.Equal(t, want, got)
}

// site gives the account an image that serves a page.
func site(t *testing.T, l *lab.Lab, key string) string {
	t.Helper()
	require.NoError(t, l.Memory().AddImage(key, memory.Site("Hello World", key)))
	id, err := l.AddImage(region, "web-"+key, key, nil)
	require.NoError(t, err)
	return id
}

// What the chain does, done by a person with the aws CLI alone: the committed
// template is brought up, signalled, grown, shrunk, updated, rolled back, deleted.
func TestStoryByHand(t *testing.T) {
	t.Parallel()
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 10 }) // PauseTime is then 90 s, enough for a person
	aws := newCLI(t, "1", l)
	one, two := site(t, l, "one"), site(t, l, "two")
	template, err := os.ReadFile(filepath.Join("..", "..", "cloudformation", "web", "production.eu-west-1.yaml"))
	require.NoError(t, err)
	body := "file://" + aws.file(t, "web.yaml", string(template))
	cfn := func(args ...string) string {
		t.Helper()
		return aws.ok(t, append([]string{"cloudformation"}, args...)...)
	}
	status := func() string {
		for _, s := range l.Status().Stacks {
			return s.Status
		}
		return "DELETE_COMPLETE"
	}
	group := func() string {
		t.Helper()
		return aws.text(t, "StackResourceDetail.PhysicalResourceId", "cloudformation", "describe-stack-resource", "--stack-name", "web", "--logical-resource-id", "Group")
	}
	// fresh are the instances in service that nobody has signalled yet. What is
	// asked for again and again is asked of the lab itself, for the CLI is slow.
	signalled := map[string]bool{}
	fresh := func() []string {
		var ids []string
		l.Core().View(region, func(tx *core.Tx) {
			for _, g := range tx.Region.Groups {
				for _, i := range g.Members {
					if i.Lifecycle == "InService" && !signalled[i.ID] {
						ids = append(ids, i.ID)
					}
				}
			}
		})
		return ids
	}
	old := func() {
		for _, id := range fresh() {
			signalled[id] = true
		}
	}
	// signal waits for two of them and signals so many as a word for each is given.
	signal := func(words ...string) {
		t.Helper()
		var ids []string
		until(t, "2", func() string { ids = fresh(); return strconv.Itoa(len(ids)) })
		for k, word := range words {
			id := ids[k]
			signalled[id] = true
			cfn("signal-resource", "--stack-name", "web", "--logical-resource-id", "Group", "--unique-id", id, "--status", word)
		}
	}
	parameters := func(image string) []string {
		return []string{
			"--parameters", "ParameterKey=ImageId,ParameterValue=" + image,
			"ParameterKey=InstanceType,ParameterValue=t3.micro", "ParameterKey=DesiredCapacity,ParameterValue=2", "ParameterKey=MinSize,ParameterValue=2", "ParameterKey=MaxSize,ParameterValue=4",
			"ParameterKey=Domain,ParameterValue=www.hello.example", "ParameterKey=ZoneName,ParameterValue=hello.example", "ParameterKey=Certificate,ParameterValue=",
		}
	}
	changeSet := func(name, kind, image string) {
		t.Helper()
		cfn(append([]string{"create-change-set", "--stack-name", "web", "--change-set-name", name, "--change-set-type", kind, "--template-body", body}, parameters(image)...)...)
		cfn("wait", "change-set-create-complete", "--stack-name", "web", "--change-set-name", name)
	}

	// Create: the group waits for a signal of each instance, and gets it by hand.
	cfn("validate-template", "--template-body", body)
	changeSet("begin", "CREATE", one)
	assert.Equal(t, "REVIEW_IN_PROGRESS", status())
	assert.Contains(t, aws.text(t, "Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType]", "cloudformation", "describe-change-set", "--stack-name", "web", "--change-set-name", "begin"),
		"Add\tGroup\tAWS::AutoScaling::AutoScalingGroup")
	assert.Equal(t, "begin\tAVAILABLE\tCREATE_COMPLETE", aws.text(t, "Summaries[].[ChangeSetName,ExecutionStatus,Status]", "cloudformation", "list-change-sets", "--stack-name", "web"))
	cfn("execute-change-set", "--stack-name", "web", "--change-set-name", "begin", "--client-request-token", "by-hand-1")
	cfn("wait", "stack-exists", "--stack-name", "web")
	signal("SUCCESS", "SUCCESS")
	until(t, "CREATE_COMPLETE", status)
	cfn("wait", "stack-create-complete", "--stack-name", "web")
	events := aws.text(t, "StackEvents[].[LogicalResourceId,ResourceStatus,ResourceStatusReason,ClientRequestToken]", "cloudformation", "describe-stack-events", "--stack-name", "web")
	assert.Contains(t, events, "Group\tCREATE_IN_PROGRESS\tReceived SUCCESS signal with UniqueId i-")
	assert.Contains(t, events, "web\tCREATE_COMPLETE\tNone\tby-hand-1")

	// What stands now, seen from each service.
	targets := aws.text(t, "TargetGroups[0].TargetGroupArn", "elbv2", "describe-target-groups")
	until(t, "healthy healthy", func() string {
		return strings.Join(strings.Fields(aws.text(t, "TargetHealthDescriptions[].TargetHealth.State", "elbv2", "describe-target-health", "--target-group-arn", targets)), " ")
	})
	aws.ok(t, "elbv2", "wait", "target-in-service", "--target-group-arn", targets)
	aws.ok(t, "elbv2", "wait", "load-balancer-available")
	assert.Equal(t, "network\tinternet-facing\tactive", aws.text(t, "LoadBalancers[].[Type,Scheme,State.Code]", "elbv2", "describe-load-balancers"))
	addresses := aws.text(t, "sort(Addresses[].PublicIp)", "ec2", "describe-addresses")
	zone := aws.text(t, "HostedZones[0].Id", "route53", "list-hosted-zones-by-name", "--dns-name", "hello.example", "--max-items", "1")
	assert.Equal(t, addresses, aws.text(t, "sort(ResourceRecordSets[?Name=='www.hello.example.'].ResourceRecords[][].Value)", "route53", "list-resource-record-sets", "--hosted-zone-id", zone))
	name := group()
	assert.Equal(t, "2\t2\t4", aws.text(t, "AutoScalingGroups[0].[DesiredCapacity,MinSize,MaxSize]", "autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", name))
	assert.Equal(t, "Successful\tSuccessful", aws.text(t, "Activities[].StatusCode", "autoscaling", "describe-scaling-activities", "--auto-scaling-group-name", name))
	alarms := aws.text(t, "length(MetricAlarms)", "cloudwatch", "describe-alarms", "--alarm-name-prefix", "web-")
	assert.NotEqual(t, "0", alarms)

	// Capacity by hand, one instance away, and its drain that a hook holds back.
	aws.ok(t, "autoscaling", "set-desired-capacity", "--auto-scaling-group-name", name, "--desired-capacity", "3")
	until(t, "3", func() string {
		return aws.text(t, "length(AutoScalingGroups[0].Instances[?LifecycleState=='InService'])", "autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", name)
	})
	assert.Equal(t, "drain\tautoscaling:EC2_INSTANCE_TERMINATING\t180\tCONTINUE", aws.text(t, "LifecycleHooks[].[LifecycleHookName,LifecycleTransition,HeartbeatTimeout,DefaultResult]", "autoscaling", "describe-lifecycle-hooks", "--auto-scaling-group-name", name))
	gone := fresh()[0]
	aws.ok(t, "autoscaling", "terminate-instance-in-auto-scaling-group", "--instance-id", gone, "--should-decrement-desired-capacity")
	until(t, "Terminating:Wait", func() string {
		var state string
		l.Core().View(region, func(tx *core.Tx) {
			for _, m := range tx.Region.Groups[name].Members {
				if m.ID == gone {
					state = m.Lifecycle
				}
			}
		})
		return state
	})
	aws.ok(t, "autoscaling", "record-lifecycle-action-heartbeat", "--auto-scaling-group-name", name, "--lifecycle-hook-name", "drain", "--instance-id", gone)
	assert.Equal(t, "Terminating:Wait", aws.text(t, "AutoScalingInstances[].LifecycleState", "autoscaling", "describe-auto-scaling-instances", "--instance-ids", gone))
	aws.ok(t, "autoscaling", "complete-lifecycle-action", "--auto-scaling-group-name", name, "--lifecycle-hook-name", "drain", "--instance-id", gone, "--lifecycle-action-result", "CONTINUE")
	until(t, "terminated", func() string {
		return aws.text(t, "Reservations[].Instances[].State.Name", "ec2", "describe-instances", "--instance-ids", gone)
	})
	aws.ok(t, "elbv2", "wait", "target-deregistered", "--target-group-arn", targets, "--targets", "Id="+gone)
	aws.ok(t, "autoscaling", "suspend-processes", "--auto-scaling-group-name", name, "--scaling-processes", "AlarmNotification")
	aws.ok(t, "autoscaling", "resume-processes", "--auto-scaling-group-name", name)

	// An update that its first instance fails: CloudFormation goes back by itself.
	changeSet("worse", "UPDATE", two)
	assert.Contains(t, aws.text(t, "Changes[].ResourceChange.[Action,LogicalResourceId,Replacement]", "cloudformation", "describe-change-set", "--stack-name", "web", "--change-set-name", "worse"), "Modify\tLaunchTemplate\tFalse")
	old()
	cfn("execute-change-set", "--stack-name", "web", "--change-set-name", "worse")
	signal("FAILURE")
	until(t, "UPDATE_ROLLBACK_COMPLETE", status)
	cfn("wait", "stack-rollback-complete", "--stack-name", "web")
	r := aws.run(t, "cloudformation", "wait", "stack-update-complete", "--stack-name", "web")
	assert.Equal(t, 255, r.code)
	assert.Contains(t, r.err, `Waiter StackUpdateComplete failed`)
	assert.Contains(t, r.err, `"UPDATE_ROLLBACK_COMPLETE"`)
	assert.Contains(t, aws.text(t, "StackEvents[].[LogicalResourceId,ResourceStatus,ResourceStatusReason]", "cloudformation", "describe-stack-events", "--stack-name", "web", "--max-items", "40"),
		"Group\tUPDATE_FAILED\tReceived 1 FAILURE signal(s) out of 2.  Unable to satisfy 100% MinSuccessfulInstancesPercent requirement")

	// The same, and this time both say that they are well.
	changeSet("better", "UPDATE", two)
	old()
	cfn("execute-change-set", "--stack-name", "web", "--change-set-name", "better")
	signal("SUCCESS", "SUCCESS")
	until(t, "UPDATE_COMPLETE", status)
	cfn("wait", "stack-update-complete", "--stack-name", "web")
	assert.Equal(t, two, aws.text(t, "Stacks[0].Parameters[?ParameterKey=='ImageId'].ParameterValue", "cloudformation", "describe-stacks", "--stack-name", "web"))

	// Drift, and what there is to read.
	detection := aws.text(t, "StackDriftDetectionId", "cloudformation", "detect-stack-drift", "--stack-name", "web")
	until(t, "DETECTION_COMPLETE", func() string {
		return aws.text(t, "DetectionStatus", "cloudformation", "describe-stack-drift-detection-status", "--stack-drift-detection-id", detection)
	})
	var got struct{ TemplateBody string }
	aws.json(t, &got, "cloudformation", "get-template", "--stack-name", "web", "--template-stage", "Original")
	assert.Equal(t, string(template), got.TemplateBody)
	assert.Contains(t, aws.text(t, "StackResourceSummaries[].[LogicalResourceId,ResourceStatus]", "cloudformation", "list-stack-resources", "--stack-name", "web"), "Group\tUPDATE_COMPLETE")

	// Nothing changes: a change set says so by failing.
	cfn(append([]string{"create-change-set", "--stack-name", "web", "--change-set-name", "none", "--template-body", body}, parameters(two)...)...)
	r = aws.run(t, "cloudformation", "wait", "change-set-create-complete", "--stack-name", "web", "--change-set-name", "none")
	assert.Equal(t, 255, r.code)
	assert.Contains(t, r.err, "Waiter ChangeSetCreateComplete failed")
	assert.Contains(t, aws.text(t, "[Status,StatusReason]", "cloudformation", "describe-change-set", "--stack-name", "web", "--change-set-name", "none"), "FAILED\t")
	cfn("delete-change-set", "--stack-name", "web", "--change-set-name", "none")

	// Away with it: protected first.
	cfn("update-termination-protection", "--stack-name", "web", "--enable-termination-protection")
	aws.fails(t, "Stack [web] cannot be deleted while TerminationProtection is enabled", "cloudformation", "delete-stack", "--stack-name", "web")
	cfn("update-termination-protection", "--stack-name", "web", "--no-enable-termination-protection")
	id := aws.text(t, "Stacks[0].StackId", "cloudformation", "describe-stacks", "--stack-name", "web")
	cfn("delete-stack", "--stack-name", "web")
	until(t, "DELETE_COMPLETE", status)
	assert.Equal(t, "DELETE_COMPLETE", aws.text(t, "Stacks[0].StackStatus", "cloudformation", "describe-stacks", "--stack-name", id), "it can still be read by its id")
	cfn("wait", "stack-delete-complete", "--stack-name", "web")
	assert.Equal(t, "0", aws.text(t, "length(Reservations[].Instances[?State.Name!='terminated'][])", "ec2", "describe-instances"))
	assert.Equal(t, "0", aws.text(t, "length(Addresses)", "ec2", "describe-addresses"))
}

// A machine by hand, from an image to an image of its own and away again.
func TestMachineByHand(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	aws := newCLI(t, "1", l)
	debian := aws.text(t, "sort_by(Images, &CreationDate)[-1].ImageId", "ec2", "describe-images", "--owners", "136693071363", "--filters", "Name=name,Values=debian-12-amd64-*", "Name=state,Values=available")
	assert.Equal(t, l.BaseImage(region), debian)
	assert.True(t, strings.HasPrefix(aws.text(t, "KeyMaterial", "ec2", "create-key-pair", "--key-name", "mine"), "-----BEGIN RSA PRIVATE KEY-----"))
	open := aws.text(t, "GroupId", "ec2", "create-security-group", "--group-name", "open", "--description", "ssh")
	aws.ok(t, "ec2", "authorize-security-group-ingress", "--group-id", open, "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0")
	id := aws.text(t, "Instances[0].InstanceId", "ec2", "run-instances", "--image-id", debian, "--instance-type", "t3.micro", "--key-name", "mine", "--security-group-ids", open,
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=by hand}]", "--user-data", "#cloud-config", "--metadata-options", "HttpTokens=required")
	aws.ok(t, "ec2", "wait", "instance-exists", "--instance-ids", id)
	until(t, "running", func() string {
		return aws.text(t, "Reservations[].Instances[].State.Name", "ec2", "describe-instances", "--filters", "Name=tag:Name,Values=by hand")
	})
	aws.ok(t, "ec2", "wait", "instance-running", "--instance-ids", id)
	until(t, "ok\tok", func() string {
		return aws.text(t, "InstanceStatuses[].[InstanceStatus.Status,SystemStatus.Status]", "ec2", "describe-instance-status", "--instance-ids", id)
	})
	aws.ok(t, "ec2", "wait", "instance-status-ok", "--instance-ids", id)
	assert.Contains(t, aws.ok(t, "ec2", "get-console-output", "--instance-id", id, "--latest", "--output", "text"), id)
	aws.fails(t, "(DependencyViolation) when calling the DeleteSecurityGroup operation: resource "+open+" has a dependent object", "ec2", "delete-security-group", "--group-id", open)

	assert.Equal(t, "running\tstopping", aws.text(t, "StoppingInstances[0].[PreviousState.Name,CurrentState.Name]", "ec2", "stop-instances", "--instance-ids", id))
	until(t, "stopped", func() string {
		return aws.text(t, "Reservations[].Instances[].State.Name", "ec2", "describe-instances", "--instance-ids", id)
	})
	aws.ok(t, "ec2", "wait", "instance-stopped", "--instance-ids", id)
	image := aws.text(t, "ImageId", "ec2", "create-image", "--instance-id", id, "--name", "by-hand", "--description", "made by hand",
		"--tag-specifications", "ResourceType=image,Tags=[{Key=role,Value=web}]", "ResourceType=snapshot,Tags=[{Key=role,Value=web}]")
	until(t, "available", func() string {
		return aws.text(t, "Images[].State", "ec2", "describe-images", "--image-ids", image)
	})
	aws.ok(t, "ec2", "wait", "image-available", "--image-ids", image)
	aws.fails(t, "(InvalidAMIName.Duplicate)", "ec2", "create-image", "--instance-id", id, "--name", "by-hand")
	assert.Equal(t, image, aws.text(t, "Images[].ImageId", "ec2", "describe-images", "--owners", "self", "--filters", "Name=tag:role,Values=web"))
	snapshot := aws.text(t, "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId", "ec2", "describe-images", "--image-ids", image)
	aws.ok(t, "ec2", "wait", "snapshot-completed", "--snapshot-ids", snapshot)
	assert.Equal(t, "role\tweb\nrole\tweb", aws.text(t, "Tags[].[Key,Value]", "ec2", "describe-tags", "--filters", "Name=resource-id,Values="+image+","+snapshot))
	aws.fails(t, "(InvalidSnapshot.InUse)", "ec2", "delete-snapshot", "--snapshot-id", snapshot)
	aws.ok(t, "ec2", "deregister-image", "--image-id", image)
	aws.ok(t, "ec2", "delete-snapshot", "--snapshot-id", snapshot)
	assert.Equal(t, "0", aws.text(t, "length(Images)", "ec2", "describe-images", "--owners", "self"))

	aws.ok(t, "ec2", "terminate-instances", "--instance-ids", id)
	until(t, "0", func() string {
		return aws.text(t, "length(Reservations[].Instances[?State.Name!='terminated'][])", "ec2", "describe-instances")
	})
	aws.ok(t, "ec2", "delete-key-pair", "--key-name", "mine")
	aws.ok(t, "ec2", "delete-security-group", "--group-id", open)
	aws.fails(t, "(DryRunOperation) when calling the RunInstances operation: Request would have succeeded, but DryRun flag is set.", "ec2", "run-instances", "--image-id", debian, "--dry-run")
}

// What outlives machines, by hand: a volume that is lent to one, and a database
// that is taken back from its last snapshot.
func TestDataByHand(t *testing.T) {
	t.Parallel()
	l := lab.Start(t, func(o *lab.Options) { o.Factor = 1000 }) // the CLI asks again after 15 s and 30 s only
	aws := newCLI(t, "1", l)
	id := aws.text(t, "Instances[0].InstanceId", "ec2", "run-instances", "--image-id", l.BaseImage(region), "--placement", "AvailabilityZone=eu-west-1a")
	volume := aws.text(t, "VolumeId", "ec2", "create-volume", "--availability-zone", "eu-west-1a", "--size", "8", "--volume-type", "gp3")
	aws.ok(t, "ec2", "wait", "instance-running", "--instance-ids", id)
	aws.ok(t, "ec2", "attach-volume", "--volume-id", volume, "--instance-id", id, "--device", "/dev/sdf")
	aws.ok(t, "ec2", "wait", "volume-in-use", "--volume-ids", volume)
	assert.Equal(t, "3000\t125\t"+id, aws.text(t, "Volumes[0].[Iops,Throughput,Attachments[0].InstanceId]", "ec2", "describe-volumes", "--volume-ids", volume))
	aws.fails(t, "(VolumeInUse)", "ec2", "delete-volume", "--volume-id", volume)
	aws.ok(t, "ec2", "detach-volume", "--volume-id", volume)
	aws.ok(t, "ec2", "wait", "volume-available", "--volume-ids", volume)
	aws.ok(t, "ec2", "delete-volume", "--volume-id", volume)

	db := func(args ...string) string {
		t.Helper()
		return aws.ok(t, append([]string{"rds"}, args...)...)
	}
	db("create-db-instance", "--db-instance-identifier", "one", "--engine", "postgres", "--db-instance-class", "db.t4g.small",
		"--allocated-storage", "20", "--master-username", "chain", "--master-user-password", "not-a-good-one")
	db("wait", "db-instance-available", "--db-instance-identifier", "one")
	db("delete-db-instance", "--db-instance-identifier", "one", "--final-db-snapshot-identifier", "last")
	db("wait", "db-instance-deleted", "--db-instance-identifier", "one")
	db("wait", "db-snapshot-available", "--db-snapshot-identifier", "last")
	db("restore-db-instance-from-db-snapshot", "--db-instance-identifier", "two", "--db-snapshot-identifier", "last")
	db("wait", "db-instance-available", "--db-instance-identifier", "two")
	assert.Equal(t, "two\tchain\t20", aws.text(t, "DBInstances[].[DBInstanceIdentifier,MasterUsername,AllocatedStorage]", "rds", "describe-db-instances"))
	assert.Equal(t, "last\tmanual\tone", aws.text(t, "DBSnapshots[].[DBSnapshotIdentifier,SnapshotType,DBInstanceIdentifier]", "rds", "describe-db-snapshots"))
}

// CloudWatch, to which each generation speaks a protocol of its own, and every
// output format.
func TestCloudWatchAndFormats(t *testing.T) {
	generations(t, func(t *testing.T, _ *lab.Lab, aws *cli) {
		aws.ok(t, "cloudwatch", "put-metric-alarm", "--alarm-name", "slow", "--namespace", "Site", "--metric-name", "Time", "--statistic", "Average", "--period", "60", "--evaluation-periods", "1",
			"--threshold", "1.5", "--comparison-operator", "GreaterThanThreshold", "--treat-missing-data", "ignore", "--dimensions", "Name=Page,Value=/", "--tags", "Key=role,Value=web")
		aws.ok(t, "cloudwatch", "set-alarm-state", "--alarm-name", "slow", "--state-value", "ALARM", "--state-reason", "a person says so")
		assert.Equal(t, "slow\tALARM\ta person says so\t1.5", aws.text(t, "MetricAlarms[].[AlarmName,StateValue,StateReason,Threshold]", "cloudwatch", "describe-alarms", "--alarm-names", "slow", "--state-value", "ALARM"))
		var alarms struct {
			MetricAlarms []struct {
				AlarmConfigurationUpdatedTimestamp any
				Threshold                          float64
				ActionsEnabled                     bool
				Dimensions                         []struct{ Name, Value string }
			}
		}
		aws.json(t, &alarms, "cloudwatch", "describe-alarms")
		require.Len(t, alarms.MetricAlarms, 1)
		assert.True(t, alarms.MetricAlarms[0].ActionsEnabled)
		assert.Equal(t, "/", alarms.MetricAlarms[0].Dimensions[0].Value)
		assert.NotEmpty(t, alarms.MetricAlarms[0].AlarmConfigurationUpdatedTimestamp)
		aws.ok(t, "cloudwatch", "wait", "alarm-exists", "--alarm-names", "slow")
		aws.ok(t, "cloudwatch", "put-metric-data", "--namespace", "Site", "--metric-name", "Time", "--value", "3", "--dimensions", "Page=/")
		data := `[{"Id":"m","MetricStat":{"Metric":{"Namespace":"Site","MetricName":"Time","Dimensions":[{"Name":"Page","Value":"/"}]},"Period":3600,"Stat":"Maximum"}}]`
		day := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(time.RFC3339) }
		assert.Equal(t, "3.0", aws.text(t, "MetricDataResults[].Values[]", "cloudwatch", "get-metric-data", "--metric-data-queries", data, "--start-time", day(-2*time.Hour), "--end-time", day(time.Hour)))
		aws.ok(t, "cloudwatch", "put-dashboard", "--dashboard-name", "site", "--dashboard-body", `{"widgets":[]}`)
		assert.Equal(t, `{"widgets":[]}`, aws.text(t, "DashboardBody", "cloudwatch", "get-dashboard", "--dashboard-name", "site"))
		aws.ok(t, "cloudwatch", "delete-alarms", "--alarm-names", "slow")
		assert.Equal(t, "0", aws.text(t, "length(MetricAlarms)", "cloudwatch", "describe-alarms"))

		assert.Contains(t, aws.ok(t, "ec2", "describe-availability-zones", "--output", "table"), "|  eu-west-1a  |")
		if aws.generation == "2" {
			assert.Contains(t, aws.ok(t, "ec2", "describe-regions", "--region-names", region, "--output", "yaml"), "RegionName: eu-west-1")
			assert.Contains(t, aws.ok(t, "ec2", "describe-regions", "--region-names", region, "--output", "yaml-stream"), "RegionName: eu-west-1")
		}
	})
}

// The other services.
func TestServices(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	aws := newCLI(t, "1", l)
	assert.Equal(t, lab.Account, aws.text(t, "Account", "sts", "get-caller-identity"))

	arn := aws.text(t, "TopicArn", "sns", "create-topic", "--name", "alarms", "--tags", "Key=role,Value=web")
	assert.Equal(t, "pending confirmation", aws.text(t, "SubscriptionArn", "sns", "subscribe", "--topic-arn", arn, "--protocol", "email", "--notification-endpoint", "ops@example.com"))
	aws.ok(t, "sns", "publish", "--topic-arn", arn, "--subject", "hello", "--message", "a & b < c")
	assert.Equal(t, "0\t1", aws.text(t, "Attributes.[SubscriptionsConfirmed,SubscriptionsPending]", "sns", "get-topic-attributes", "--topic-arn", arn))

	assert.Equal(t, "1", aws.text(t, "Version", "ssm", "put-parameter", "--name", "/site/image", "--type", "String", "--value", "naïve ☃"))
	assert.Equal(t, "naïve ☃", aws.text(t, "Parameter.Value", "ssm", "get-parameter", "--name", "/site/image"))
	assert.Equal(t, "/none", aws.text(t, "InvalidParameters[]", "ssm", "get-parameters", "--names", "/site/image", "/none"))

	aws.ok(t, "iam", "create-role", "--role-name", "builder", "--assume-role-policy-document", `{"Version":"2012-10-17","Statement":[]}`)
	assert.Equal(t, "2012-10-17", aws.text(t, "Role.AssumeRolePolicyDocument.Version", "iam", "get-role", "--role-name", "builder"), "a policy comes back as a document")
	aws.ok(t, "iam", "delete-role", "--role-name", "builder")

	aws.ok(t, "logs", "create-log-group", "--log-group-name", "/site/access")
	aws.ok(t, "logs", "put-retention-policy", "--log-group-name", "/site/access", "--retention-in-days", "30")
	assert.Equal(t, "/site/access\t30", aws.text(t, "logGroups[].[logGroupName,retentionInDays]", "logs", "describe-log-groups", "--log-group-name-prefix", "/site"))

	zone := aws.text(t, "HostedZones[?Name=='hello.example.'].Id | [0]", "route53", "list-hosted-zones")
	change := aws.text(t, "ChangeInfo.Id", "route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch",
		`{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"old.hello.example","Type":"A","TTL":60,"ResourceRecords":[{"Value":"192.0.2.1"}]}}]}`)
	until(t, "INSYNC", func() string { return aws.text(t, "ChangeInfo.Status", "route53", "get-change", "--id", change) })
	aws.ok(t, "route53", "wait", "resource-record-sets-changed", "--id", change)
}
