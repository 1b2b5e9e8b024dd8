// @aws-sdk/client-lambda, as programs written for Lambda use it: client.mjs ENDPOINT ZIP.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as sdk from "@aws-sdk/client-lambda";

const [endpoint, zip] = process.argv.slice(2);
const ZipFile = readFileSync(zip);
const options = { endpoint, region: "eu-west-1", maxAttempts: 1 };
const client = new sdk.LambdaClient(options);
const FunctionName = "js";
const create = (name) => new sdk.CreateFunctionCommand({
  FunctionName: name, Runtime: "nodejs20.x", Handler: "index.handler", MemorySize: 256, Timeout: 10,
  Role: "arn:aws:iam::000000000000:role/any", Code: { ZipFile }, Environment: { Variables: { STEP: "1" } },
});
const waiter = { client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 };
const text = (bytes) => Buffer.from(bytes).toString();

assert.equal((await client.send(create(FunctionName))).State, "Pending");
await sdk.waitUntilFunctionActiveV2(waiter, { FunctionName });
await client.send(new sdk.UpdateFunctionConfigurationCommand({ FunctionName, Environment: { Variables: { STEP: "2" } } }));
await sdk.waitUntilFunctionUpdatedV2(waiter, { FunctionName });
await client.send(new sdk.UpdateFunctionCodeCommand({ FunctionName, ZipFile }));
await sdk.waitUntilFunctionUpdatedV2(waiter, { FunctionName });

const ClientContext = Buffer.from(JSON.stringify({ custom: { k: "v" } })).toString("base64");
let answer = await client.send(new sdk.InvokeCommand({ FunctionName, Payload: '{"a":1}', LogType: "Tail", ClientContext }));
assert.equal(answer.StatusCode, 200);
assert.deepEqual(JSON.parse(text(answer.Payload)), { event: { a: 1 }, custom: { k: "v" }, step: "2" });
assert.match(Buffer.from(answer.LogResult, "base64").toString(), /seen/);
answer = await client.send(new sdk.InvokeCommand({ FunctionName: FunctionName + ":$LATEST", InvocationType: "DryRun" }));
assert.equal(answer.StatusCode, 204);
answer = await client.send(new sdk.InvokeCommand({ FunctionName, Payload: '{"fail":true}' }));
assert.equal(answer.FunctionError, "Unhandled");
assert.equal(JSON.parse(text(answer.Payload)).errorType, "RangeError");
answer = await client.send(new sdk.InvokeWithResponseStreamCommand({ FunctionName, Payload: '{"b":2}' }));
let streamed = "";
for await (const part of answer.EventStream) streamed += part.PayloadChunk ? text(part.PayloadChunk.Payload) : "";
assert.deepEqual(JSON.parse(streamed).event, { b: 2 });

assert.equal((await client.send(new sdk.InvokeCommand({ FunctionName, InvocationType: "Event" }))).StatusCode, 202);

await client.send(new sdk.PutFunctionEventInvokeConfigCommand({ FunctionName, MaximumRetryAttempts: 1 }));
await client.send(new sdk.UpdateFunctionEventInvokeConfigCommand({ FunctionName, MaximumEventAgeInSeconds: 60 }));
const rules = (await client.send(new sdk.ListFunctionEventInvokeConfigsCommand({ FunctionName }))).FunctionEventInvokeConfigs;
assert.deepEqual(rules.map((r) => [r.MaximumRetryAttempts, r.MaximumEventAgeInSeconds]), [[1, 60]]);
await client.send(new sdk.DeleteFunctionEventInvokeConfigCommand({ FunctionName }));
await assert.rejects(client.send(new sdk.GetFunctionEventInvokeConfigCommand({ FunctionName })), sdk.ResourceNotFoundException);

const Qualifier = (await client.send(new sdk.PublishVersionCommand({ FunctionName }))).Version;
await sdk.waitUntilPublishedVersionActive(waiter, { FunctionName, Qualifier });
const promise = { FunctionName, Qualifier };
assert.equal((await client.send(new sdk.PutProvisionedConcurrencyConfigCommand({ ...promise, ProvisionedConcurrentExecutions: 1 }))).Status, "IN_PROGRESS");
let state;
for (let i = 0; i < 100 && state?.Status !== "READY"; i++) {
  await new Promise((ok) => setTimeout(ok, 100));
  state = await client.send(new sdk.GetProvisionedConcurrencyConfigCommand(promise));
}
assert.equal(state.AvailableProvisionedConcurrentExecutions, 1);
await client.send(new sdk.DeleteProvisionedConcurrencyConfigCommand(promise));
await assert.rejects(client.send(new sdk.GetProvisionedConcurrencyConfigCommand(promise)), sdk.ProvisionedConcurrencyConfigNotFoundException);

await client.send(create("js2"));
const names = [];
for await (const page of sdk.paginateListFunctions({ client, pageSize: 1 }, {})) names.push(...page.Functions.map((f) => f.FunctionName));
assert.deepEqual(names, ["js", "js2"]);
await assert.rejects(client.send(create("js2")), sdk.ResourceConflictException);
for (const name of names) await client.send(new sdk.DeleteFunctionCommand({ FunctionName: name }));
await assert.rejects(client.send(new sdk.InvokeCommand({ FunctionName })), sdk.ResourceNotFoundException);

const refused = async (accessKeyId, name) => {
  const other = new sdk.LambdaClient({ ...options, credentials: { accessKeyId, secretAccessKey: "x" } });
  await assert.rejects(other.send(new sdk.ListFunctionsCommand({})), { name });
};
await refused("NOBODY", "UnrecognizedClientException");
await refused(process.env.AWS_ACCESS_KEY_ID, "InvalidSignatureException");
console.log("content");
