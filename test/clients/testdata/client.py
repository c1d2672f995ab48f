"""What boto3 stands on, used as programs use it: waiters, pages, typed errors, each protocol."""

import datetime
import json

import botocore.config
import botocore.session
from botocore.exceptions import ClientError, WaiterError

session = botocore.session.get_session()
config = botocore.config.Config(retries={"total_max_attempts": 1})


def client(service):
    return session.create_client(service, config=config)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
        assert e.response["ResponseMetadata"]["RequestId"], e
        return e
    raise AssertionError("%s was not refused" % call.__name__)


TEMPLATE = {
    "Parameters": {"Text": {"Type": "String", "Default": "one"}},
    "Resources": {"Topic%02d" % n: {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Text"}}} for n in range(40)},
}

# Stacks: create, update, an update with nothing to do, delete, with its own waiters.
cfn = client("cloudformation")
quick = {"Delay": 1, "MaxAttempts": 60}
cfn.create_stack(StackName="many", TemplateBody=json.dumps(TEMPLATE), ClientRequestToken="first")
cfn.get_waiter("stack_create_complete").wait(StackName="many", WaiterConfig=quick)
cfn.update_stack(StackName="many", UsePreviousTemplate=True, Parameters=[{"ParameterKey": "Text", "ParameterValue": "two"}])
cfn.get_waiter("stack_update_complete").wait(StackName="many", WaiterConfig=quick)
e = refused("ValidationError", cfn.update_stack, StackName="many", UsePreviousTemplate=True, Parameters=[{"ParameterKey": "Text", "UsePreviousValue": True}])
assert "No updates are to be performed." in str(e), e
events = cfn.get_paginator("describe_stack_events").paginate(StackName="many").build_full_result()["StackEvents"]
assert len({e["EventId"] for e in events}) == len(events) > 200, len(events)
assert all(isinstance(e["Timestamp"], datetime.datetime) for e in events)
assert events[-1]["ResourceStatusReason"] == "User Initiated" and events[-1]["ClientRequestToken"] == "first", events[-1]
resources = cfn.get_paginator("list_stack_resources").paginate(StackName="many").build_full_result()["StackResourceSummaries"]
assert len(resources) == 40, len(resources)
topics = client("sns").get_paginator("list_topics").paginate().build_full_result()["Topics"]
assert len(topics) == 40, len(topics)
cfn.create_change_set(StackName="many", ChangeSetName="none", TemplateBody=json.dumps(TEMPLATE), Parameters=[{"ParameterKey": "Text", "ParameterValue": "two"}])
try:
    cfn.get_waiter("change_set_create_complete").wait(StackName="many", ChangeSetName="none", WaiterConfig=quick)
    raise AssertionError("a change set without changes does not become complete")
except WaiterError as e:
    assert e.last_response["Status"] == "FAILED" and "didn't contain changes" in e.last_response["StatusReason"], e.last_response
try:
    cfn.describe_change_set(StackName="many", ChangeSetName="never-made")
    raise AssertionError("there is no such change set")
except cfn.exceptions.ChangeSetNotFoundException:
    pass
cfn.delete_stack(StackName="many")
cfn.get_waiter("stack_delete_complete").wait(StackName="many", WaiterConfig=quick)
refused("ValidationError", cfn.describe_stacks, StackName="many")

# Machines.
ec2 = client("ec2")
image = ec2.describe_images(Owners=["136693071363"])["Images"][0]
run = {"ImageId": image["ImageId"], "MinCount": 3, "MaxCount": 3, "ClientToken": "once"}
ids = [i["InstanceId"] for i in ec2.run_instances(**run)["Instances"]]
assert [i["InstanceId"] for i in ec2.run_instances(**run)["Instances"]] == ids, "a token runs them once"
ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=quick)
pages = list(ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-state-name", "Values": ["running"]}], PaginationConfig={"PageSize": 5}))
assert sorted(i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]) == sorted(ids)
ec2.terminate_instances(InstanceIds=ids)
ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=quick)
refused("InvalidInstanceID.NotFound", ec2.start_instances, InstanceIds=["i-0123456789abcdef0"])

# CloudWatch in each of its protocols: botocore takes the one it likes best.
loader = session.get_component("data_loader")
load = loader.load_service_model
for protocol in ["smithy-rpc-v2-cbor", "json", "query"]:

    def only(service, kind, api_version=None, protocol=protocol):
        model = load(service, kind, api_version=api_version)
        if service == "cloudwatch" and kind == "service-2":
            model["metadata"].update(protocol=protocol, protocols=[protocol])
        return model

    loader.load_service_model = only
    cw = client("cloudwatch")
    assert cw.meta.service_model.resolved_protocol == protocol, cw.meta.service_model.resolved_protocol
    alarm = dict(
        AlarmName="slow", Namespace="Site", MetricName="Time", Statistic="Average", Period=60, EvaluationPeriods=1, Threshold=3.0,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore", Dimensions=[{"Name": "Page", "Value": "/" + protocol}],
    )
    cw.put_metric_alarm(**alarm)
    got = cw.describe_alarms(AlarmNames=["slow"])["MetricAlarms"][0]
    assert {k: got[k] for k in alarm} == alarm, (protocol, got)
    assert isinstance(got["Threshold"], float), (protocol, got)
    assert isinstance(got["StateUpdatedTimestamp"], datetime.datetime), (protocol, got)
    now = datetime.datetime.now(datetime.timezone.utc)
    cw.put_metric_data(Namespace="Site", MetricData=[{"MetricName": protocol, "Timestamp": now, "Value": 2.5, "Dimensions": [{"Name": "Page", "Value": "/"}]}])
    query = {"Id": "m", "MetricStat": {"Metric": {"Namespace": "Site", "MetricName": protocol, "Dimensions": [{"Name": "Page", "Value": "/"}]}, "Period": 3600, "Stat": "Maximum"}}
    hour = datetime.timedelta(hours=1)
    data = cw.get_metric_data(MetricDataQueries=[query], StartTime=now - hour, EndTime=now + hour)["MetricDataResults"][0]
    assert data["Values"] == [2.5] and isinstance(data["Timestamps"][0], datetime.datetime), (protocol, data)
    cw.delete_alarms(AlarmNames=["slow"])
    assert cw.describe_alarms()["MetricAlarms"] == [], protocol
    refused("ResourceNotFound", cw.get_dashboard, DashboardName="none")
    print("cloudwatch", protocol)
