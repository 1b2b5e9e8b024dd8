package shim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

type files = map[string]string

func js(text string) files { return files{"index.js": text} }

func startNode(t *testing.T, o shimtest.Options) *shimtest.Instance {
	t.Helper()
	o.Language, o.Interpreter = shim.Node, node
	if o.Handler == "" {
		o.Handler = "index.handler"
	}
	return shimtest.Start(t, o)
}

// bothModels runs a test in an exclusive and in a concurrent instance.
func bothModels(t *testing.T, test func(t *testing.T, o shimtest.Options)) {
	t.Run("exclusive", func(t *testing.T) { test(t, shimtest.Options{}) })
	t.Run("concurrent", func(t *testing.T) { test(t, shimtest.Options{Slots: 4}) })
}

func TestNodeAnswers(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		files   files
		handler string
		payload string
		want    string
	}{
		{name: "async", files: js(`exports.handler = async (event) => ({ hello: event.name })`), payload: `{"name":"wörld €😀"}`, want: `{"hello":"wörld €😀"}`},
		{name: "promise", files: js(`exports.handler = (event) => new Promise((ok) => setTimeout(ok, 5, [1, 2]))`), want: `[1,2]`},
		{name: "thenable", files: js(`exports.handler = () => ({ then(ok) { setTimeout(ok, 5, 'later') } })`), want: `"later"`},
		{name: "callback", files: js(`exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 7), 5) }`), want: `7`},
		{name: "callback at once", files: js(`exports.handler = (event, context, callback) => callback(null, 'now')`), want: `"now"`},
		{name: "callback through the context", files: js(`exports.handler = (event, context) => { setTimeout(context.succeed, 5, 'old') }`), want: `"old"`},
		{name: "done", files: js(`exports.handler = (event, context) => { context.done(null, 'done') }`), want: `"done"`},
		{name: "first result wins", files: js(`exports.handler = (event, context, cb) => { context.callbackWaitsForEmptyEventLoop = false; cb(null, 1); cb(null, 2); context.fail('x') }`), want: `1`},
		{name: "plain value", files: js(`exports.handler = (event) => 'plain'`), want: `"plain"`},
		{name: "nothing", files: js(`exports.handler = () => {}`), want: `null`},
		{name: "nothing, with a context", files: js(`exports.handler = (event, context) => {}`), want: `null`},
		{name: "nothing, async", files: js(`exports.handler = async () => {}`), want: `null`},
		{name: "nothing, wrapped", files: js(`const inner = (event, context, callback) => { setTimeout(callback, 5, null, 'wrapped') }; exports.handler = (...args) => { inner(...args) }`), want: `"wrapped"`},
		{name: "bound", files: js(`exports.handler = function (event, context, callback) { setTimeout(callback, 5, null, this.name) }.bind({ name: 'bound' })`), want: `"bound"`},
		{name: "a function as the value", files: js(`exports.handler = async () => () => 1`), want: `null`},
		{name: "null", files: js(`exports.handler = async (event) => event`), payload: `null`, want: `null`},
		{name: "no payload", files: js(`exports.handler = async (event) => event`), payload: "", want: `{}`},
		{name: "string", files: js(`exports.handler = async (event) => event + '!'`), payload: `"a"`, want: `"a!"`},
		{name: "toJSON", files: js(`exports.handler = async () => new Date(0)`), want: `"1970-01-01T00:00:00.000Z"`},
		{name: "in a directory", files: files{"src/app.js": `exports.handler = async () => __filename.split('/').slice(-2).join('/')`}, handler: "src/app.handler", want: `"src/app.js"`},
		{name: "nested", files: files{"dir/file.js": `exports.nested = { obj: { fn: async () => 'deep' } }`}, handler: "dir/file.nested.obj.fn", want: `"deep"`},
		{name: "leading dot", files: files{"dir/file.js": `exports.fn = async () => 'dot'`}, handler: "./dir/file.fn", want: `"dot"`},
		{name: "mjs", files: files{"index.mjs": `const v = await Promise.resolve('top-level'); export const handler = async () => v;`}, want: `"top-level"`},
		{name: "type module", files: files{"package.json": `{"type":"module"}`, "index.js": `import { sep } from 'path'; export async function handler() { return sep + import.meta.url.split('/').pop() }`}, want: `"/index.js"`},
		{name: "cjs within a module", files: files{"package.json": `{"type":"module"}`, "index.cjs": `exports.handler = async () => 'cjs'`}, want: `"cjs"`},
		{name: "module over require", files: files{"index.js": `exports.handler = async () => (await import('./other.mjs')).default`, "other.mjs": `export default 'imported'`}, want: `"imported"`},
		{name: "node_modules", files: files{"index.js": `exports.handler = async () => require('dep').name`, "node_modules/dep/index.js": `exports.name = 'dep'`}, want: `"dep"`},
		{name: "node_modules from a module", files: files{"index.mjs": `import dep from 'dep'; export const handler = async () => dep.name`, "node_modules/dep/index.js": `exports.name = 'dep'`}, want: `"dep"`},
		{name: "handler in a package", files: files{"node_modules/dep/index.js": `exports.handler = async () => 'packaged'`}, handler: "dep.handler", want: `"packaged"`},
		{name: "handler in a directory's index", files: files{"app/index.js": `exports.handler = async () => 'indexed'`}, handler: "app.handler", want: `"indexed"`},
		{name: "json", files: files{"index.js": `exports.handler = async () => require('./data.json').a`, "data.json": `{"a":1}`}, want: `1`},
		{name: "working directory", files: files{"index.js": `exports.handler = async () => require('fs').readFileSync('note.txt', 'utf8')`, "note.txt": "read"}, want: `"read"`},
		{name: "typeof this", files: js(`exports.handler = async () => [typeof require.main, module.parent.exports && Object.keys(module.parent.exports).length, Object.keys(require.cache).length]`), want: `["undefined",0,1]`},
		{name: "stdin is empty", files: js(`exports.handler = async () => { let n = 0; for await (const piece of process.stdin) n += piece.length; return n }`), want: `0`},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bothModels(t, func(t *testing.T, o shimtest.Options) {
				o.Files, o.Handler = test.files, test.handler
				in := startNode(t, o)
				for _, id := range []string{"r1", "r2"} { // the second time it is warm
					if got := in.Call(t, id, test.payload); got.Failed || got.Err != nil || got.Response != test.want {
						t.Fatalf("%s: %v; want %s", id, got, test.want)
					}
				}
			})
		})
	}
}

func TestNodeHello(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: hello})
	if !strings.HasPrefix(in.Hello.Runtime, "nodejs") || in.Hello.PID != in.Process.Pid {
		t.Errorf("hello is %+v; the process is %d", in.Hello, in.Process.Pid)
	}
}

// failure decodes the document of a call that failed.
func failure(t *testing.T, r shimtest.Result) hearth.FailureDoc {
	t.Helper()
	var doc hearth.FailureDoc
	if !r.Failed || r.Err != nil {
		t.Fatalf("the call did not fail as it should: %v", r)
	}
	if err := json.Unmarshal([]byte(r.Response), &doc); err != nil {
		t.Fatalf("failure document %s: %v", r.Response, err)
	}
	return doc
}

func TestNodeFailures(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, code, payload string
		kind                string
		message             string // is part of the message
		trace               string // is part of the trace
	}{
		{name: "error", code: `async () => { throw new Error('boom') }`, kind: "Error", message: "boom", trace: "index.js:1"},
		{name: "subclass", code: `async () => { class Teapot extends Error { constructor(m) { super(m); this.name = 'Teapot' } }; throw new Teapot('short') }`, kind: "Teapot", message: "short", trace: "Teapot: short"},
		{name: "type error", code: `async (event) => event.a.b`, kind: "TypeError", message: "Cannot read properties of undefined"},
		{name: "synchronous throw", code: `(event, context, callback) => { throw new RangeError('sync') }`, kind: "RangeError", message: "sync"},
		{name: "rejection", code: `() => Promise.reject(new Error('no'))`, kind: "Error", message: "no"},
		{name: "callback", code: `(e, c, callback) => callback(new Error('back'))`, kind: "Error", message: "back"},
		{name: "callback with a string", code: `(e, c, callback) => callback('words')`, kind: "string", message: "words"},
		{name: "fail", code: `(e, context) => { context.fail(new Error('failed')) }`, kind: "Error", message: "failed"},
		{name: "fail without words", code: `(e, context) => { context.fail() }`, kind: "string", message: "handled"},
		{name: "string", code: `async () => { throw 'just words' }`, kind: "string", message: "just words"},
		{name: "undefined", code: `async () => { throw undefined }`, kind: "undefined", message: "undefined"},
		{name: "object", code: `async () => { throw { a: 1 } }`, kind: "object", message: "[object Object]"},
		{name: "number", code: `async () => { throw 42 }`, kind: "number", message: "42"},
		{name: "error-like", code: `async () => { throw { name: 'Like', message: 'an error', stack: 'here' } }`, kind: "Like", message: "an error", trace: "here"},
		{name: "hostile error", code: `async () => { throw { get name() { throw 1 }, toString() { throw 2 } } }`, kind: "handled", message: "Throw an Error"},
		{name: "circular", code: `async () => { const a = {}; a.a = a; return a }`, kind: "Error", message: "Unable to stringify response body: Converting circular structure to JSON"},
		{name: "BigInt", code: `async () => ({ n: 1n })`, kind: "Error", message: "Unable to stringify response body: Do not know how to serialize a BigInt"},
		{name: "toJSON throws", code: `async () => ({ toJSON() { throw new Error('never') } })`, kind: "Error", message: "Unable to stringify response body: never"},
		{name: "too large", code: `async () => 'x'.repeat(6291556)`, kind: "Function.ResponseSizeTooLarge", message: "Response payload size (6291558 bytes) exceeded maximum allowed payload size (6291556 bytes)"},
		{name: "huge error", code: `async () => { throw new Error('x'.repeat(7e6)) }`, kind: "Error", message: "[cut]"},
		{name: "not JSON", code: `async () => 1`, payload: `{"a":`, kind: "SyntaxError", message: "JSON"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bothModels(t, func(t *testing.T, o shimtest.Options) {
				o.Files = js("exports.handler = " + test.code)
				in := startNode(t, o)
				for _, id := range []string{"r1", "r2"} { // the instance survives it
					doc := failure(t, in.Call(t, id, test.payload))
					if doc.ErrorType != test.kind || !strings.Contains(doc.ErrorMessage, test.message) {
						t.Errorf("got %s: %.300s; want %s: …%s…", doc.ErrorType, doc.ErrorMessage, test.kind, test.message)
					}
					if !strings.Contains(strings.Join(doc.Trace, "\n"), test.trace) {
						t.Errorf("trace %q lacks %q", doc.Trace, test.trace)
					}
					if slices.Contains(doc.Trace, "") {
						t.Errorf("trace %q has an empty line", doc.Trace)
					}
					if log := in.Log(id, 2); !strings.Contains(log, id+"\tERROR\tInvoke Error \t{\"errorType\":") {
						t.Errorf("the log does not tell of the failure: %.300q", log)
					}
				}
			})
		})
	}
}

func TestNodeInitFailures(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		files   files
		handler string
		kind    string
		message []string // parts of the message
	}{
		{name: "no such export", files: js(`exports.main = () => 1; exports.other = () => 2`), kind: "Runtime.HandlerNotFound",
			message: []string{"index.handler is undefined or not exported", "index.js exports the functions main, other"}},
		{name: "no exports", files: js(``), kind: "Runtime.HandlerNotFound", message: []string{"exports no functions", "exports.handler ="}},
		{name: "exports a function itself", files: js(`module.exports = async () => 1`), kind: "Runtime.HandlerNotFound", message: []string{"exports a function itself", "exports.handler ="}},
		{name: "not a function", files: js(`exports.handler = 5`), kind: "Runtime.HandlerNotFound", message: []string{"not a function but number"}},
		{name: "default export only", files: files{"index.mjs": `export default () => 1`}, kind: "Runtime.HandlerNotFound", message: []string{"exports the functions default"}},
		{name: "malformed", files: js(``), handler: "handler", kind: "Runtime.MalformedHandlerName", message: []string{"'handler'", "index.handler"}},
		{name: "malformed, no function", files: js(``), handler: "dir/index", kind: "Runtime.MalformedHandlerName", message: []string{"file.function"}},
		{name: "malformed, parent", files: js(``), handler: "../index.handler", kind: "Runtime.MalformedHandlerName", message: []string{"'..'"}},
		{name: "malformed, ends in a dot", files: js(``), handler: "index.", kind: "Runtime.MalformedHandlerName", message: []string{"file.function"}},
		{name: "no such file", files: files{"main.js": ``, "lib/a.js": ``}, kind: "Runtime.ImportModuleError",
			message: []string{"Cannot find module 'index'", "lib/, main.js"}},
		{name: "missing package", files: js(`require('@scope/left-pad/lib')`), kind: "Runtime.ImportModuleError",
			message: []string{"Cannot find module '@scope/left-pad/lib'", "node_modules of the archive", "npm install @scope/left-pad"}},
		{name: "missing package in a module", files: files{"index.mjs": `import 'left-pad'`}, kind: "Runtime.ImportModuleError",
			message: []string{"Cannot find package 'left-pad'", "npm install left-pad"}},
		{name: "missing file", files: js(`require('./helper')`), kind: "Runtime.ImportModuleError", message: []string{"'./helper'", "Is this file in the archive?"}},
		{name: "syntax error", files: js("const a = 1;\nlet b = ;\n"), kind: "Runtime.UserCodeSyntaxError", message: []string{"SyntaxError: Unexpected token ';'", "index.js:2"}},
		{name: "syntax error in a module", files: files{"index.mjs": "const a = 1;\nlet b = ;\n"}, kind: "Runtime.UserCodeSyntaxError", message: []string{"SyntaxError: Unexpected token ';'", "index.mjs:2"}},
		{name: "syntax error in a required file", files: files{"index.js": `require('./lib/b.js')`, "lib/b.js": "\n\n}"}, kind: "Runtime.UserCodeSyntaxError", message: []string{"lib/b.js:3"}},
		{name: "wrong import", files: files{"index.mjs": "import { nothing } from 'fs'"}, kind: "Runtime.UserCodeSyntaxError", message: []string{"nothing"}},
		{name: "throws while loading", files: js(`class ConfigError extends Error { name = 'ConfigError' }; throw new ConfigError('DB_URL is not set')`), kind: "ConfigError", message: []string{"DB_URL is not set"}},
		{name: "throws a string while loading", files: js(`throw 'words'`), kind: "string", message: []string{"words"}},
		{name: "rejection at top level", files: files{"index.mjs": `await Promise.reject(new TypeError('late'))`}, kind: "TypeError", message: []string{"late"}},
		{name: "lost rejection while loading", files: files{"index.mjs": `Promise.reject(new TypeError('lost')); await new Promise((ok) => setTimeout(ok, 1000))`}, kind: "Runtime.UnhandledPromiseRejection", message: []string{"TypeError: lost"}},
		{name: "uncaught while loading", files: files{"index.mjs": `setImmediate(() => { throw new RangeError('late') }); await new Promise((ok) => setTimeout(ok, 1000))`}, kind: "RangeError", message: []string{"late"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			bothModels(t, func(t *testing.T, o shimtest.Options) {
				o.Files, o.Handler = test.files, test.handler
				in := startNode(t, o)
				doc := initFailure(t, in)
				if doc.ErrorType != test.kind {
					t.Errorf("type %s (%s); want %s", doc.ErrorType, doc.ErrorMessage, test.kind)
				}
				for _, part := range test.message {
					if !strings.Contains(doc.ErrorMessage, part) {
						t.Errorf("message %q lacks %q", doc.ErrorMessage, part)
					}
				}
				if log := in.Log("", 2); strings.Contains(log, "\tundefined\t") || !strings.Contains(log, "\t\tERROR\t") {
					t.Errorf("the log names an invocation, or tells of no error: %.300q", log)
				}
				if code := in.Exit(t); code == 0 {
					t.Errorf("the shim exited with status 0")
				}
				if out := in.Output(t); out != "" {
					t.Errorf("the shim wrote to the real output: %s", out)
				}
			})
		})
	}
}
