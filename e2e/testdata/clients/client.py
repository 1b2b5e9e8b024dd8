"""boto3, as programs written for Lambda use it: client.py ENDPOINT ZIP."""
import base64
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, archive = sys.argv[1], open(sys.argv[2], "rb").read()
client = boto3.client("lambda", endpoint_url=endpoint, region_name="eu-west-1", config=Config(retries={"max_attempts": 0}))
create = dict(FunctionName="boto", Runtime="nodejs20.x", Handler="index.handler", MemorySize=256, Timeout=10,
              Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": archive}, Environment={"Variables": {"STEP": "1"}})
assert client.create_function(**create)["State"] == "Pending"
client.get_waiter("function_active_v2").wait(FunctionName="boto", WaiterConfig={"Delay": 1})
client.update_function_configuration(FunctionName="boto", Environment={"Variables": {"STEP": "2"}})
client.get_waiter("function_updated_v2").wait(FunctionName="boto", WaiterConfig={"Delay": 1})
client.update_function_code(FunctionName="boto", ZipFile=archive)
client.get_waiter("function_updated_v2").wait(FunctionName="boto", WaiterConfig={"Delay": 1})

context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
answer = client.invoke(FunctionName="boto", Payload=b'{"a":1}', LogType="Tail", ClientContext=context)
assert answer["StatusCode"] == 200 and "FunctionError" not in answer, answer
body = json.loads(answer["Payload"].read())
assert body == {"event": {"a": 1}, "custom": {"k": "v"}, "step": "2"}, body
assert b"seen" in base64.b64decode(answer["LogResult"]), answer
assert client.invoke(FunctionName="boto", InvocationType="DryRun")["StatusCode"] == 204
answer = client.invoke(FunctionName="boto", Payload=b'{"fail":true}')
assert answer["FunctionError"] == "Unhandled", answer
assert json.loads(answer["Payload"].read())["errorType"] == "RangeError"

assert client.invoke(FunctionName="boto", InvocationType="Event", Payload=b"{}")["StatusCode"] == 202

client.put_function_event_invoke_config(FunctionName="boto", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
client.update_function_event_invoke_config(FunctionName="boto", MaximumRetryAttempts=0)
rule = client.get_function_event_invoke_config(FunctionName="boto")
assert (rule["MaximumRetryAttempts"], rule["MaximumEventAgeInSeconds"]) == (0, 60), rule
rules = client.list_function_event_invoke_configs(FunctionName="boto")["FunctionEventInvokeConfigs"]
assert [r["MaximumRetryAttempts"] for r in rules] == [0], rules
client.delete_function_event_invoke_config(FunctionName="boto")

version = client.publish_version(FunctionName="boto")["Version"]
client.get_waiter("published_version_active").wait(FunctionName="boto", Qualifier=version, WaiterConfig={"Delay": 1})
client.create_alias(FunctionName="boto", Name="live", FunctionVersion=version)
promise = dict(FunctionName="boto", Qualifier="live")
assert client.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=1, **promise)["Status"] == "IN_PROGRESS"
for _ in range(100):
    state = client.get_provisioned_concurrency_config(**promise)
    if state["Status"] == "READY":
        break
    time.sleep(0.1)
assert state["AvailableProvisionedConcurrentExecutions"] == 1, state
assert len(client.list_provisioned_concurrency_configs(FunctionName="boto")["ProvisionedConcurrencyConfigs"]) == 1
assert client.invoke(FunctionName="boto:live")["ExecutedVersion"] == version
client.delete_provisioned_concurrency_config(**promise)
try:
    client.get_provisioned_concurrency_config(**promise)
    raise AssertionError("provisioned still")
except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
    pass

create["FunctionName"] = "boto2"
client.create_function(**create)
pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1}))
assert [f["FunctionName"] for p in pages for f in p["Functions"]] == ["boto", "boto2"], pages
try:
    client.create_function(**create)
    raise AssertionError("made twice")
except client.exceptions.ResourceConflictException:
    pass
for name in ("boto", "boto2"):
    client.delete_function(FunctionName=name)
try:
    client.invoke(FunctionName="boto")
    raise AssertionError("invoked what is gone")
except client.exceptions.ResourceNotFoundException:
    pass

for key, secret, want in (("NOBODY", "x", "UnrecognizedClientException"), (None, "x", "InvalidSignatureException")):
    other = boto3.client("lambda", endpoint_url=endpoint, region_name="eu-west-1", aws_secret_access_key=secret,
                         aws_access_key_id=key or boto3.Session().get_credentials().access_key, config=Config(retries={"max_attempts": 0}))
    try:
        other.list_functions()
        raise AssertionError("let in")
    except ClientError as e:
        assert e.response["Error"]["Code"] == want, e
presigned = client.generate_presigned_url("list_functions", ExpiresIn=60)
import urllib.request
assert json.load(urllib.request.urlopen(presigned))["Functions"] == []
print("content")
