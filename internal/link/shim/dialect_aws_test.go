package shim_test

import "hearth/internal/link/shim"

// The checks of Lambda's own contract are a survey: node_*_test.go and python_*_test.go
// go through it in depth.

func awsNode() checks {
	jsonLogs := map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON"}
	return checks{dialect: "aws", language: shim.Node, handler: "index.handler", list: append([]check{
		{about: "`async (event, context)`", code: `exports.handler = async (event) => ({ hello: event.name })`, payload: `{"name":"you"}`, want: `{"hello":"you"}`},
		{about: "a promise", code: `exports.handler = () => new Promise((ok) => setTimeout(ok, 1, [1]))`, payload: `{}`, want: `[1]`},
		{about: "`callback(null, result)`", code: `exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 7), 1) }`, payload: `{}`, want: `7`},
		{about: "`context.succeed`, `context.done`", code: `exports.handler = (event, context) => { setTimeout(() => context.done(null, 'old'), 1) }`, payload: `{}`, want: `"old"`},
		{about: "an ES module, with `await` at its top level", files: files{"index.mjs": `const word = await Promise.resolve('esm'); export const handler = async () => word`}, payload: `{}`, want: `"esm"`},
		{about: "a handler in a folder: `src/app.handler`", files: files{"src/app.js": `exports.handler = async () => 'deep'`}, handler: "src/app.handler", payload: `{}`, want: `"deep"`},
		{about: "no result is `null`", code: `exports.handler = async () => {}`, payload: `{}`, want: `null`},
		{about: "`context`: functionName, functionVersion, memoryLimitInMB, invokedFunctionArn, logGroupName", code: `exports.handler = async (event, c) => [c.functionName, c.functionVersion, c.memoryLimitInMB, c.invokedFunctionArn, c.logGroupName]`, payload: `{}`,
			want: `["hello","7","256","arn:aws:lambda:us-east-1:000000000000:function:hello:live","/aws/lambda/hello"]`},
		{about: "`context`: awsRequestId, getRemainingTimeInMillis()", code: `exports.handler = async (event, c) => [c.awsRequestId.length > 0, c.getRemainingTimeInMillis() > 0]`, payload: `{}`, want: `[true,true]`},
		{about: "the function's environment", env: map[string]string{"COLOUR": "blue"}, code: `exports.handler = async () => process.env.COLOUR`, payload: `{}`, want: `"blue"`},
		{about: "by its URL: payload format 2.0", code: `exports.handler = async (e) => ({ statusCode: 201, headers: { 'content-type': 'text/plain', 'x-a': 'b' }, cookies: ['c=d'], body: e.requestContext.http.method + e.rawPath + e.rawQueryString })`,
			request: get("/a?b=1"), want: `201 | text/plain | x-a=b | cookie c=d | GET/ab=1`},
		{about: "`awslambda.streamifyResponse`, `HttpResponseStream.from`", code: `exports.handler = awslambda.streamifyResponse(async (event, stream) => { stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'content-type': 'text/plain' } }); stream.write('one '); stream.end('two') })`,
			request: get("/"), want: `201 | text/plain | streamed: one two`},
		{about: "`console` writes lines with the request id", code: `exports.handler = async () => { console.warn('said %d', 1); return 1 }`, payload: `{}`, want: `1`, log: "\tWARN\tsaid 1\n"},
		{about: "logs in JSON", env: jsonLogs, code: `exports.handler = async () => { console.warn('said %d', 1); return 1 }`, payload: `{}`, want: `1`, log: `"level":"WARN","requestId":"r`},
		{about: "an error given to `callback`", code: `exports.handler = (event, context, callback) => callback(new RangeError('no'))`, payload: `{}`, failure: "RangeError"},
		{about: "a result that is no JSON fails", code: `exports.handler = async () => 1n`, payload: `{}`, failure: "Error"},
	}, nodeFailures(func(body string) string { return "exports.handler = (event) => { " + body + " }" })...)}
}

func awsPython() checks {
	jsonLogs := map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON"}
	return checks{dialect: "aws", language: shim.Python, handler: "main.handler", list: append([]check{
		{about: "`def handler(event, context)`", code: "def handler(event, context): return {'hello': event['name']}", payload: `{"name":"you"}`, want: `{"hello": "you"}`},
		{about: "`async def`, which Lambda does not have", code: "import asyncio\nasync def handler(event, context):\n    await asyncio.sleep(0.001)\n    return [event]", payload: `7`, want: `[7]`},
		{about: "a handler in a folder: `src/app.handler`", files: files{"src/app.py": "def handler(event, context): return 'deep'"}, handler: "src/app.handler", payload: `{}`, want: `"deep"`},
		{about: "no result is `null`", code: "def handler(event, context): pass", payload: `{}`, want: `null`},
		{about: "`context`: function_name, function_version, memory_limit_in_mb, invoked_function_arn, log_group_name", code: "def handler(event, c): return [c.function_name, c.function_version, c.memory_limit_in_mb, c.invoked_function_arn, c.log_group_name]", payload: `{}`,
			want: `["hello", "7", "256", "arn:aws:lambda:us-east-1:000000000000:function:hello:live", "/aws/lambda/hello"]`},
		{about: "`context`: aws_request_id, get_remaining_time_in_millis()", code: "def handler(event, c): return [len(c.aws_request_id) > 0, c.get_remaining_time_in_millis() > 0]", payload: `{}`, want: `[true, true]`},
		{about: "the function's environment", env: map[string]string{"COLOUR": "blue"}, code: "import os\ndef handler(event, context): return os.environ['COLOUR']", payload: `{}`, want: `"blue"`},
		{about: "by its URL: payload format 2.0", code: "def handler(e, c): return {'statusCode': 201, 'headers': {'content-type': 'text/plain', 'x-a': 'b'}, 'cookies': ['c=d'], 'body': e['requestContext']['http']['method'] + e['rawPath'] + e['rawQueryString']}",
			request: get("/a?b=1"), want: `201 | text/plain | x-a=b | cookie c=d | GET/ab=1`},
		{about: "`print` and `logging`, with the request id", code: "import logging\ndef handler(event, context):\n    print('said')\n    logging.warning('warned %d', 1)", payload: `{}`, want: `null`, log: "\twarned 1\n"},
		{about: "logs in JSON", env: jsonLogs, code: "import logging\ndef handler(event, context): logging.warning('warned %d', 1)", payload: `{}`, want: `null`, log: `"level": "WARNING", "message": "warned 1"`},
		{about: "`Decimal` is a number, text is not escaped", code: "from decimal import Decimal\ndef handler(event, context): return [Decimal('1.10'), 'ü']", payload: `{}`, want: `[1.10, "ü"]`},
		{about: "a result that is no JSON fails", code: "def handler(event, context): return {1, 2}", payload: `{}`, failure: "Runtime.MarshalError"},
	}, pythonFailures("handler(event, context)")...)}
}
