package project

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
)

// hostFile is what an Azure app has at its top.
const hostFile = "host.json"

// azure reads an Azure app: host.json for all functions, and for each a folder with a
// function.json (Node's models v1 to v3, Python's v1), a package with app.http(…) (Node's
// v4), or a function_app.py with decorators (Python's v2).
type azure struct {
	dir    string
	o      Options
	p      *Project
	host   Function // what host.json says about every function
	prefix string   // of the paths of HTTP functions
	env    map[string]string
}

// service is the SERVICE in /http/SERVICE/path.
func (a *azure) service() string { return a.p.Service }

func readAzure(dir string, o Options) (*Project, error) {
	folders, err := azureFolders(o.Folder)
	if err != nil {
		return nil, err
	}
	main, v4 := azurePackage(o.Folder)
	v2 := azureDecorated(o.Folder)
	if !isFile(o.Folder, hostFile) && len(folders) == 0 && !v4 && !v2 {
		return nil, nil
	}
	a := &azure{dir: dir, o: o, prefix: usualPrefix, p: &Project{Vendor: string(hearth.Azure), Complete: true, File: hostFile, Service: appName(dir),
		Exclude: []string{"/local.settings.json", "/.vscode/", "/.funcignore", "/.venv/", "/.python_packages/"}}}
	if err := a.readHost(); err != nil {
		return nil, err
	}
	if err := a.readSettings(); err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if err := a.readFunction(folder); err != nil {
			return nil, err
		}
	}
	if len(folders) == 0 && v4 {
		a.p.File = "package.json"
		a.registered(main)
	}
	if v2 {
		a.p.File = azureApp
		a.decoratedFunctions()
	}
	if len(a.p.Functions) == 0 {
		return nil, &Error{Path: filepath.Join(dir, hostFile), Problems: []Problem{{Line: 1, Col: 1,
			Message: "this is an Azure app without functions: no folder has a function.json, package.json names no main that registers one with @azure/functions, and no " + azureApp + " registers one with a decorator such as @app.route(route=\"hello\")"}}}
	}
	if problems := a.p.conflicts(); len(problems) > 0 {
		return nil, &Error{Path: filepath.Join(dir, a.p.File), Problems: problems}
	}
	return a.p, nil
}

// azureFolders are the folders that hold a function.json; "." may be one.
func azureFolders(folder fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	if isFile(folder, "function.json") {
		names = append(names, ".")
	}
	for _, e := range entries {
		if e.IsDir() && isFile(folder, path.Join(e.Name(), "function.json")) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// parseJSON reads a JSON file with the reader for YAML, which knows where things are.
func (d *decoder) parseJSON(src []byte) ast.Node {
	src = bytes.ReplaceAll(src, []byte("\t"), []byte(" "))
	if err := jsonProblem(src); err != nil {
		d.problems = append(d.problems, *err)
		return nil
	}
	return d.parseYAML(src)
}

func jsonProblem(src []byte) *Problem {
	var v any
	err := json.Unmarshal(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")), &v)
	if err == nil {
		return nil
	}
	at := len(src)
	if syntax, ok := err.(*json.SyntaxError); ok {
		at = min(max(int(syntax.Offset)-1, 0), len(src))
	}
	before := src[:at]
	return &Problem{Line: bytes.Count(before, []byte("\n")) + 1, Col: at - bytes.LastIndexByte(before, '\n'), Message: "this is not JSON: " + err.Error()}
}

// file reads one JSON file of the app, if it is there, and hands its top to use.
func (a *azure) file(name string, use func(d *decoder, top *object)) error {
	src, err := a.o.readText(name)
	if src == nil || err != nil {
		return err
	}
	d := newDecoder(1000)
	src = unixLines(src[:min(len(src), MaxFileBytes)])
	if body := d.parseJSON(src); body != nil && len(d.problems) == 0 {
		if top := d.object(body, ""); top != nil {
			use(d, top)
			for _, ignored := range top.rest() {
				ignored.Key = name + ": " + ignored.Key
				a.p.Ignored = append(a.p.Ignored, ignored)
			}
		}
	}
	return d.err(filepath.Join(a.dir, name), src)
}

// readHost reads host.json: how many requests one instance serves at once, and for
// how long.
func (a *azure) readHost() error {
	return a.file(hostFile, func(d *decoder, top *object) {
		top.used["version"] = true
		http := top.under("http") // version 1
		if extensions := top.under("extensions"); extensions != nil {
			http = extensions.under("http")
			defer func() { a.ignore(hostFile, extensions.rest()) }()
		}
		a.concurrency(d, http)
		if prefix, _, ok := http.text("routePrefix"); ok {
			a.prefix = prefix
		}
		if words, e, ok := top.text("functionTimeout"); ok {
			if timeout, ok := parseClock(words); ok {
				a.host.setTimeout(timeout)
			} else {
				d.problem(e.value, `functionTimeout must be of the form "00:05:00", not %s`, kind(e.value))
			}
		}
		a.ignore(hostFile, http.rest())
	})
}

func (a *azure) ignore(file string, list []Ignored) {
	for _, i := range list {
		i.Key = file + ": " + i.Key
		a.p.Ignored = append(a.p.Ignored, i)
	}
}

func (a *azure) concurrency(d *decoder, http *object) {
	if http == nil {
		return
	}
	words, e, ok := http.text("maxConcurrentRequests")
	if !ok {
		return
	}
	n, err := strconv.Atoi(words)
	if err != nil || n == 0 || n < -1 {
		d.problem(e.value, "maxConcurrentRequests must be a whole number from 1 up, or -1 for no limit, not %s", kind(e.value))
		return
	}
	if n < 0 || n > hearth.MaxMaxConcurrency {
		a.host.Notes = append(a.host.Notes, "maxConcurrentRequests "+words+" became "+strconv.Itoa(hearth.MaxMaxConcurrency)+", the most that Hearth offers")
		n = hearth.MaxMaxConcurrency
	}
	shareInstances(&a.host, n)
}

// parseClock reads "hh:mm:ss"; -1 stands for the longest there is.
func parseClock(s string) (time.Duration, bool) {
	if s == "-1" {
		return hearth.MaxTimeout, true
	}
	days, clock, found := strings.Cut(s, ".")
	if !found {
		days, clock = "0", s
	}
	parts := strings.Split(clock, ":")
	total, err := strconv.Atoi(days)
	if len(parts) != 3 || err != nil {
		return 0, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 59 && i > 0 {
			return 0, false
		}
		total = total*[]int{24, 60, 60}[i] + n
	}
	if total <= 0 || total > 1_000_000 {
		return 0, false
	}
	return time.Duration(total) * time.Second, true
}

// readSettings takes the app settings that a developer has for this machine.
func (a *azure) readSettings() error {
	return a.file("local.settings.json", func(d *decoder, top *object) {
		top.used["IsEncrypted"] = true
		values := top.under("Values")
		if values == nil {
			return
		}
		a.env = map[string]string{}
		values.used["AzureWebJobsStorage"], values.used["FUNCTIONS_WORKER_RUNTIME"] = true, true // the host's own
		for _, m := range values.members {
			value, scalar := text(m.value)
			if values.used[m.key] || !scalar {
				continue
			}
			values.used[m.key] = true
			if wrong := checkVariable(m.key, value); wrong != "" {
				a.ignore("local.settings.json", []Ignored{values.ignore(m, wrong)})
				continue
			}
			a.env[m.key] = value
		}
		a.ignore("local.settings.json", values.rest())
	})
}

// function begins a function with all that holds for the whole app.
func (a *azure) function(name string) Function {
	f := Function{Name: name, Patch: a.host.Patch, Notes: slices.Clone(a.host.Notes)}
	if len(a.env) > 0 {
		f.Patch.Env = &a.env
		f.Notes = append(f.Notes, "environment from local.settings.json")
	}
	return f
}

// readFunction reads FOLDER/function.json.
func (a *azure) readFunction(folder string) error {
	name := folder
	if folder == "." {
		name = "" // the caller names it
	}
	file := path.Join(folder, "function.json")
	return a.file(file, func(d *decoder, top *object) {
		f := a.function(name)
		if hearth.ValidateName(name) != nil && name != "" {
			d.fault(1, 1, "the folder's name becomes the function's, which is 1 to 64 letters, digits, '-' and '_'; rename "+folder)
			return
		}
		runtime, handler, ok := a.script(d, top, folder)
		if !ok {
			return
		}
		f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
		a.bindings(d, top, &f, file)
		vendors()["azure"].complete(&f)
		if c := f.Config(); c.Validate() != nil {
			d.fault(1, 1, c.Validate().Error())
			return
		}
		a.p.Functions = append(a.p.Functions, f)
	})
}

// script is what a function.json has run: its language, and a handler by which the shim
// finds function.json again.
func (a *azure) script(d *decoder, top *object, folder string) (runtime, handler string, ok bool) {
	line, col := 1, 1
	script, at, told := top.text("scriptFile")
	if told {
		line, col = position(at.value)
	} else {
		script = a.usualScript(folder)
	}
	if script = path.Join(folder, script); !fs.ValidPath(script) || !isFile(a.o.Folder, script) {
		d.fault(line, col, "there is no "+script+" to run; name the file with scriptFile, as seen from "+folder)
		return "", "", false
	}
	python := strings.HasSuffix(script, ".py")
	entry, _, ok := top.text("entryPoint")
	if !ok {
		entry = wholeModule(hearth.Azure, python)
	}
	switch {
	case python:
		return "python3", path.Join(folder, strings.TrimSuffix(path.Base(script), ".py")) + "." + entry, true
	case folder != ".":
		return "nodejs", folder + "." + entry, true
	}
	return "nodejs", strings.TrimSuffix(script, path.Ext(script)) + "." + entry, true
}

// usualScript is the file that Azure runs where function.json names none.
func (a *azure) usualScript(folder string) string {
	for _, name := range []string{"index.js", "index.mjs", "index.cjs", "__init__.py", "run.js", "run.py", "main.py"} {
		if isFile(a.o.Folder, path.Join(folder, name)) {
			return name
		}
	}
	return "index.js"
}

// bindings tells those that nothing here stands behind. The shim reads the others.
func (a *azure) bindings(d *decoder, top *object, f *Function, file string) {
	e, ok := top.get("bindings")
	if !ok {
		return
	}
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		d.problem(e.value, "bindings must be a list, not %s", kind(e.value))
		return
	}
	for i, n := range list.Values {
		b := d.object(n, "bindings["+strconv.Itoa(i)+"]")
		if b == nil {
			continue
		}
		kindOf, at, _ := b.text("type")
		switch {
		case kindOf == "httpTrigger":
			a.httpTrigger(d, b, f)
		case kindOf == "timerTrigger":
			if schedule, _, ok := b.text("schedule"); ok {
				azureTimer(f, schedule, *f.Patch.Runtime == "python3")
			}
		case kindOf != "http" && at.keyNode != nil:
			a.ignore(file, []Ignored{b.ignore(at, kindOf+": nothing here sends or takes such data; the handler still finds the binding's name")})
		}
	}
}

// httpTrigger declares the paths of an HTTP function.
func (a *azure) httpTrigger(d *decoder, b *object, f *Function) {
	route, _, _ := b.text("route")
	var methods []string
	if e, ok := b.get("methods"); ok {
		methods, _ = d.list(e)
	}
	azureRoute(f, a.service(), a.prefix, route, methods)
}
