package shim_test

import "hearth/internal/link/shim"

// functionJSON describes an HTTP function of Azure's models v1 to v3.
func functionJSON(out string, more string) files {
	return files{"hello/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"` + more + `},{"type":"http","direction":"out","name":"` + out + `"}]}`}
}

func azure3(body string) string { return "module.exports = async (context, req) => { " + body + " }" }

func azure3Node() checks {
	in := func(out, code string) files {
		return merged(functionJSON(out, ""), files{"hello/index.js": code})
	}
	list := []check{
		{about: "v3: `context.res = { status, headers, body }`", files: in("res", azure3(`context.res = { status: 201, headers: { 'X-A': 'b' }, body: 'hi ' + req.query.name }`)), request: get("/?name=you"), want: `201 | text/plain; charset=utf-8 | x-a=b | hi you`},
		{about: "v3: a returned value, `$return`", files: in("$return", azure3(`return { status: 202, body: { got: req.body.n } }`)), request: post("/", typeJSON, `{"n":1}`), want: `202 | application/json; charset=utf-8 | {"got":1}`},
		{about: "v3: a returned response without `$return`", files: in("res", azure3(`return { body: 'returned' }`)), request: get("/"), want: `200 | text/plain; charset=utf-8 | returned`},
		{about: "v3: a returned value by binding name", files: in("res", azure3(`return { res: { body: 'named' } }`)), request: get("/"), want: `200 | text/plain; charset=utf-8 | named`},
		{about: "v1: `context.done(null, response)`", files: in("res", `module.exports = (context, req) => { setTimeout(() => context.done(null, { status: 203, body: 'done' }), 1) }`), request: get("/"), want: `203 | text/plain; charset=utf-8 | done`},
		{about: "v1: `context.res`, then `context.done()`", files: in("res", `module.exports = (context, req) => { context.res = { body: 'old' }; context.done() }`), request: get("/"), want: `200 | text/plain; charset=utf-8 | old`},
		{about: "v1: `context.res.status().json()`", files: in("res", `module.exports = (context, req) => { context.res.status(201).set('X-A', 'b').json({ a: 1 }) }`), request: get("/"), want: `201 | application/json | x-a=b | {"a":1}`},
		{about: "v1: `context.bindings.res`", files: in("res", azure3(`context.bindings.res = { body: 'bound' }`)), request: get("/"), want: `200 | text/plain; charset=utf-8 | bound`},
		{about: "v3: no response is 204", files: in("res", azure3(``)), request: get("/"), want: `204`},
		{about: "v3: bytes as body", files: in("res", azure3(`context.res = { body: Buffer.from([255, 0]) }`)), request: get("/"), want: `200 | application/octet-stream | base64:/wA=`},
		{about: "v3: `req`: method, url, headers, query, params, body, rawBody", files: in("res", azure3(`context.res = { body: [req.method, req.url, req.headers['x-a'], req.body, req.rawBody, context.req === req] }`)),
			request: &request{method: "POST", path: "/a?b=1", body: "text", headers: map[string]string{"x-a": "yes", "content-type": typeText}}, want: `200 | application/json; charset=utf-8 | ["POST","http://fn.localhost:8080/a?b=1","yes","text","text",true]`},
		{about: "v3: route parameters", files: merged(functionJSON("res", `,"route":"items/{kind:alpha}/{id:int?}"`), files{"hello/index.js": azure3(`context.res = { body: [req.params, context.bindingData.kind] }`)}),
			request: get("/api/items/tea/7"), want: `200 | application/json; charset=utf-8 | [{"kind":"tea","id":"7"},"tea"]`},
		{about: "v3: `routePrefix` of host.json", files: merged(functionJSON("res", `,"route":"items/{kind}"`), files{"host.json": `{"version":"2.0","extensions":{"http":{"routePrefix":"shop/v1"}}}`, "hello/index.js": azure3(`context.res = { body: req.params }`)}),
			request: get("/shop/v1/items/tea"), want: `200 | application/json; charset=utf-8 | {"kind":"tea"}`},
		{about: "v3: methods that are not listed are 404", files: merged(functionJSON("res", `,"methods":["post"]`), files{"hello/index.js": azure3(``)}), request: get("/"), want: `404`},
		{about: "v3: `context.log` and its levels", files: in("res", azure3(`context.log('a', 1); context.log.warn('b'); context.log.verbose('c')`)), request: get("/"), want: `204`, log: "\tINFO\ta 1\n"},
		{about: "v3: `context.invocationId`, `executionContext`", files: in("res", azure3(`context.res = { body: [context.invocationId === context.executionContext.invocationId, context.executionContext.functionName] }`)), request: get("/"), want: `200 | application/json; charset=utf-8 | [true,"hello"]`},
		{about: "v3: cookies", files: in("res", azure3(`context.res = { body: 'x', cookies: [{ name: 'a', value: '1', httpOnly: true }] }`)), request: get("/"), want: `200 | text/plain; charset=utf-8 | cookie a=1; HttpOnly | x`},
		{about: "v3: `scriptFile`, `entryPoint`", files: files{"hello/function.json": `{"scriptFile":"../dist/all.js","entryPoint":"two","bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"$return"}]}`,
			"dist/all.js": `exports.one = async () => ({ body: '1' }); exports.two = async () => ({ body: '2' })`}, request: get("/"), want: `200 | text/plain; charset=utf-8 | 2`},
		{about: "v3: without function.json, an HTTP function", files: files{"src/app.js": `exports.run = async (context, req) => ({ body: 'bare' })`}, handler: "src/app.run", request: get("/"), want: `200 | text/plain; charset=utf-8 | bare`},
		{about: "v3: Invoke: the payload is `req.body`", files: in("$return", azure3(`return { body: { n: req.body.n + 1 } }`)), payload: `{"n":1}`, want: `{"n":2}`},
		{about: "v3: another trigger gets the payload; `$return` is the result", files: files{"hello/function.json": `{"bindings":[{"type":"queueTrigger","direction":"in","name":"item"},{"type":"queue","direction":"out","name":"$return"}]}`,
			"hello/index.js": `module.exports = async (context, item) => ({ seen: item, bound: context.bindings.item === item })`}, payload: `{"n":1}`, want: `{"seen":{"n":1},"bound":true}`},
		{about: "v3: other output bindings are the result", files: files{"hello/function.json": `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer"},{"type":"queue","direction":"out","name":"out"}]}`,
			"hello/index.js": `module.exports = async (context, timer) => { context.bindings.out = [1] }`}, payload: `{}`, want: `{"out":[1]}`},
		{about: "v1: an error given to `context.done`", files: in("res", `module.exports = (context) => context.done(new TypeError('x'))`), request: get("/"), failure: "TypeError"},
	}
	for _, c := range nodeFailures(func(body string) string { return "module.exports = (context, req) => { " + body + " }" }) {
		c.about, c.files, c.code = "v3: "+c.about, in("res", c.code), ""
		list = append(list, c)
	}
	return checks{dialect: "azure", language: shim.Node, handler: "hello/index.handler", list: list}
}

func azure4(options, body string) string {
	return "const { app } = require('@azure/functions'); app.http('hello', { " + options + " handler: async (request, context) => { " + body + " } })"
}

func azure4Node() checks {
	list := []check{
		{about: "v4: `app.http(name, { handler })`", code: azure4("", `return { status: 201, headers: { 'X-A': 'b' }, body: 'hi ' + request.query.get('name') }`), request: get("/?name=you"), want: `201 | text/plain;charset=UTF-8 | x-a=b | hi you`},
		{about: "v4: `jsonBody`, `request.json()`", code: azure4(`methods: ['POST'],`, `const { n } = await request.json(); return { jsonBody: { got: n } }`), request: post("/", typeJSON, `{"n":1}`), want: `200 | application/json | {"got":1}`},
		{about: "v4: `request`: method, url, headers, params, text()", code: azure4(`methods: ['POST'], route: 'items/{kind}/{id?}',`, `return { jsonBody: [request.method, request.url, request.headers.get('x-a'), request.params, await request.text()] }`),
			request: &request{method: "POST", path: "/api/items/tea?b=1", body: "text", headers: map[string]string{"x-a": "yes", "content-type": typeText}}, want: `200 | application/json | ["POST","http://fn.localhost:8080/api/items/tea?b=1","yes",{"kind":"tea"},"text"]`},
		{about: "v4: bytes, both ways", code: azure4(`methods: ['POST'],`, `return { body: Buffer.from(await request.arrayBuffer()), headers: { 'content-type': 'image/png' } }`), request: post("/", "image/png", "\xff\x00"), want: `200 | image/png | base64:/wA=`},
		{about: "v4: a ReadableStream as body", code: azure4("", `return { body: new ReadableStream({ start(c) { c.enqueue(Buffer.from('one ')); setTimeout(() => { c.enqueue(Buffer.from('two')); c.close() }, 2) } }) }`), request: get("/"), want: `200 | one two`},
		{about: "v4: `app.setup({ enableHttpStream: true })`", code: `const { app } = require('@azure/functions'); app.setup({ enableHttpStream: true }); app.http('hello', { methods: ['POST'], handler: async (request) => { let n = 0; for await (const part of request.body) n += part.length; return { status: 202, body: 'bytes: ' + n } } })`,
			request: post("/", typeText, "12345"), want: `202 | text/plain;charset=UTF-8 | streamed: bytes: 5`},
		{about: "v4: cookies", code: azure4("", `return { body: 'x', cookies: [{ name: 'a', value: '1', httpOnly: true, sameSite: 'Lax' }] }`), request: get("/"), want: `200 | text/plain;charset=UTF-8 | cookie a=1; HttpOnly; SameSite=Lax | x`},
		{about: "v4: no response is 204", code: azure4("", ``), request: get("/"), want: `204`},
		{about: "v4: methods that are not listed are 404", code: azure4(`methods: ['POST'],`, `return {}`), request: get("/"), want: `404`},
		{about: "v4: `context.log` and its levels, `invocationId`, `functionName`", code: azure4("", `context.warn('careful'); context.log('a', 1); return { jsonBody: [context.functionName, context.invocationId.length > 0] }`), request: get("/"), want: `200 | application/json | ["hello",true]`, log: "\tINFO\ta 1\n"},
		{about: "v4: hooks: `app.hook.preInvocation`, `postInvocation`", code: `const { app } = require('@azure/functions'); app.hook.preInvocation((c) => { c.inputs[0].mark = 'pre' }); app.hook.postInvocation((c) => { c.result.headers = { 'X-A': 'post' } }); app.get('hello', async (request) => ({ body: request.mark }))`, request: get("/"), want: `200 | text/plain;charset=UTF-8 | x-a=post | pre`},
		{about: "v4: several functions, the handler names one", code: `const { app } = require('@azure/functions'); app.get('one', async () => ({ body: '1' })); app.get('two', async () => ({ body: '2' }))`, handler: "index.two", request: get("/"), want: `200 | text/plain;charset=UTF-8 | 2`},
		{about: "v4: `main` of package.json with a pattern", files: files{"package.json": `{"main":"src/{index.js,functions/*.js}"}`, "src/functions/a.js": azure4("", `return { body: 'found' }`)}, handler: "hello", request: get("/"), want: `200 | text/plain;charset=UTF-8 | found`},
		{about: "v4: an ES module", files: files{"app.mjs": `import { app } from '@azure/functions'; app.http('hello', { handler: async () => ({ body: 'esm' }) })`}, handler: "app.hello", request: get("/"), want: `200 | text/plain;charset=UTF-8 | esm`},
		{about: "v4: Invoke: the payload is the JSON body", code: azure4(`methods: ['POST'],`, `const { n } = await request.json(); return { jsonBody: { n: n + 1 } }`), payload: `{"n":1}`, want: `{"n":2}`},
		{about: "v4: `app.storageQueue`, by Invoke", code: `const { app, output } = require('@azure/functions'); app.storageQueue('hello', { queueName: 'q', connection: 'c', handler: async (item, context) => ({ seen: item.n }) })`, payload: `{"n":1}`, want: `{"seen":1}`},
		{about: "v4: `app.timer`, extra outputs are the result", code: `const { app, output } = require('@azure/functions'); const out = output.storageQueue({ queueName: 'q', connection: 'c', name: 'out' }); app.timer('hello', { schedule: '* * * * * *', extraOutputs: [out], handler: (timer, context) => { context.extraOutputs.set(out, [1]) } })`, payload: `{"isPastDue":false}`, want: `{"out":[1]}`},
	}
	for _, c := range nodeFailures(func(body string) string {
		return "const { app } = require('@azure/functions'); app.http('hello', { handler: (request, context) => { " + body + " } })"
	}) {
		c.about = "v4: " + c.about
		list = append(list, c)
	}
	return checks{dialect: "azure", language: shim.Node, handler: "index.hello", list: list}
}
