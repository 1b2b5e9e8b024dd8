package shim_test

import (
	"fmt"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

// mixer is a function that logs and answers with the name that its request's body has,
// a while later, and one that ends the process.
type mixer struct {
	dialect, language, handler string
	vendor                     bool // with the vendor's library
	files                      files
}

func (m mixer) String() string {
	name := m.dialect + "/" + m.language + "/" + m.handler
	if m.vendor {
		name += "/vendor"
	}
	return name
}

const (
	nodeSleep = "await new Promise((ok) => setTimeout(ok, 5)); console.log('I am ' + name); await new Promise((ok) => setTimeout(ok, 5));"
	nodeMix   = "if (name === 'exit') process.exit(7); " + nodeSleep
	pyMix     = "    if name == 'exit': os._exit(7)\n    time.sleep(0.005)\n    print('I am ' + name)\n    time.sleep(0.005)\n"
	pyHead    = "import os, time\n"
)

func mixers() []mixer {
	js := func(dialect, handler, code string) mixer {
		return mixer{dialect: dialect, language: shim.Node, handler: handler, files: files{"index.js": code}}
	}
	py := func(dialect, handler, code string) mixer {
		return mixer{dialect: dialect, language: shim.Python, handler: handler, files: files{"main.py": pyHead + code}}
	}
	express := "async (req, res) => { const { name } = req.body; " + nodeMix + " res.set('X-Name', name).json({ name, again: req.body.name }) }"
	withFramework := js("google", "index.fn", "require('@google-cloud/functions-framework').http('fn', "+express+")")
	withFramework.vendor = true
	v4 := js("azure", "index.fn", "const { app } = require('@azure/functions'); app.post('fn', async (request, context) => { const { name } = await request.json(); "+nodeMix+" return { jsonBody: { name, again: context.invocationId && name } } })")
	v4.vendor = true
	return []mixer{
		js("prototype", "index.handler", "module.exports = async ({ name }) => { "+nodeMix+" return { name } }"),
		js("binaris", "index.handler", "exports.handler = async ({ name }, ctx) => { "+nodeMix+" return { name, again: JSON.parse(ctx.request.body).name } }"),
		js("openwhisk", "index.main", "exports.main = async ({ name }) => { "+nodeMix+" return { name } }"),
		js("kubeless", "index.hello", "exports.hello = async (event) => { const { name } = event.data; "+nodeMix+" return { name: event.extensions.request.body.name } }"),
		js("google", "index.fn", "exports.fn = "+express), withFramework,
		js("azure", "index.fn", "exports.fn = async (context, req) => { const { name } = req.body; "+nodeMix+" context.res = { body: { name: context.bindings.req.body.name } } }"), v4,
		py("prototype", "main.handler", "def handler(input):\n    name = input['name']\n"+pyMix+"    return {'name': name}"),
		py("binaris", "main.handler", "def handler(body, ctx):\n    name = body['name']\n"+pyMix+"    return {'name': name, 'again': ctx.request.body.decode()}"),
		py("openwhisk", "main.main", "def main(params):\n    name = params['name']\n"+pyMix+"    return {'name': params['name']}"),
		py("kubeless", "main.hello", "def hello(event, context):\n    name = event['data']['name']\n"+pyMix+"    return {'name': event['extensions']['request'].json['name']}"),
		py("azure", "main.run", "import azure.functions as func\ndef run(req: func.HttpRequest, context):\n    name = req.get_json()['name']\n"+pyMix+"    return func.HttpResponse(name + ' ' + req.get_json()['name'])"),
		{dialect: "azure", language: shim.Python, handler: "function_app.serve", files: files{"function_app.py": pyHead + "import azure.functions as func\napp = func.FunctionApp()\n@app.route()\ndef serve(req):\n    name = req.get_json()['name']\n" + pyMix + "    return name + ' ' + req.get_json()['name']\n"}},
		py("google", "main.fn", "def fn(request):\n    name = request.json['name']\n"+pyMix+"    return {'name': request.get_json()['name']}"),
	}
}

func (m mixer) start(t *testing.T, slots int) *shimtest.Instance {
	o := shimtest.Options{Dialect: m.dialect, Language: m.language, Interpreter: interpreter(m.language), Files: m.files, Handler: m.handler, Slots: slots}
	if m.vendor {
		modules, err := shimtest.NodeModules()
		if err != nil {
			t.Skipf("NOT TESTED: npm could not install the vendors' libraries: %v", err)
		}
		o.Modules = modules
	}
	in := shimtest.Start(t, o)
	if in.InitErr != nil {
		t.Fatalf("init: %v", in.InitErr)
	}
	return in
}

func (m mixer) begin(t *testing.T, in *shimtest.Instance, name string) func() shimtest.Result {
	call := link.NewCall()
	call.ID, call.HTTP.Form, call.Payload = "id-"+name, hearth.EventJSON, []byte(post("/", typeJSON, fmt.Sprintf(`{"name":%q}`, name)).event(t))
	return in.Begin(t, call)
}

// Invocations that share an instance see nothing of each other: neither what they are
// given, nor what they answer, nor what they log.
func TestDialectsInterleaved(t *testing.T) {
	t.Parallel()
	for _, m := range mixers() {
		t.Run(m.String(), func(t *testing.T) {
			const slots = 8
			in := m.start(t, slots)
			for round := range 4 {
				results := map[string]func() shimtest.Result{}
				for i := range slots {
					name := fmt.Sprintf("n%d-%d.", round, i)
					results[name] = m.begin(t, in, name)
				}
				for name, await := range results {
					got := await()
					if got.Err != nil || got.Failed {
						t.Fatalf("%s: %v", name, got)
					}
					// However often the answer says a name, it is this one.
					body := parseAnswer(t, got.Response).Body
					if n := strings.Count(body, name); n == 0 || n != strings.Count(body, fmt.Sprintf("n%d-", round)) {
						t.Errorf("%s was answered %s", name, body)
					}
					if log := in.Log("id-"+name, 0); strings.Count(log, "I am ") != 1 || !strings.Contains(log, "I am "+name) {
						t.Errorf("%s logged %q", name, log)
					}
				}
			}
		})
	}
}

// A function that ends its process takes the connection with it, in every dialect; one
// that nobody waits for any more may go on, and its slot is free when it ends.
func TestDialectsExitAndCancel(t *testing.T) {
	t.Parallel()
	for _, m := range mixers() {
		for _, slots := range []int{1, 4} {
			t.Run(fmt.Sprintf("%v/%d", m, slots), func(t *testing.T) {
				in := m.start(t, slots)
				call := link.NewCall()
				call.ID, call.HTTP.Form, call.Payload = "late", hearth.EventJSON, []byte(post("/", typeJSON, `{"name":"late"}`).event(t))
				await := in.Begin(t, call)
				in.Conn.Cancel(call)
				if got := await(); got.Err != link.ErrCancelled {
					t.Errorf("cancelled: %v", got)
				}
				if got := m.begin(t, in, "next")(); got.Err != nil || got.Failed {
					t.Errorf("after it: %v", got)
				}
				if got := m.begin(t, in, "exit")(); got.Err == nil {
					t.Errorf("an exit was answered: %v", got)
				}
				if code := in.Exit(t); code != 7 {
					t.Errorf("exit code %d", code)
				}
			})
		}
	}
}

// What an HTTP function writes leaves before it ends: here it ends only after another
// request has come, which is sent after the first bytes have been read.
func TestDialectsStreamAtOnce(t *testing.T) {
	t.Parallel()
	const code = `let go; const gone = new Promise((ok) => { go = ok });
const serve = async (req, res) => { if (req.path === '/go') { go(); return res.end(); } res.write('first '); await gone; res.end('last'); };`
	for _, m := range []mixer{
		{dialect: "google", language: shim.Node, handler: "index.fn", files: files{"index.js": code + "exports.fn = serve"}},
		{dialect: "google", language: shim.Node, handler: "index.fn", vendor: true, files: files{"index.js": code + "require('@google-cloud/functions-framework').http('fn', serve)"}},
		{dialect: "kubeless", language: shim.Node, handler: "index.fn", files: files{"index.js": code + "exports.fn = (event) => serve(event.extensions.request, event.extensions.response)"}},
		{dialect: "google", language: shim.Python, handler: "main.fn", files: files{"main.py": `
import threading
gone = threading.Event()
def fn(request):
    if request.path == '/go': gone.set(); return ''
    return slow()
def slow():
    yield 'first '
    gone.wait()
    yield 'last'
`}},
	} {
		t.Run(m.String(), func(t *testing.T) {
			in := m.start(t, 2)
			call := link.NewCall()
			call.ID, call.HTTP.Form, call.Payload = "slow", hearth.EventJSON, []byte(get("/").event(t))
			if await := in.Begin(t, call); await().Err != nil || call.Stream == nil {
				t.Fatalf("no stream began: %v", await())
			}
			first, err := call.Stream.Next()
			if err != nil || !strings.HasSuffix(string(first), "\x00first ") {
				t.Errorf("the first bytes are %q, error %v", first, err)
			}
			if got := callHTTP(t, in, "go", *get("/go")); got.Err != nil || got.Failed {
				t.Errorf("go: %v", got)
			}
			var rest []byte
			for part, err := call.Stream.Next(); err == nil; part, err = call.Stream.Next() {
				rest = append(rest, part...)
			}
			<-call.Done()
			if string(rest) != "last" || call.Failed || call.Err != nil {
				t.Errorf("the rest is %q, failed %v, error %v", rest, call.Failed, call.Err)
			}
		})
	}
}
