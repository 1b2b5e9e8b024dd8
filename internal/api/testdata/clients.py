"""Drives a server the way programs do that were written for Lambda."""
import base64
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config

endpoint = sys.argv[1]
client = boto3.client(
    "lambda", endpoint_url=endpoint, region_name="us-east-1",
    aws_access_key_id="any", aws_secret_access_key="thing",
    config=Config(retries={"max_attempts": 0}))


def archive(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("index.js", text)
    return buffer.getvalue()


def refused(error, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == error, e.response
        return e.response
    raise AssertionError("not refused: " + error)


created = client.create_function(
    FunctionName="hello", Runtime="nodejs20.x", Handler="echo", Timeout=10,
    Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": archive("one")},
    Environment={"Variables": {"KEY": "value"}}, Tags={"hearth:execution-model": "concurrent"})
assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
assert created["State"] == "Pending", created
client.get_waiter("function_active").wait(FunctionName="hello")
client.get_waiter("function_active_v2").wait(FunctionName="hello")

got = client.get_function(FunctionName=created["FunctionArn"])
assert got["Configuration"]["Environment"]["Variables"] == {"KEY": "value"}
assert got["Tags"] == {"hearth:execution-model": "concurrent"}
assert got["Code"]["Location"].startswith(endpoint), got["Code"]

refused("ResourceConflictException", client.create_function, FunctionName="hello", Runtime="nodejs20.x",
        Handler="echo", Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": archive("one")})
e = refused("ResourceNotFoundException", client.get_function, FunctionName="nosuch")
assert e["Error"]["Message"] == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nosuch", e
refused("PreconditionFailedException", client.update_function_configuration, FunctionName="hello", Timeout=5, RevisionId="old")

client.update_function_configuration(FunctionName="hello", Timeout=5, RevisionId=got["Configuration"]["RevisionId"])
client.get_waiter("function_updated").wait(FunctionName="hello")
updated = client.update_function_code(FunctionName="hello", ZipFile=archive("two"))
assert updated["CodeSha256"] != created["CodeSha256"] and updated["Timeout"] == 5

answer = client.invoke(FunctionName="hello", Payload=b'{"a": 1}', LogType="Tail")
assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer, answer
assert json.loads(answer["Payload"].read()) == {"a": 1}
assert base64.b64decode(answer["LogResult"]).startswith(b"START RequestId: "), answer
assert client.invoke(FunctionName="hello")["Payload"].read() == b"{}"
assert client.invoke(FunctionName=created["FunctionArn"] + ":$LATEST")["StatusCode"] == 200
assert client.invoke(FunctionName="hello", InvocationType="DryRun")["StatusCode"] == 204
refused("InvalidRequestContentException", client.invoke, FunctionName="hello", Payload=b"{")
refused("RequestTooLargeException", client.invoke, FunctionName="hello", Payload=b'"' + b"x" * 7_000_000 + b'"')
accepted = client.invoke(FunctionName="hello", InvocationType="Event", Payload=b'{"b": 2}')
assert accepted["StatusCode"] == 202 and accepted["Payload"].read() == b"", accepted
assert accepted["ResponseMetadata"]["RequestId"]
refused("RequestTooLargeException", client.invoke, FunctionName="hello", InvocationType="Event", Payload=b'"' + b"x" * 1_100_000 + b'"')
assert client.invoke_async(FunctionName="hello", InvokeArgs=b"{}")["Status"] == 202

failing = client.create_function(
    FunctionName="failing", Runtime="nodejs20.x", Handler="fail",
    Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": archive("one")})
answer = client.invoke(FunctionName="failing")
assert answer["FunctionError"] == "Unhandled" and json.loads(answer["Payload"].read())["errorType"] == "TypeError"

for i in range(3):
    client.create_function(FunctionName=f"n{i}", Runtime="python3.12", Handler="echo",
                           Role="arn:aws:iam::000000000000:role/any", Code={"ZipFile": archive(str(i))})
pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
names = [f["FunctionName"] for page in pages for f in page["Functions"]]
assert names == ["failing", "hello", "n0", "n1", "n2"], names

assert client.put_function_concurrency(FunctionName="hello", ReservedConcurrentExecutions=0)["ReservedConcurrentExecutions"] == 0
e = refused("TooManyRequestsException", client.invoke, FunctionName="hello")
assert e["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", e
client.delete_function_concurrency(FunctionName="hello")
assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="hello")

client.tag_resource(Resource=created["FunctionArn"], Tags={"a": "b c/d"})
assert client.list_tags(Resource=created["FunctionArn"])["Tags"]["a"] == "b c/d"
client.untag_resource(Resource=created["FunctionArn"], TagKeys=["a"])
assert "a" not in client.list_tags(Resource=created["FunctionArn"])["Tags"]

url = client.create_function_url_config(FunctionName="hello", AuthType="NONE")
assert url["FunctionUrl"] == endpoint + "/fn/hello/", url
assert client.get_function_url_config(FunctionName="hello")["AuthType"] == "NONE"
client.delete_function_url_config(FunctionName="hello")
assert client.get_account_settings()["AccountUsage"]["FunctionCount"] == 5
assert [v["Version"] for v in client.list_versions_by_function(FunctionName="hello")["Versions"]] == ["$LATEST"]
assert client.list_aliases(FunctionName="hello")["Aliases"] == []
refused("ResourceNotFoundException", client.get_policy, FunctionName="hello")

# Versions and aliases.
first = client.publish_version(FunctionName="hello", Description="first", CodeSha256=updated["CodeSha256"])
assert first["Version"] == "1" and first["Description"] == "first" and first["FunctionArn"].endswith(":hello:1"), first
assert client.publish_version(FunctionName="hello")["Version"] == "1", "nothing has changed"
client.get_waiter("published_version_active").wait(FunctionName="hello", Qualifier="1")
refused("InvalidParameterValueException", client.publish_version, FunctionName="hello", CodeSha256="other")
refused("PreconditionFailedException", client.publish_version, FunctionName="hello", RevisionId="old")
second = client.update_function_code(FunctionName="hello", ZipFile=archive("three"), Publish=True)
assert second["Version"] == "2" and second["CodeSha256"] != first["CodeSha256"], second
third = client.update_function_code(FunctionName="hello", ZipFile=archive("four"), Publish=True)
pages = client.get_paginator("list_versions_by_function").paginate(FunctionName="hello", PaginationConfig={"PageSize": 2})
assert [v["Version"] for page in pages for v in page["Versions"]] == ["$LATEST", "1", "2", "3"]

alias = client.create_alias(FunctionName="hello", Name="prod", FunctionVersion="1", Description="what people see")
assert alias["AliasArn"].endswith(":hello:prod") and "RoutingConfig" not in alias, alias
refused("ResourceConflictException", client.create_alias, FunctionName="hello", Name="prod", FunctionVersion="1")
refused("ResourceNotFoundException", client.create_alias, FunctionName="hello", Name="beta", FunctionVersion="9")
refused("PreconditionFailedException", client.update_alias, FunctionName="hello", Name="prod", RevisionId="old", FunctionVersion="2")
alias = client.update_alias(FunctionName="hello", Name="prod", RevisionId=alias["RevisionId"], FunctionVersion="2",
                            RoutingConfig={"AdditionalVersionWeights": {"3": 0.1}})
assert alias["RoutingConfig"]["AdditionalVersionWeights"] == {"3": 0.1} and alias["Description"] == "what people see", alias
refused("InvalidParameterValueException", client.update_alias, FunctionName="hello", Name="prod",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})
assert client.get_alias(FunctionName="hello", Name="prod") ["FunctionVersion"] == "2"
assert [a["Name"] for a in client.list_aliases(FunctionName="hello", FunctionVersion="3")["Aliases"]] == ["prod"]
got = client.get_function(FunctionName="hello", Qualifier="prod")["Configuration"]
assert got["Version"] == "2" and got["FunctionArn"].endswith(":hello:prod"), got
for name, qualifier, version in (("hello:prod", None, "2"), ("hello", "1", "1"), (alias["AliasArn"], None, "2"), (first["FunctionArn"], None, "1")):
    arguments = {"Qualifier": qualifier} if qualifier else {}
    assert client.invoke(FunctionName=name, **arguments)["ExecutedVersion"] == version
refused("ResourceConflictException", client.delete_function, FunctionName="hello", Qualifier="3")
client.delete_function(FunctionName="hello", Qualifier="1")
refused("ResourceNotFoundException", client.invoke, FunctionName="hello", Qualifier="1")
client.delete_alias(FunctionName="hello", Name="prod")
client.delete_alias(FunctionName="hello", Name="prod")
refused("ResourceNotFoundException", client.get_alias, FunctionName="hello", Name="prod")

# What becomes of asynchronous invocations.
refused("ResourceNotFoundException", client.get_function_event_invoke_config, FunctionName="hello")
client.put_function_event_invoke_config(FunctionName="hello", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=3600,
                                        DestinationConfig={"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:failing"}})
config = client.update_function_event_invoke_config(FunctionName="hello", MaximumRetryAttempts=0)
assert config["MaximumRetryAttempts"] == 0 and config["MaximumEventAgeInSeconds"] == 3600, config
assert config["FunctionArn"].endswith(":hello:$LATEST") and config["LastModified"].year > 2000, config
assert len(client.list_function_event_invoke_configs(FunctionName="hello")["FunctionEventInvokeConfigs"]) == 1
refused("InvalidParameterValueException", client.put_function_event_invoke_config, FunctionName="hello", MaximumRetryAttempts=3)
client.delete_function_event_invoke_config(FunctionName="hello")
refused("ResourceNotFoundException", client.get_function_event_invoke_config, FunctionName="hello")
dead = client.update_function_configuration(FunctionName="hello", DeadLetterConfig={"TargetArn": "arn:aws:lambda:us-east-1:000000000000:function:failing"})
assert dead["DeadLetterConfig"]["TargetArn"].endswith(":failing"), dead

client.delete_function(FunctionName="hello")
refused("ResourceNotFoundException", client.invoke, FunctionName="hello")
print("content")
