package shim_test

import "hearth/internal/link/shim"

// azureMain is the file of a function of Azure's Python v1 model, with its function.json.
func azureMain(code, more string) files {
	return files{"hello/__init__.py": code,
		"hello/function.json": `{"scriptFile":"__init__.py","bindings":[{"type":"httpTrigger","direction":"in","name":"req"` + more + `},{"type":"http","direction":"out","name":"$return"}]}`}
}

const azurePythonHead = "import logging\nimport azure.functions as func\n"

// azureApp is the function_app.py of the v2 model, with one HTTP function.
func azureApp(route, body string) files {
	return files{"function_app.py": azurePythonHead + "app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n\n@app.route(" + route + ")\ndef hello(req: func.HttpRequest) -> func.HttpResponse:\n    " + body + "\n"}
}

func azurePythonV1() []check {
	http := func(body string) files {
		return azureMain(azurePythonHead+"def main(req: func.HttpRequest) -> func.HttpResponse:\n    "+body, "")
	}
	return []check{
		{about: "v1: `def main(req)` returns a `func.HttpResponse`", files: http(`return func.HttpResponse("hi " + req.params.get("name"), status_code=201, headers={"X-A": "b"})`), request: get("/?name=you"), want: `201 | text/plain; charset=utf-8 | x-a=b | hi you`},
		{about: "v1: `req`: method, url, headers, params, get_body, get_json", files: http(`return func.HttpResponse(str([req.method, req.url, req.headers["X-A"], req.params["q"], len(req.get_body()), req.get_json()["n"]]))`),
			request: &request{method: "PUT", path: "/a?q=1&q=2", body: `{"n":1}`, headers: map[string]string{"x-a": "yes", "content-type": typeJSON}}, want: `200 | text/plain; charset=utf-8 | ['PUT', 'http://fn.localhost:8080/a?q=1&q=2', 'yes', '1,2', 7, 1]`},
		{about: "v1: bad JSON is a ValueError of `get_json`", files: http("try: req.get_json()\n    except ValueError: return func.HttpResponse('bad', status_code=400)"), request: post("/", typeJSON, "{"), want: `400 | text/plain; charset=utf-8 | bad`},
		{about: "v1: `mimetype`, bytes as body", files: http(`return func.HttpResponse(b"\xff\x00", mimetype="image/png")`), request: get("/"), want: `200 | image/png | base64:/wA=`},
		{about: "v1: `req.form`, `req.files`", files: http(`return func.HttpResponse(req.form["a"])`), request: post("/", typeForm, "a=x+y"), want: `200 | text/plain; charset=utf-8 | x y`},
		{about: "v1: returned text", files: http(`return "text"`), request: get("/"), want: `200 | text/plain; charset=utf-8 | text`},
		{about: "v1: nothing returned is 204", files: http(`pass`), request: get("/"), want: `204`},
		{about: "v1: `route` with parameters", files: azureMain("def main(req): return str(dict(req.route_params))", `,"route":"items/{kind:alpha}/{id:int?}"`), request: get("/api/items/tea/7"), want: `200 | text/plain; charset=utf-8 | {'kind': 'tea', 'id': '7'}`},
		{about: "v1: `routePrefix` of host.json", files: merged(azureMain("def main(req): return str(dict(req.route_params))", `,"route":"items/{kind}"`), files{"host.json": `{"version":"2.0","extensions":{"http":{"routePrefix":"shop/v1"}}}`}), request: get("/shop/v1/items/tea"), want: `200 | text/plain; charset=utf-8 | {'kind': 'tea'}`},
		{about: "v1: methods that are not listed are 404", files: azureMain("def main(req): return 'x'", `,"methods":["post"]`), request: get("/"), want: `404`},
		{about: "v1: `context`: invocation_id, function_name, function_directory", files: azureMain("def main(req, context): return str([context.invocation_id, context.function_name, context.function_directory[-6:]])[0:4]", ""), request: get("/"), want: `200 | text/plain; charset=utf-8 | ['r*`},
		{about: "v1: `func.Out[…]` as the response", files: files{"hello/main.py": azurePythonHead + "def main(req: func.HttpRequest, res: func.Out[func.HttpResponse]):\n    res.set(func.HttpResponse('out'))",
			"hello/function.json": `{"scriptFile":"main.py","bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"res"}]}`}, request: get("/"), want: `200 | text/plain; charset=utf-8 | out`},
		{about: "v1: `scriptFile`, `entryPoint`, relative imports", files: files{"hello/function.json": `{"scriptFile":"../shared/all.py","entryPoint":"two","bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"$return"}]}`,
			"shared/all.py": "from . import more\nfrom ..other import word\nfrom __app__.other import word as same\ndef two(req): return more.name + word + same", "shared/more.py": "name = 'more'", "other.py": "word = '!'"}, request: get("/"), want: `200 | text/plain; charset=utf-8 | more!!`},
		{about: "v1: `async def`", files: azureMain("import asyncio\nasync def main(req):\n    await asyncio.sleep(0.002)\n    return 'later'", ""), request: get("/"), want: `200 | text/plain; charset=utf-8 | later`},
		{about: "v1: `logging.info` is in the log", files: http("logging.info('said %d', 1)\n    return 'x'"), request: get("/"), want: `200 | text/plain; charset=utf-8 | x`, log: "said 1\n"},
		{about: "v1: without function.json, an HTTP function", files: files{"app.py": "def run(request): return request.method"}, handler: "app.run", request: get("/"), want: `200 | text/plain; charset=utf-8 | GET`},
		{about: "v1: Invoke: the payload is the JSON body", files: http(`return func.HttpResponse('{"n": %d}' % (req.get_json()["n"] + 1), mimetype="application/json")`), payload: `{"n":1}`, want: `{"n": 2}`},
		{about: "v1: a queue trigger by Invoke; `$return`", files: files{"hello/function.json": `{"bindings":[{"type":"queueTrigger","direction":"in","name":"msg"},{"type":"queue","direction":"out","name":"$return"}]}`,
			"hello/__init__.py": azurePythonHead + "def main(msg: func.QueueMessage): return [msg.get_body().decode(), msg.get_json()['n']]"}, payload: `{"n":1}`, want: `["{\"n\": 1}", 1]`},
	}
}

func azurePythonV2() []check {
	return []check{
		{about: "v2: `@app.route(route=…)`", files: azureApp(`route="hi"`, `return func.HttpResponse("hi " + req.params["name"])`), request: get("/?name=you"), want: `200 | text/plain; charset=utf-8 | hi you`},
		{about: "v2: route parameters, `methods`", files: azureApp(`route="items/{id}", methods=["GET"]`, `return func.HttpResponse(req.route_params["id"])`), request: get("/api/items/7"), want: `200 | text/plain; charset=utf-8 | 7`},
		{about: "v2: methods that are not listed are 404", files: azureApp(`methods=[func.HttpMethod.POST]`, `return "x"`), request: get("/"), want: `404`},
		{about: "v2: `@app.function_name`, several functions", files: files{"function_app.py": azurePythonHead + "app = func.FunctionApp()\n@app.route()\ndef other(req): return 'other'\n@app.function_name(name='two')\n@app.route(route='x')\ndef second(req): return 'two'"}, handler: "function_app.two", request: get("/"), want: `200 | text/plain; charset=utf-8 | two`},
		{about: "v2: `func.Blueprint`, `app.register_functions`", files: files{"more.py": azurePythonHead + "bp = func.Blueprint()\n@bp.route(route='x')\ndef hello(req): return 'blue'", "function_app.py": azurePythonHead + "from more import bp\napp = func.FunctionApp()\napp.register_functions(bp)"}, request: get("/"), want: `200 | text/plain; charset=utf-8 | blue`},
		{about: "v2: `async def`", files: files{"function_app.py": azurePythonHead + "app = func.FunctionApp()\n@app.route()\nasync def hello(req): return 'later'"}, request: get("/"), want: `200 | text/plain; charset=utf-8 | later`},
		{about: "v2: `@app.timer_trigger`, by Invoke", files: files{"function_app.py": azurePythonHead + "app = func.FunctionApp()\n@app.timer_trigger(schedule='0 */5 * * * *', arg_name='timer')\ndef hello(timer: func.TimerRequest): logging.info('late %s', timer.past_due)"}, payload: `{"IsPastDue":true}`, want: `null`, log: "late True\n"},
		{about: "v2: `@app.queue_trigger`, `@app.queue_output`; outputs are the result", files: files{"function_app.py": azurePythonHead + "app = func.FunctionApp()\n@app.queue_trigger(arg_name='msg', queue_name='in', connection='c')\n@app.queue_output(arg_name='out', queue_name='out', connection='c')\ndef hello(msg: func.QueueMessage, out: func.Out[str]): out.set(msg.get_body().decode())"}, payload: `"words"`, want: `{"out": "words"}`},
		{about: "v2: Invoke: the payload is the JSON body", files: azureApp(``, `return str(req.get_json()["n"] + 1)`), payload: `{"n":1}`, want: `"2"`},
		{about: "the archive's own `azure-functions` goes before the stand-in", files: merged(azureApp(``, `return func.HttpResponse("hi")`), files{"azure/functions/__init__.py": azureOwn}), request: get("/"), want: `200 | text/plain; charset=utf-8 | own hi`},
		{about: "… and its converters make what triggers give", files: merged(azureMain("def main(msg): return msg", ""), files{"azure/functions/__init__.py": azureOwn, "azure/functions/meta.py": azureOwnMeta,
			"hello/function.json": `{"bindings":[{"type":"queueTrigger","direction":"in","name":"msg"},{"type":"queue","direction":"out","name":"$return"}]}`}), payload: `{"n":1}`, want: `"string of r*`},
		{about: "other packages below `azure` are found beside the stand-in", files: merged(azureApp(``, "import azure.other\n    return azure.other.word"), files{"azure/other/__init__.py": "word = 'other'"}), request: get("/"), want: `200 | text/plain; charset=utf-8 | other`},
	}
}

// azureOwn is a package with the same surface, which marks what it makes.
const azureOwn = `
import json
class AuthLevel: ANONYMOUS = 1
class HttpRequest:
    def __init__(self, method, url, *, headers, params, route_params, body): pass
class HttpResponse:
    status_code, mimetype, charset, headers = 200, "text/plain", "utf-8", {}
    def __init__(self, body): self.body = body
    def get_body(self): return b"own " + self.body.encode()
class Registered:
    def __init__(self, function): self.function = function
    def get_function_name(self): return self.function.__name__
    def get_user_function(self): return self.function
    def get_function_json(self): return json.dumps({"bindings": [{"type": "httpTrigger", "direction": "IN", "name": "req"}, {"type": "http", "direction": "OUT", "name": "$return"}]})
class FunctionApp:
    def __init__(self, http_auth_level): self.all = []
    def get_functions(self): return self.all
    def route(self): return lambda function: self.all.append(Registered(function))
`

// azureOwnMeta is such a package's registry, whose converter wants text.
const azureOwnMeta = `
class Datum:
    def __init__(self, value, type): self.value, self.type = value, type
class Converter:
    @classmethod
    def decode(cls, data, *, trigger_metadata):
        if data.type == "json": raise ValueError("unsupported")
        return "%s of %s: %s" % (data.type, trigger_metadata["Id"].value, data.value)
class Registry:
    @classmethod
    def get(cls, name): return Converter if name == "queueTrigger" else None
def get_binding_registry(): return Registry
`

func azurePython() checks {
	list := append(azurePythonV1(), azurePythonV2()...)
	for _, c := range pythonFailures("main(req)") {
		c.about, c.files, c.code = "v1: "+c.about, azureMain(c.code, ""), ""
		list = append(list, c)
	}
	for i := range list {
		if list[i].handler == "" {
			list[i].handler = "hello/__init__.main"
			if list[i].files["function_app.py"] != "" {
				list[i].handler = "function_app.hello"
			}
		}
	}
	return checks{dialect: "azure", language: shim.Python, handler: "hello/__init__.main", list: list}
}
