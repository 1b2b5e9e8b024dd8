package shim_test

import (
	"strings"

	"hearth/internal/link/shim"
)

// pythonFailures are the ways of failing that the shim sees itself.
func pythonFailures(head string) []check {
	return []check{
		{about: "a raised exception fails the invocation", code: "def " + head + ":\n    raise IndexError('boom')", request: get("/"), failure: "IndexError"},
		{about: "a raised exception fails an Invoke, too", code: "def " + head + ":\n    raise IndexError('boom')", payload: `{}`, failure: "IndexError"},
		{about: "an exception in an `async def`", code: "async def " + head + ":\n    raise KeyError('no')", request: get("/"), failure: "KeyError"},
	}
}

func prototypePython() checks {
	return checks{dialect: "prototype", language: shim.Python, handler: "main.handler", list: append([]check{
		{about: "`handler(input)` returns the output", code: "def handler(input): return {'hello': input['name']}", payload: `{"name":"you"}`, want: `{"hello": "you"}`},
		{about: "`async def`", code: "async def handler(input): return [input]", payload: `7`, want: `[7]`},
		{about: "a JSON body is the input, the output the JSON response", code: "def handler(input): return {'hello': input['name']}", request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {"hello": "you"}`},
		{about: "an output of any form is data, not an answer", code: "def handler(input): return {'statusCode': 404}", request: get("/"), want: `200 | application/json | {"statusCode": 404}`},
		{about: "no body: the input is `{}`", code: "def handler(input): return [input]", request: get("/?a=1"), want: `200 | application/json | [{}]`},
		{about: "a body that is not JSON is text", code: "def handler(input): return input + '!'", request: post("/", typeText, "hi"), want: `200 | text/plain; charset=utf-8 | hi!`},
	}, pythonFailures("handler(input)")...)}
}

func binarisPython() checks {
	return checks{dialect: "binaris", language: shim.Python, handler: "main.handler", list: append([]check{
		{about: "`body` is the parsed JSON", code: "def handler(body, ctx): return {'hello': body['name']}", request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {"hello": "you"}`},
		{about: "`body` is `{}` when the request has none", code: "def handler(body, ctx): return [body]", request: get("/"), want: `200 | application/json | [{}]`},
		{about: "`body` is `None` when it is not JSON", code: "def handler(body, ctx): return [body, ctx.request.body.decode()]", request: post("/", typeText, "words"), want: `200 | application/json | [null, "words"]`},
		{about: "`ctx.request`: env, query, path, method, requestId, headers", env: map[string]string{"COLOUR": "blue"},
			code:    "def handler(body, ctx):\n    r = ctx.request\n    return [r.env['COLOUR'], r['query'], r.path, r.method, len(r.requestId) > 0, r.headers['x-a']]",
			request: &request{method: "PUT", path: "/a/b?q=1&q=2", headers: map[string]string{"x-a": "yes"}}, want: `200 | application/json | ["blue", {"q": ["1", "2"]}, "/a/b", "PUT", true, "yes"]`},
		{about: "`ctx.HTTPResponse(status_code, headers, body)`", code: "def handler(body, ctx): return ctx.HTTPResponse(status_code=418, headers={'X-A': 'tea', 'Content-Type': 'text/html'}, body='<b>pot</b>')", request: get("/"), want: `418 | text/html | x-a=tea | <b>pot</b>`},
		{about: "a returned string is text", code: "def handler(body, ctx): return 'hi'", request: get("/"), want: `200 | text/plain; charset=utf-8 | hi`},
		{about: "returned bytes", code: "def handler(body, ctx): return b'\\xff\\x00'", request: get("/"), want: `200 | application/octet-stream | base64:/wA=`},
		{about: "Invoke: the payload is `body`, what is returned is the result", code: "def handler(body, ctx): return {'n': body['n'] + 1, 'm': ctx.request.method}", payload: `{"n":1}`, want: `{"n": 2, "m": "POST"}`},
	}, pythonFailures("handler(body, ctx)")...)}
}

func openwhiskPython() checks {
	return checks{dialect: "openwhisk", language: shim.Python, handler: "main.main", list: append([]check{
		{about: "`main(params)` returns a dictionary", code: "def main(params): return {'hello': params['name']}", payload: `{"name":"you"}`, want: `{"hello": "you"}`},
		{about: "query and JSON body are merged, the body wins", code: "def main(p): return {k: p[k] for k in 'abc'}", request: post("/?a=query&b=query", typeJSON, `{"b":"body","c":[1]}`), want: `200 | application/json | {"a": "query", "b": "body", "c": [1]}`},
		{about: "a form body is merged", code: "def main(p): return {k: p[k] for k in 'ab'}", request: post("/", typeForm, `a=1&b=x+y`), want: `200 | application/json | {"a": "1", "b": "x y"}`},
		{about: "`__ow_method`, `__ow_path`, `__ow_query`, `__ow_headers`", code: "def main(p): return {'m': p['__ow_method'], 'p': p['__ow_path'], 'q': p['__ow_query'], 'h': p['__ow_headers']['x-a']}",
			request: &request{method: "DELETE", path: "/a/b?q=1", headers: map[string]string{"x-a": "yes"}}, want: `200 | application/json | {"m": "delete", "p": "/a/b", "q": "q=1", "h": "yes"}`},
		{about: "`__ow_body`: other text as it is", code: "def main(p): return {'b': p['__ow_body']}", request: post("/", typeText, "words"), want: `200 | application/json | {"b": "words"}`},
		{about: "`__ow_body`: bytes as base64", code: "def main(p): return {'b': p['__ow_body']}", request: post("/", "application/octet-stream", "\xff\x00"), want: `200 | application/json | {"b": "/wA="}`},
		{about: "raw web actions, by `OW_RAW_HTTP=true`", env: map[string]string{"OW_RAW_HTTP": "true"}, code: "def main(p): return {'a': 'a' in p, 'q': p['__ow_query'], 'b': p['__ow_body']}", request: post("/?a=1", typeJSON, `{"a":2}`), want: `200 | application/json | {"a": false, "q": "a=1", "b": "{\"a\":2}"}`},
		{about: "a web result: `{statusCode, headers, body}`", code: "def main(p): return {'statusCode': 201, 'headers': {'X-A': 'b'}, 'body': '<b>hi</b>'}", request: get("/"), want: `201 | text/html; charset=utf-8 | x-a=b | <b>hi</b>`},
		{about: "… with an object as body", code: "def main(p): return {'body': {'a': 1}}", request: get("/"), want: `200 | application/json | {"a": 1}`},
		{about: "… with base64 as body for binary types", code: "def main(p): return {'headers': {'content-type': 'image/png'}, 'body': '/wA='}", request: get("/"), want: `200 | image/png | base64:/wA=`},
		{about: "… with nothing but a status", code: "def main(p): return {'statusCode': 302, 'headers': {'location': '/there'}}", request: get("/"), want: `302 | location=/there`},
		{about: "`{error: {statusCode, body}}` is an answer", code: "def main(p): return {'error': {'statusCode': 404, 'body': 'gone'}}", request: get("/"), want: `404 | text/html; charset=utf-8 | gone`},
		{about: "another `{error}` is 400", code: "def main(p): return {'error': 'bad'}", request: get("/"), want: `400 | application/json | {"error": "bad"}`},
		{about: "Invoke: a payload is params, whatever its shape", code: "def main(p): return {'keys': sorted(p)[:2]}", payload: get("/").eventText(), want: `{"keys": ["headers", "isBase64Encoded"]}`},
		{about: "nothing returned is `{}`", code: "def main(p): pass", payload: `{}`, want: `{}`},
		{about: "`__OW_ACTION_NAME`, `__OW_NAMESPACE`", code: "import os\ndef main(p): return {'a': os.environ['__OW_ACTION_NAME'], 'n': os.environ['__OW_NAMESPACE']}", payload: `{}`, want: `{"a": "/_/hello", "n": "_"}`},
	}, pythonFailures("main(params)")...)}
}

func kubelessPython() checks {
	return checks{dialect: "kubeless", language: shim.Python, handler: "main.hello", list: append([]check{
		{about: "`event['data']` is the JSON body", code: "def hello(event, context): return {'hello': event['data']['name']}", request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {"hello": "you"}`},
		{about: "`event['data']` is another body's text", code: "def hello(event, context): return event['data'] + '!'", request: post("/", typeText, "hi"), want: `200 | text/html; charset=utf-8 | hi!`},
		{about: "`event['extensions']['request']`", code: "def hello(event, context):\n    r = event['extensions']['request']\n    return [r.method, r.path, r.headers.get('X-B')]", request: &request{method: "PUT", path: "/a?b=c", headers: map[string]string{"x-b": "d"}}, want: `200 | application/json | ["PUT", "/a", "d"]`},
		{about: "`event-id`, `event-type`, `event-time`, `event-namespace`", code: "def hello(event, context): return [event['event-id'], event['event-type'], len(event['event-time']) > 0, event['event-namespace']]",
			request: &request{method: "POST", path: "/", headers: map[string]string{"event-id": "i", "event-type": "t", "event-namespace": "n"}}, want: `200 | application/json | ["i", "t", true, "n"]`},
		{about: "`context`: function-name, timeout, runtime, memory-limit", code: "def hello(event, context): return [context['function-name'], context['timeout'].isdigit(), context['runtime'][:6], context['memory-limit']]", request: get("/"), want: `200 | application/json | ["hello", true, "python", "256Mi"]`},
		{about: "Invoke: the payload is `event['data']`, what is returned is the result", code: "def hello(event, context): return {'n': event['data']['n'] + 1}", payload: `{"n":1}`, want: `{"n": 2}`},
	}, pythonFailures("hello(event, context)")...)}
}

const flaskEvent = `{"data":{"n":1},"context":{"eventId":"7","eventType":"t"}}`

// googleFlask are the checks of HTTP functions: they hold with Flask and without.
func googleFlask() []check {
	return []check{
		{about: "`def fn(request)` returns text", code: "def fn(request): return 'hi ' + request.method", request: get("/"), want: `200 | text/html; charset=utf-8 | hi GET`},
		{about: "`request.get_json()`; a dictionary is JSON", code: "def fn(request): return {'hello': request.get_json()['name']}", request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {*`},
		{about: "`request.args`, `.path`, `.headers`, `.remote_addr`, `.cookies`, `.url`", code: "def fn(request): return [request.args['q'], request.args.getlist('q'), request.path, request.headers.get('X-A'), request.cookies.get('c'), request.url]",
			request: &request{method: "GET", path: "/a%20b?q=1&q=2", headers: map[string]string{"x-a": "yes", "cookie": "c=d; e=f"}}, want: `200 | application/json | [*`},
		{about: "`request.form`, `request.values`", code: "def fn(request): return request.form['a'] + request.values['b']", request: post("/", typeForm, "a=1&b=x+y"), want: `200 | text/html; charset=utf-8 | 1x y`},
		{about: "`request.files` of a multipart body", code: "def fn(request): return request.files['f'].filename + ':' + request.files['f'].read().decode() + request.form['a']",
			request: post("/", "multipart/form-data; boundary=xx", "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\nwords\r\n--xx--\r\n"), want: `200 | text/html; charset=utf-8 | f.txt:words1`},
		{about: "`request.data`; bytes are sent as they are", code: "def fn(request): return request.data", request: post("/", "image/png", "\xff\x00"), want: `200 | text/html; charset=utf-8 | base64:/wA=`},
		{about: "`(body, status, headers)`", code: "def fn(request): return 'made', 201, {'X-A': 'b', 'Content-Type': 'text/plain'}", request: get("/"), want: `201 | text/plain | x-a=b | made`},
		{about: "`(body, status)`", code: "def fn(request): return '', 204", request: get("/"), want: `204 | text/html; charset=utf-8`},
		{about: "a generator streams", code: "def fn(request): return (part for part in ['a', 'b']), 201, {'X-A': 'b'}", request: get("/"), want: `201 | text/html; charset=utf-8 | x-a=b | streamed: ab`},
		{about: "a generator streams any amount, with back-pressure", code: "def fn(request):\n    for _ in range(80): yield b'0123456789abcdef' * 1024", request: get("/"), want: `200 | text/html; charset=utf-8 | streamed: ` + strings.Repeat("0123456789abcdef", 80*1024)},
		{about: "an exception before the first part fails the invocation", code: "def fn(request):\n    yield from {}['no']", request: get("/"), failure: "KeyError"},
		{about: "an exception after the first part", code: "def fn(request):\n    yield 'begun'\n    raise IndexError('midway')", request: get("/"), failure: "IndexError"},
		{about: "Invoke of a generator: the result is all of it", code: "def fn(request): return (part for part in ['a', 'b'])", payload: `{}`, want: `"ab"`},
		{about: "bad JSON is 400", code: "def fn(request): return request.get_json()", request: post("/", typeJSON, `{"a":`), want: `400 | *`},
		{about: "`None` is no response: the invocation fails", code: "def fn(request): pass", request: get("/"), failure: "TypeError"},
		{about: "Invoke of an HTTP function: the payload is the JSON body", code: "def fn(request): return {'n': request.json['n'] + 1}", payload: `{"n":1}`, want: `{"n": 2}`},
		{about: "Invoke of an HTTP function: an error status is told whole", code: "def fn(request): return 'no', 404, {'Content-Type': 'text/plain'}", payload: `{}`, want: `{"statusCode": 404, "headers": {"Content-Type": "text/plain"}, "body": "no"}`},
		{about: "what is printed carries the request id", code: "def fn(request):\n    print('said')\n    return 'x'", request: get("/"), want: `200 | text/html; charset=utf-8 | x`, log: "said\n"},
	}
}

func googlePython() checks {
	list := append(googleFlask(), []check{
		{about: "an `async def`", code: "import asyncio\nasync def fn(request):\n    await asyncio.sleep(0.002)\n    return {'ok': True}", request: get("/"), want: `200 | application/json | {"ok": true}`},
		{about: "`@functions_framework.http`", code: "import functions_framework\n@functions_framework.http\ndef fn(request, more=None): return 'registered'", request: get("/"), want: `200 | text/html; charset=utf-8 | registered`},
		{about: "`@functions_framework.cloud_event`, structured", code: "import functions_framework\n@functions_framework.cloud_event\ndef fn(e): print(e['id'], e.data['n'])",
			request: post("/", "application/cloudevents+json", `{"specversion":"1.0","id":"7","type":"t","source":"s","data":{"n":1}}`), want: `204`, log: "7 1\n"},
		{about: "`@functions_framework.cloud_event`, binary", code: "import functions_framework\n@functions_framework.cloud_event\ndef fn(e): print(e['id'], e.data['n'])",
			request: &request{method: "POST", path: "/", body: `{"n":1}`, headers: map[string]string{"content-type": typeJSON, "ce-id": "7", "ce-specversion": "1.0", "ce-type": "t", "ce-source": "s"}}, want: `204`, log: "7 1\n"},
		{about: "a CloudEvent by Invoke; another payload is the data of one", code: "import functions_framework\n@functions_framework.cloud_event\ndef fn(e): return [e['type'], e.data]", payload: `{"n":1}`, want: `["hearth.invoke", {"n": 1}]`},
		{about: "background `(event, context)`", code: "def fn(event, context): return {'n': event['n'], 'id': context.event_id}", payload: flaskEvent, want: `{"n": 1, "id": "7"}`},
		{about: "background, over HTTP", code: "def fn(event, context): print(event['n'], context.event_type)", request: post("/", typeJSON, flaskEvent), want: `204`, log: "1 t\n"},
		{about: "`FUNCTION_SIGNATURE_TYPE=event`", env: map[string]string{"FUNCTION_SIGNATURE_TYPE": "event"}, code: "def fn(*args): return args[0]['n']", payload: flaskEvent, want: `1`},
		{about: "a handler's name without a file", code: "def fn(request): return 'main'", handler: "fn", request: get("/"), want: `200 | text/html; charset=utf-8 | main`},
	}...)
	return checks{dialect: "google", language: shim.Python, handler: "main.fn", list: append(list, pythonFailures("fn(request)")...)}
}
