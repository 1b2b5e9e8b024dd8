package shim_test

import (
	"strings"

	"hearth/internal/link/shim"
)

// googleChecks hold with the vendor's framework and without it.
func googleChecks() []check {
	const event = `{"data":{"n":1},"context":{"eventId":"7","eventType":"t"}}`
	return append([]check{
		{about: "`exports.fn = (req, res)`: `res.send` of text", code: `exports.fn = (req, res) => { res.send('hi ' + req.method) }`, request: get("/"), want: `200 | text/html; charset=utf-8 | hi GET`},
		{about: "`req.body` of JSON, `res.status().json()`", code: `exports.fn = (req, res) => { res.status(201).json({ hello: req.body.name }) }`,
			request: post("/", typeJSON, `{"name":"you"}`), want: `201 | application/json; charset=utf-8 | {"hello":"you"}`},
		{about: "`req.body` of text, forms and bytes", code: `exports.fn = (req, res) => { res.json([req.body, Buffer.isBuffer(req.body)]) }`, request: post("/", typeForm, `a=1&b=x+y`), want: `200 | application/json; charset=utf-8 | [{"a":"1","b":"x y"},false]`},
		{about: "`req.rawBody`", code: `exports.fn = (req, res) => { res.send(req.rawBody) }`, request: post("/", "image/png", "\xff\x00"), want: `200 | application/octet-stream | base64:/wA=`},
		{about: "`req.query`, `req.path`, `req.get()`, `req.ip`, `req.is()`", code: `exports.fn = (req, res) => { res.json([req.query, req.path, req.get('X-A'), req.ip, req.is('json')]) }`,
			request: &request{method: "POST", path: "/a/b?q=1&q=2", body: "{}", headers: map[string]string{"x-a": "yes", "content-type": typeJSON}}, want: `200 | application/json; charset=utf-8 | [{"q":["1","2"]},"/a/b","yes","203.0.113.9","json"]`},
		{about: "`res.set()`, `res.type()`, `res.end()`", code: `exports.fn = (req, res) => { res.set('X-A', 'b').set({ 'X-C': 'd' }).type('txt'); res.end('done') }`, request: get("/"), want: `200 | text/plain; charset=utf-8 | x-a=b | x-c=d | done`},
		{about: "`res.sendStatus()`", code: `exports.fn = (req, res) => { res.sendStatus(404) }`, request: get("/"), want: `404 | text/plain; charset=utf-8 | Not Found`},
		{about: "`res.redirect()`", code: `exports.fn = (req, res) => { res.redirect(301, '/there') }`, request: get("/"), want: `301 | text/plain; charset=utf-8 | location=/there | Moved Permanently. Redirecting to /there`},
		{about: "`res.cookie()`, twice", code: `exports.fn = (req, res) => { res.cookie('a', '1').cookie('b', '2', { httpOnly: true }).status(204).end() }`, request: get("/"), want: `204 | cookie a=1; Path=/ | cookie b=2; Path=/; HttpOnly`},
		{about: "`res.writeHead()`, as node has it", code: `exports.fn = (req, res) => { res.writeHead(202, { 'X-A': 'b', 'Content-Type': 'text/css' }); res.end('x') }`, request: get("/"), want: `202 | text/css | x-a=b | x`},
		{about: "an async function, `await`", code: `exports.fn = async (req, res) => { await new Promise((ok) => setTimeout(ok, 2)); res.send({ ok: true }) }`, request: get("/"), want: `200 | application/json; charset=utf-8 | {"ok":true}`},
		{about: "`res.write()` streams: what is written leaves at once", code: `exports.fn = async (req, res) => { res.status(202).set('X-A', 'b').type('txt'); res.write('one '); await new Promise((ok) => setTimeout(ok, 2)); res.end('two') }`, request: get("/"), want: `202 | text/plain; charset=utf-8 | x-a=b | streamed: one two`},
		{about: "a stream piped into `res`, with back-pressure", code: `exports.fn = (req, res) => { require('stream').Readable.from((function* () { for (let i = 0; i < 20; i++) yield Buffer.alloc(1e5, 'x') })()).pipe(res) }`, request: get("/"), want: "200 | streamed: " + strings.Repeat("x", 2e6)},
		{about: "an error after the first bytes", code: `exports.fn = async (req, res) => { res.write('one'); await new Promise((ok) => setTimeout(ok, 2)); throw new RangeError('late') }`, request: get("/"), failure: "RangeError"},
		{about: "Invoke of a function that streams: the result is all of it", code: `exports.fn = (req, res) => { res.type('txt'); res.write('one '); res.end('two') }`, payload: `{}`, want: `"one two"`},
		{about: "`/favicon.ico` does not reach the function", code: `exports.fn = (req, res) => { res.send('no') }`, request: get("/favicon.ico"), want: `404`},
		{about: "bad JSON does not reach the function", code: `exports.fn = (req, res) => { res.send('no') }`, request: post("/", typeJSON, `{"a":`), want: `400 | *`},
		{about: "`functions.http(name, fn)`", code: `require('@google-cloud/functions-framework').http('fn', (req, res) => { res.send('registered') })`, request: get("/"), want: `200 | text/html; charset=utf-8 | registered`},
		{about: "`functions.cloudEvent(name, fn)`, structured", code: `require('@google-cloud/functions-framework').cloudEvent('fn', async (e) => ({ id: e.id, n: e.data.n }))`,
			request: post("/", "application/cloudevents+json", `{"specversion":"1.0","id":"7","type":"t","source":"s","data":{"n":1}}`), want: `200 | application/json; charset=utf-8 | {"id":"7","n":1}`},
		{about: "`functions.cloudEvent(name, fn)`, binary", code: `require('@google-cloud/functions-framework').cloudEvent('fn', (e, done) => done(null, { id: e.id, n: e.data.n }))`,
			request: &request{method: "POST", path: "/", body: `{"n":1}`, headers: map[string]string{"content-type": typeJSON, "ce-id": "7", "ce-specversion": "1.0", "ce-type": "t", "ce-source": "s"}},
			want:    `200 | application/json; charset=utf-8 | {"id":"7","n":1}`},
		{about: "a CloudEvent by Invoke; another payload is the data of one", code: `require('@google-cloud/functions-framework').cloudEvent('fn', async (e) => ({ type: e.type, n: e.data.n }))`, payload: `{"n":1}`, want: `{"type":"hearth.invoke","n":1}`},
		{about: "background `(data, context)`", code: `exports.fn = async (data, context) => ({ n: data.n, id: context.eventId })`, payload: event, want: `{"n":1,"id":"7"}`},
		{about: "background `(data, context, callback)`", code: `exports.fn = (data, context, callback) => { callback(null, { n: data.n }) }`, payload: event, want: `{"n":1}`},
		{about: "background `(event, callback)` of the first runtime", code: `exports.fn = (event, callback) => { callback(null, { n: event.data.n, id: event.eventId }) }`, payload: event, want: `{"n":1,"id":"7"}`},
		{about: "background, over HTTP", code: `exports.fn = async (data, context) => { console.log(data.n + context.eventId) }`, request: post("/", typeJSON, event), want: `204`, log: "17"},
		{about: "`FUNCTION_SIGNATURE_TYPE=event`", env: map[string]string{"FUNCTION_SIGNATURE_TYPE": "event"}, code: `exports.fn = async (message, meta) => message.n`, payload: event, want: `1`},
		{about: "Invoke of an HTTP function: the payload is the JSON body", code: `exports.fn = (req, res) => { res.json({ n: req.body.n + 1 }) }`, payload: `{"n":1}`, want: `{"n":2}`},
		{about: "Invoke of an HTTP function: an error status is told whole", code: `exports.fn = (req, res) => { res.status(404).type('txt').end('no') }`, payload: `{}`, want: `{"statusCode":404,"headers":{"content-type":"text/plain; charset=utf-8"},"body":"no"}`},
		{about: "console output carries the request id", code: `exports.fn = (req, res) => { setTimeout(() => { console.log('late'); res.end() }, 1) }`, request: get("/"), want: `200`, log: "\tINFO\tlate"},
	}, googleFailures()...)
}

func googleFailures() []check {
	list := nodeFailures(func(body string) string { return "exports.fn = (req, res) => { " + body + " }" })
	return append(list,
		check{about: "an error thrown in a CloudEvent function", code: `require('@google-cloud/functions-framework').cloudEvent('fn', async () => { throw new RangeError('x') })`, payload: `{}`, failure: "RangeError"},
		check{about: "an error given to a background function's callback", code: `exports.fn = (data, context, callback) => callback(new TypeError('x'))`, payload: `{}`, failure: "TypeError"})
}

func googleNode() checks {
	return checks{dialect: "google", language: shim.Node, handler: "index.fn", list: googleChecks()}
}
