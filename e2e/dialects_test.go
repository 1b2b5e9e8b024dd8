package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hearth/internal/link/shim/shimtest"
)

var update = flag.Bool("update", false, "write docs/reference/dialects/README.md as the tests have found it")

// dialect is a function written for a vendor, in one language: it does what its body's
// mode says.
type dialect struct {
	name, language, handler string
	file, source            string
	modules                 func() (string, error) // the vendor's library
	library                 string
}

func (d dialect) String() string {
	return strings.TrimSpace(d.name + " " + d.language + " " + d.library)
}

// id is the name of its function.
func (d dialect) id(model string) string {
	return strings.NewReplacer(" ", "-", "/", "-", "@", "").Replace(d.String() + "-" + model)
}

const (
	nodeModes = `
  if (mode === 'throw') throw new RangeError('thrown');
  if (mode === 'reject') return Promise.reject(new TypeError('rejected'));
  if (mode === 'hang') return new Promise((ok) => setTimeout(ok, 60000));
  if (mode === 'exit') process.exit(3);
  console.log('said ' + mode);`
	pythonModes = `
    if mode == 'throw': raise IndexError('thrown')
    if mode == 'reject': raise KeyError('rejected')
    if mode == 'hang': time.sleep(60)
    if mode == 'exit': os._exit(3)
    print('said ' + mode)`
)

func dialects() []dialect {
	js := func(name, handler, head, tail string) dialect {
		return dialect{name: name, language: "node", handler: handler, file: "index.js", source: head + nodeModes + tail}
	}
	py := func(name, handler, head, tail string) dialect {
		return dialect{name: name, language: "python", handler: handler, file: "main.py", source: "import os, time\n" + head + pythonModes + tail}
	}
	express := "(req, res) => { const { mode } = req.body;"
	v4 := js("azure", "index.fn", "const { app } = require('@azure/functions');\napp.post('fn', { handler: async (request, context) => { const { mode } = await request.json();", " return { jsonBody: { mode } }; } });")
	v4.modules, v4.library = shimtest.NodeModules, "@azure/functions"
	framework := js("google", "index.fn", "require('@google-cloud/functions-framework').http('fn', "+express, " res.json({ mode }); });")
	framework.modules, framework.library = shimtest.NodeModules, "functions-framework"
	flask := py("google", "main.fn", "def fn(request):\n    mode = request.json['mode']", "\n    return {'mode': mode}")
	flask.modules, flask.library = shimtest.Flask, "Flask"
	return []dialect{
		js("aws", "index.handler", "exports.handler = async (event) => { const { mode } = event.body ? JSON.parse(event.body) : event;", " return { mode }; };"),
		js("google", "index.fn", "exports.fn = "+express, " res.json({ mode }); };"), framework,
		js("azure", "index.run", "exports.run = async (context, req) => { const { mode } = req.body;", " context.res = { body: { mode } }; };"), v4,
		js("openwhisk", "index.main", "function main({ mode }) {", " return { mode }; }"),
		js("binaris", "index.handler", "exports.handler = async ({ mode }, ctx) => {", " return { mode }; };"),
		js("prototype", "index.handler", "module.exports = ({ mode }) => {", " return { mode }; };"),
		js("kubeless", "index.hello", "module.exports = { async hello(event, context) { const { mode } = event.data;", " return { mode }; } };"),
		py("aws", "main.handler", "import json\ndef handler(event, context):\n    mode = json.loads(event['body'])['mode'] if 'body' in event else event['mode']", "\n    return {'mode': mode}"),
		py("google", "main.fn", "def fn(request):\n    mode = request.get_json()['mode']", "\n    return {'mode': mode}"), flask,
		py("azure", "main.main", "import json\nimport azure.functions as func\ndef main(req: func.HttpRequest) -> func.HttpResponse:\n    mode = req.get_json()['mode']", "\n    return func.HttpResponse(json.dumps({'mode': mode}), mimetype='application/json')"),
		py("openwhisk", "main.main", "def main(params):\n    mode = params['mode']", "\n    return {'mode': mode}"),
		py("binaris", "main.handler", "def handler(body, ctx):\n    mode = body['mode']", "\n    return {'mode': mode}"),
		py("prototype", "main.handler", "def handler(input):\n    mode = input['mode']", "\n    return {'mode': mode}"),
		py("kubeless", "main.hello", "def hello(event, context):\n    mode = event['data']['mode']", "\n    return {'mode': mode}"),
	}
}

// deployed makes d a function of one of the models.
func (d dialect) deploy(t *testing.T, p *platform, model string) {
	t.Helper()
	files := map[string]string{d.file: d.source}
	if d.modules != nil {
		dir, err := d.modules()
		if err != nil {
			t.Skipf("NOT TESTED: the vendor's library could not be installed: %v", err)
		}
		maps.Copy(files, tree(t, dir, map[string]string{"node": "node_modules", "python": ""}[d.language]))
	}
	p.deploy(function{d.id(model), files, map[string]any{
		"runtime": map[string]string{"node": "nodejs", "python": "python3"}[d.language], "handler": d.handler,
		"dialect": d.name, "model": model, "memoryMB": 256, "timeout": "2s",
	}})
}

// tree reads the files below dir, by their path below root.
func tree(t *testing.T, dir, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		below, _ := filepath.Rel(dir, name)
		files[filepath.Join(root, below)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ways are what every function of every dialect is put through, and what must come of
// it: the type of the failure, "" for an answer.
var ways = []struct{ column, mode, node, python string }{
	{"answers by URL", "url", "", ""},
	{"answers by Invoke", "invoke", "", ""},
	{"throws", "throw", "RangeError", "IndexError"},
	{"rejects", "reject", "TypeError", "KeyError"},
	{"times out", "hang", "Sandbox.Timedout", "Sandbox.Timedout"},
	{"exits", "exit", "Runtime.ExitError", "Runtime.ExitError"},
}

// Every dialect in every language answers and fails in the same ways in both models. The
// matrix of it is on the page of the dialects.
func TestDialects(t *testing.T) {
	p := up(t)
	var mu sync.Mutex
	matrix := map[string]string{} // by dialect and column
	t.Run("all", func(t *testing.T) {
		for _, d := range dialects() {
			for _, model := range []string{"exclusive", "concurrent"} {
				t.Run(d.String()+" "+model, func(t *testing.T) {
					t.Parallel()
					on := *p
					on.t = t
					d.deploy(t, &on, model)
					for _, way := range ways {
						word := "yes"
						if !t.Run(way.column, func(t *testing.T) {
							d.check(t, &on, model, way.mode, map[string]string{"node": way.node, "python": way.python}[d.language])
						}) {
							word = "no"
						}
						mu.Lock()
						if key := d.String() + way.column; matrix[key] != "no" {
							matrix[key] = word
						}
						mu.Unlock()
					}
				})
			}
		}
	})
	table := matrixTable(matrix)
	t.Logf("dialects, both models:\n%s", table)
	if !strings.Contains(table, "|  |") { // all of them could be tested, and were
		compareTable(t, "../docs/reference/dialects/README.md", table)
	}
}

// check calls the function in one way and looks at what comes of it.
func (d dialect) check(t *testing.T, p *platform, model, mode, failure string) {
	on := *p
	on.t = t
	body := fmt.Sprintf(`{"mode":%q}`, mode)
	if failure == "" && mode == "url" || mode == "throw" {
		status, header, text := on.request("POST", "/fn/"+d.id(model)+"/", []byte(body), map[string]string{"Content-Type": "application/json"})
		var got struct{ Mode string }
		switch {
		case failure != "":
			if status != 502 || !strings.HasPrefix(header.Get("X-Hearth-Error"), failure+": ") {
				t.Errorf("by URL: %d %s", status, text)
			}
		case status != 200 || json.Unmarshal(text, &got) != nil || got.Mode != mode || !strings.HasPrefix(header.Get("Content-Type"), "application/json"):
			t.Errorf("by URL: %d %s %s", status, header, text)
		}
	}
	if mode == "url" {
		return
	}
	a := on.invoke(d.id(model), body)
	switch {
	case failure == "" && (a.status != 200 || a.failed || strings.ReplaceAll(a.payload, " ", "") != `{"mode":"invoke"}`):
		t.Errorf("by Invoke: %d %s", a.status, a.payload)
	case failure != "" && (a.status != 200 || !a.failed || a.doc.ErrorType != failure):
		t.Errorf("by Invoke: %d %s; want %s", a.status, a.payload, failure)
	}
}

func matrixTable(matrix map[string]string) string {
	var b strings.Builder
	b.WriteString("| dialect | language | library |")
	for _, way := range ways {
		b.WriteString(" " + way.column + " |")
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(ways)) + "\n")
	all := dialects()
	slices.SortStableFunc(all, func(a, b dialect) int { return strings.Compare(a.name, b.name) })
	for _, d := range all {
		library := d.library
		if library == "" {
			library = "none"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", d.name, d.language, library)
		for _, way := range ways {
			fmt.Fprintf(&b, " %s |", matrix[d.String()+way.column])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// compareTable fails the test when the page's table is another one.
func compareTable(t *testing.T, path, table string) {
	t.Helper()
	const begin, end = "<!-- table: written by `go test ./e2e -run TestDialects -update` -->\n", "<!-- end of table -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), begin)
	old, tail, closed := strings.Cut(rest, end)
	switch {
	case !ok || !closed:
		t.Fatalf("%s has no place for the table", path)
	case old == table:
	case *update:
		if err := os.WriteFile(path, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("%s is stale. Run go test ./e2e -run TestDialects -update", path)
	}
}

// A function of another vendor streams through its URL as one of Lambda's does: here it
// ends its answer only when another request has told it to.
func TestDialectStreamsThroughItsURL(t *testing.T) {
	p := up(t)
	p.deploy(function{"slow", map[string]string{"index.js": `
let go; const gone = new Promise((ok) => { go = ok });
exports.fn = async (req, res) => {
  if (req.path === '/go') { go(); return res.sendStatus(204); }
  res.status(202).set('X-A', 'b').type('txt').write('first ');
  await gone;
  res.end('last');
};`}, map[string]any{"runtime": "nodejs", "handler": "index.fn", "dialect": "google", "model": "concurrent", "memoryMB": 256, "timeout": "20s"}})
	resp, err := http.Get(p.url + "/fn/slow/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(resp.Body, first); err != nil || resp.StatusCode != 202 || resp.Header.Get("X-A") != "b" {
		t.Fatalf("%d %v, first bytes %q, error %v", resp.StatusCode, resp.Header, first, err)
	}
	if status, body := p.do("GET", "/fn/slow/go", nil, nil); status != 204 {
		t.Errorf("go: %d %s", status, body)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
		t.Errorf("the rest is %q, error %v", rest, err)
	}
}
