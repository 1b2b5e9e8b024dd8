package shim_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

// request is a request to a function's URL.
type request struct {
	method, path, body string
	headers            map[string]string
}

// event is the event of payload format 2.0 that Hearth makes of a request.
func (r request) event(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(r.path)
	if err != nil {
		t.Fatal(err)
	}
	headers := map[string]string{"host": "fn.localhost:8080", "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http"}
	maps.Copy(headers, r.headers)
	event := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": u.EscapedPath(), "rawQueryString": u.RawQuery, "headers": headers,
		"requestContext":  map[string]any{"http": map[string]any{"method": r.method, "path": u.EscapedPath(), "sourceIp": "203.0.113.9"}},
		"isBase64Encoded": false,
	}
	if cookies, ok := headers["cookie"]; ok {
		event["cookies"] = strings.Split(cookies, "; ")
		delete(headers, "cookie")
	}
	if r.body != "" {
		headers["content-length"] = fmt.Sprint(len(r.body))
		event["body"] = r.body
		if !utf8.ValidString(r.body) {
			event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString([]byte(r.body)), true
		}
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answer is the result of payload format 2.0.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// String is the status, the content type, the other headers asked for, and the body.
func (a answer) String() string {
	kind, more := "", []string{}
	for name, value := range a.Headers {
		switch name := strings.ToLower(name); {
		case name == "content-type":
			kind = value
		case strings.HasPrefix(name, "x-") || name == "location":
			more = append(more, name+"="+value)
		}
	}
	slices.Sort(more)
	for _, cookie := range a.Cookies {
		more = append(more, "cookie "+cookie)
	}
	body := a.Body
	if a.IsBase64Encoded {
		body = "base64:" + body
	}
	return strings.Join(slices.DeleteFunc(append([]string{fmt.Sprint(a.StatusCode), kind}, append(more, body)...), func(s string) bool { return s == "" }), " | ")
}

// callHTTP invokes the handler as its URL does, whether the response is streamed or not.
func callHTTP(t *testing.T, in *shimtest.Instance, id string, r request) shimtest.Result {
	t.Helper()
	if in.InitErr != nil {
		t.Fatalf("init: %v", in.InitErr)
	}
	call := link.NewCall()
	call.ID, call.Payload, call.HTTP.Form = id, []byte(r.event(t)), hearth.EventJSON
	got := in.Begin(t, call)()
	if call.Stream == nil {
		return got
	}
	text, err := streamed(call)
	select {
	case <-call.Done():
		got = shimtest.Result{Response: text, Failed: call.Failed, Err: cmp.Or(call.Err, err)}
		if call.Failed {
			got.Response = string(call.Response)
		}
	case <-time.After(shimtest.Patience):
		t.Fatalf("the stream of %s did not end", id)
	}
	return got
}

// streamed reads a streamed answer as the result that says the same.
func streamed(call *link.Call) (string, error) {
	var all []byte
	for {
		part, err := call.Stream.Next()
		all = append(all, part...)
		if err == io.EOF {
			break
		}
	}
	head, body, found := bytes.Cut(all, []byte(hearth.PreludeEnd))
	if !found || call.Stream.ContentType != hearth.TypeHTTPIntegration {
		return "", fmt.Errorf("a stream of %s without a prelude: %q", call.Stream.ContentType, all)
	}
	result := map[string]any{}
	err := json.Unmarshal(head, &result)
	result["body"] = "streamed: " + string(body)
	text, _ := json.Marshal(result)
	return string(text), err
}

// check is one line of a vendor's contract, and how it is tested.
type check struct {
	about   string // the line, as the table in the documentation has it
	files   files  // beside those of the fixture
	code    string // of index.js or main.py
	handler string
	env     map[string]string
	request *request // of the URL, else
	payload string   // of the Invoke API
	want    string   // an answer as text, or a result
	failure string   // the type of the failure instead
	log     string   // is part of the log
}

// checks are those of one dialect in one language.
type checks struct {
	dialect, language string
	files             files  // that each of them has
	modules           string // a node_modules directory
	path              string // of Python modules
	by                string // whose library runs
	handler           string
	list              []check
}

// run runs the checks in both models, and puts down what it finds.
func (c checks) run(t *testing.T, f *found) {
	for _, test := range c.list {
		t.Run(test.about, func(t *testing.T) {
			if _, twice := f.cells[test.about]; twice {
				t.Errorf("%q names two checks", test.about)
			}
			ok := true
			for _, model := range []string{"exclusive", "concurrent"} {
				ok = t.Run(model, func(t *testing.T) { c.one(t, test, model) }) && ok
			}
			f.add(c.column(), test.about, ok)
		})
	}
}

func (c checks) one(t *testing.T, test check, model string) {
	o := shimtest.Options{Dialect: c.dialect, Language: c.language, Files: maps.Clone(c.files), Handler: c.handler, Env: test.env, Modules: c.modules}
	if model == "concurrent" {
		o.Slots = 4
	}
	if c.path != "" {
		o.Env = merged(o.Env, files{"PYTHONPATH": c.path})
	}
	o.Interpreter, o.Files = interpreter(c.language), merged(o.Files, test.files)
	if test.code != "" {
		o.Files[map[string]string{shim.Node: "index.js", shim.Python: "main.py"}[c.language]] = test.code
	}
	if test.handler != "" {
		o.Handler = test.handler
	}
	in := shimtest.Start(t, o)
	for _, id := range []string{"r1", "r2"} { // the second time it is warm
		var got shimtest.Result
		if test.request != nil {
			got = callHTTP(t, in, id, *test.request)
		} else {
			got = in.Call(t, id, test.payload)
		}
		if test.failure != "" {
			if doc := failure(t, got); doc.ErrorType != test.failure {
				t.Errorf("%s: failed with %s: %s; want %s", id, doc.ErrorType, doc.ErrorMessage, test.failure)
			}
			continue
		}
		if got.Failed || got.Err != nil {
			t.Fatalf("%s: %v\nlog: %v", id, got, in.Logs())
		}
		text := got.Response
		if test.request != nil {
			text = parseAnswer(t, got.Response).String()
		}
		if head, ok := strings.CutSuffix(test.want, "*"); ok && strings.HasPrefix(text, head) {
			continue
		}
		if text != test.want {
			t.Errorf("%s: got  %s\nwant %s\nlog: %v", id, text, test.want, in.Logs())
		}
		if log := in.Log(id, 0); !strings.Contains(log, test.log) {
			t.Errorf("%s: the log %q lacks %q", id, log, test.log)
		}
	}
}

func parseAnswer(t *testing.T, text string) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.StatusCode == 0 {
		t.Fatalf("no answer: %s, %v", text, err)
	}
	return a
}

func merged(a, b files) files {
	all := files{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

func interpreter(language string) string {
	if language == shim.Node {
		return node
	}
	return python
}

func get(path string) *request { return &request{method: "GET", path: path} }

func post(path, kind, body string) *request {
	return &request{method: "POST", path: path, body: body, headers: map[string]string{"content-type": kind}}
}

// eventText is the event of a request outside of a test.
func (r request) eventText() string {
	return `{"version":"2.0","routeKey":"$default","rawPath":"` + r.path + `","rawQueryString":"","headers":{},` +
		`"requestContext":{"http":{"method":"` + r.method + `","path":"/"}},"isBase64Encoded":false}`
}

// everything is how many checks there are when the vendors' libraries can be had.
const everything = 17

func (c checks) column() string {
	language := map[string]string{shim.Node: "Node", shim.Python: "Python"}[c.language]
	if c.by == "" {
		return language
	}
	return language + ", " + c.by
}

func TestDialects(t *testing.T) {
	t.Parallel()
	all := []checks{awsNode(), awsPython(), prototypeNode(), binarisNode(), openwhiskNode(), kubelessNode(), googleNode(), azure3Node(),
		prototypePython(), binarisPython(), openwhiskPython(), kubelessPython(), googlePython(), azurePython()}
	if modules, err := shimtest.NodeModules(); err != nil {
		t.Logf("NOT TESTED: the vendors' own libraries, which npm could not install: %v", err)
	} else {
		all = append(all, googleNode().with("functions-framework 5", modules), azure4Node().with("@azure/functions 4", modules))
	}
	if flask, err := shimtest.Flask(); err != nil {
		t.Logf("NOT TESTED: Flask, which apt-get could not download: %v", err)
	} else {
		c := googlePython()
		c.list, c.by, c.path = googleFlask(), "Flask 2", flask
		all = append(all, c)
	}
	results := make([]found, len(all))
	t.Run("all", func(t *testing.T) {
		for i, c := range all {
			t.Run(strings.TrimSuffix(c.dialect+"/"+c.language+"/"+c.by, "/"), func(t *testing.T) {
				t.Parallel()
				c.run(t, &results[i])
			})
		}
	})
	pages := map[string]*found{}
	ran := len(all) == everything
	for i, c := range all {
		ran = ran && len(results[i].rows) == len(c.list) // not just those that -run names
		if pages[c.dialect] == nil {
			pages[c.dialect] = &found{}
		}
		for _, about := range results[i].rows {
			pages[c.dialect].add(c.column(), about, results[i].cells[about][c.column()])
		}
	}
	for _, dialect := range slices.Sorted(maps.Keys(pages)) {
		t.Logf("%s\n%s", dialect, pages[dialect].table())
		if ran {
			pages[dialect].compare(t, dialect)
		}
	}
}

// with is c with libraries of the vendor in the archive.
func (c checks) with(by, modules string) checks {
	c.by, c.modules = by, modules
	return c
}
