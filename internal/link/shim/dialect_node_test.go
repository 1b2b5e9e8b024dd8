package shim_test

import "hearth/internal/link/shim"

const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
	typeText = "text/plain"
)

// nodeFailures are the ways of failing that the shim sees itself, for a handler that
// wrap makes of a body; async says whether the body may await.
func nodeFailures(wrap func(body string) string) []check {
	return []check{
		{about: "a thrown error fails the invocation", code: wrap(`throw new RangeError('boom')`), request: get("/"), failure: "RangeError"},
		{about: "a thrown error fails an Invoke, too", code: wrap(`throw new RangeError('boom')`), payload: `{}`, failure: "RangeError"},
		{about: "a rejected promise fails the invocation", code: wrap(`return Promise.reject(new TypeError('no'))`), request: get("/"), failure: "TypeError"},
	}
}

func prototypeNode() checks {
	return checks{dialect: "prototype", language: shim.Node, handler: "index.handler", list: append([]check{
		{about: "`module.exports = input => output`", code: `module.exports = (input) => ({ hello: input.name })`, payload: `{"name":"you"}`, want: `{"hello":"you"}`},
		{about: "an async function", code: `module.exports = async (input) => [input]`, payload: `7`, want: `[7]`},
		{about: "a JSON body is the input, the output the JSON response", code: `module.exports = async (input) => ({ hello: input.name })`,
			request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {"hello":"you"}`},
		{about: "an output of any form is data, not an answer", code: `module.exports = () => ({ statusCode: 404 })`, request: get("/"), want: `200 | application/json | {"statusCode":404}`},
		{about: "no body: the input is `{}`", code: `module.exports = (input) => ({ input })`, request: get("/?a=1"), want: `200 | application/json | {"input":{}}`},
		{about: "a body that is not JSON is text", code: `module.exports = (input) => input + '!'`, request: post("/", typeText, "hi"), want: `200 | text/plain; charset=utf-8 | hi!`},
		{about: "an ES module's default export", files: files{"main.mjs": `export default async (input) => input`}, handler: "main.handler", payload: `[1]`, want: `[1]`},
	}, nodeFailures(func(body string) string { return "module.exports = (input) => { " + body + " }" })...)}
}

func binarisNode() checks {
	return checks{dialect: "binaris", language: shim.Node, handler: "index.handler", list: append([]check{
		{about: "`body` is the parsed JSON", code: `exports.handler = async (body, ctx) => ({ hello: body.name })`,
			request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json | {"hello":"you"}`},
		{about: "`body` is `{}` when the request has none", code: `exports.handler = async (body) => ({ body })`, request: get("/"), want: `200 | application/json | {"body":{}}`},
		{about: "`body` is `undefined` when it is not JSON", code: `exports.handler = async (body, ctx) => [typeof body, ctx.request.body.toString()]`,
			request: post("/", typeText, "words"), want: `200 | application/json | ["undefined","words"]`},
		{about: "`ctx.request`: env, query, path, method, requestId, headers", env: map[string]string{"COLOUR": "blue"},
			code:    `exports.handler = async (body, { request: r }) => [r.env.COLOUR, r.query, r.path, r.method, typeof r.requestId, r.headers['x-a']]`,
			request: &request{method: "PUT", path: "/a/b?q=1&q=2", headers: map[string]string{"x-a": "yes"}},
			want:    `200 | application/json | ["blue",{"q":["1","2"]},"/a/b","PUT","string","yes"]`},
		{about: "`new ctx.HTTPResponse({statusCode, headers, body})`", request: get("/"),
			code: `exports.handler = async (body, ctx) => new ctx.HTTPResponse({ statusCode: 418, headers: { 'X-A': 'tea', 'Content-Type': 'text/html' }, body: '<b>pot</b>' })`,
			want: `418 | text/html | x-a=tea | <b>pot</b>`},
		{about: "a returned string is text", code: `exports.handler = async () => 'hi'`, request: get("/"), want: `200 | text/plain; charset=utf-8 | hi`},
		{about: "a returned Buffer is bytes", code: `exports.handler = async () => Buffer.from([255, 0])`, request: get("/"), want: `200 | application/octet-stream | base64:/wA=`},
		{about: "a function that is not async", code: `exports.handler = (body) => ({ n: body.n + 1 })`, request: post("/", typeJSON, `{"n":1}`), want: `200 | application/json | {"n":2}`},
		{about: "Invoke: the payload is `body`, what is returned is the result", code: `exports.handler = async (body, ctx) => ({ n: body.n + 1, m: ctx.request.method })`, payload: `{"n":1}`, want: `{"n":2,"m":"POST"}`},
	}, nodeFailures(func(body string) string { return "exports.handler = (body, ctx) => { " + body + " }" })...)}
}

func openwhiskNode() checks {
	return checks{dialect: "openwhisk", language: shim.Node, handler: "index.main", list: append([]check{
		{about: "`main(params)` returns an object", code: `exports.main = (params) => ({ hello: params.name })`, payload: `{"name":"you"}`, want: `{"hello":"you"}`},
		{about: "… or a promise", code: `exports.main = (params) => new Promise((ok) => setTimeout(ok, 1, { n: params.n }))`, payload: `{"n":1}`, want: `{"n":1}`},
		{about: "`function main` without an export", code: `function main(params) { return { hello: params.name } }`, payload: `{"name":"you"}`, want: `{"hello":"you"}`},
		{about: "query and JSON body are merged, the body wins", code: `exports.main = ({ a, b, c }) => ({ a, b, c })`,
			request: post("/?a=query&b=query", typeJSON, `{"b":"body","c":[1]}`), want: `200 | application/json | {"a":"query","b":"body","c":[1]}`},
		{about: "a form body is merged", code: `exports.main = ({ a, b }) => ({ a, b })`, request: post("/", typeForm, `a=1&b=x+y`), want: `200 | application/json | {"a":"1","b":"x y"}`},
		{about: "`__ow_method`, `__ow_path`, `__ow_query`, `__ow_headers`", code: `exports.main = (p) => ({ m: p.__ow_method, p: p.__ow_path, q: p.__ow_query, h: p.__ow_headers['x-a'] })`,
			request: &request{method: "DELETE", path: "/a/b?q=1", headers: map[string]string{"x-a": "yes"}}, want: `200 | application/json | {"m":"delete","p":"/a/b","q":"q=1","h":"yes"}`},
		{about: "`__ow_body`: other text as it is", code: `exports.main = (p) => ({ b: p.__ow_body })`, request: post("/", typeText, "words"), want: `200 | application/json | {"b":"words"}`},
		{about: "`__ow_body`: bytes as base64", code: `exports.main = (p) => ({ b: p.__ow_body })`, request: post("/", "application/octet-stream", "\xff\x00"), want: `200 | application/json | {"b":"/wA="}`},
		{about: "raw web actions, by `OW_RAW_HTTP=true`", env: map[string]string{"OW_RAW_HTTP": "true"}, code: `exports.main = (p) => ({ a: p.a === undefined, q: p.__ow_query, b: p.__ow_body })`,
			request: post("/?a=1", typeJSON, `{"a":2}`), want: `200 | application/json | {"a":true,"q":"a=1","b":"{\"a\":2}"}`},
		{about: "a web result: `{statusCode, headers, body}`", code: `exports.main = () => ({ statusCode: 201, headers: { 'X-A': 'b' }, body: '<b>hi</b>' })`, request: get("/"), want: `201 | text/html; charset=utf-8 | x-a=b | <b>hi</b>`},
		{about: "… with an object as body", code: `exports.main = () => ({ body: { a: 1 } })`, request: get("/"), want: `200 | application/json | {"a":1}`},
		{about: "… with base64 as body for binary types", code: `exports.main = () => ({ headers: { 'content-type': 'image/png' }, body: '/wA=' })`, request: get("/"), want: `200 | image/png | base64:/wA=`},
		{about: "… with nothing but a status", code: `exports.main = () => ({ statusCode: 302, headers: { location: '/there' } })`, request: get("/"), want: `302 | location=/there`},
		{about: "`{error: {statusCode, body}}` is an answer", code: `exports.main = () => ({ error: { statusCode: 404, body: 'gone' } })`, request: get("/"), want: `404 | text/html; charset=utf-8 | gone`},
		{about: "another `{error}` is 400", code: `exports.main = () => ({ error: 'bad' })`, request: get("/"), want: `400 | application/json | {"error":"bad"}`},
		{about: "Invoke: a payload is params, whatever its shape", code: `exports.main = (p) => ({ keys: Object.keys(p) })`, payload: get("/").eventText(), want: `{"keys":["version","routeKey","rawPath","rawQueryString","headers","requestContext","isBase64Encoded"]}`},
		{about: "nothing returned is `{}`", code: `exports.main = () => {}`, payload: `{}`, want: `{}`},
		{about: "`__OW_ACTION_NAME`, `__OW_NAMESPACE`", code: `exports.main = () => ({ a: process.env.__OW_ACTION_NAME, n: process.env.__OW_NAMESPACE })`, payload: `{}`, want: `{"a":"/_/hello","n":"_"}`},
	}, nodeFailures(func(body string) string { return "exports.main = (params) => { " + body + " }" })...)}
}

func kubelessNode() checks {
	return checks{dialect: "kubeless", language: shim.Node, handler: "handler.hello", list: append([]check{
		{about: "`event.data` is the JSON body", files: kubeless(`return { hello: event.data.name }`), request: post("/", typeJSON, `{"name":"you"}`), want: `200 | application/json; charset=utf-8 | {"hello":"you"}`},
		{about: "`event.data` is another body's text", files: kubeless(`return event.data + '!'`), request: post("/", typeText, "hi"), want: `200 | hi!`},
		{about: "`event.extensions.request`, `.response`", files: kubeless(`const { request, response } = event.extensions; response.status(201).set('X-A', request.get('x-b')).send(request.method + request.path)`),
			request: &request{method: "PUT", path: "/a?b=c", headers: map[string]string{"x-b": "d"}}, want: `201 | text/html; charset=utf-8 | x-a=d | PUT/a`},
		{about: "`event-id`, `event-type`, `event-time`, `event-namespace`", files: kubeless(`return [event['event-id'], event['event-type'], typeof event['event-time'], event['event-namespace']]`),
			request: &request{method: "POST", path: "/", headers: map[string]string{"event-id": "i", "event-type": "t", "event-namespace": "n"}}, want: `200 | application/json; charset=utf-8 | ["i","t","string","n"]`},
		{about: "`context`: function-name, timeout, runtime, memory-limit", files: kubeless(`return [context['function-name'], typeof context.timeout, context.runtime.slice(0, 6), context['memory-limit']]`),
			request: get("/"), want: `200 | application/json; charset=utf-8 | ["hello","string","nodejs","256Mi"]`},
		{about: "an async function", files: kubeless(`return Promise.resolve({ later: true })`), request: get("/"), want: `200 | application/json; charset=utf-8 | {"later":true}`},
		{about: "nothing returned is an empty response", files: kubeless(``), request: get("/"), want: `200`},
		{about: "Invoke: the payload is `event.data`, what is returned is the result", files: kubeless(`return { n: event.data.n + 1 }`), payload: `{"n":1}`, want: `{"n":2}`},
	}, asFiles(nodeFailures(func(body string) string { return kubeless(body)["handler.js"] }), "handler.js")...)}
}

func kubeless(body string) files {
	return files{"handler.js": "module.exports = { hello(event, context) { " + body + " } }"}
}

// asFiles gives the code of each check a file's name.
func asFiles(list []check, name string) []check {
	for i := range list {
		list[i].files, list[i].code = files{name: list[i].code}, ""
	}
	return list
}
