// Package layers holds the house to its plan: which room may import which, and a few
// habits that are easier to keep than to restore. Each failure names its reason.
package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// layerOf is the plan. A room imports rooms of lower layers only; rooms of one layer
// do not know each other. A new room needs a line here, and in docs/ARCHITECTURE.md.
func layerOf(room string) (int, bool) {
	for layer, rooms := range [][]string{
		0: {"hearth", "loop"},
		1: {"pool", "policy", "sandbox", "link", "store", "meter", "code", "logs", "events", "sigv4"},
		2: {"worker"},
		3: {"invoke", "async", "registry", "trigger"},
		4: {"api", "cli", "dashboard", "bench", "sim"},
		5: {"daemon"},
		6: {"cmd"},
	} {
		if slices.Contains(rooms, room) {
			return layer, true
		}
	}
	return 0, false
}

const maxLines = 500

// house is what the checks look at.
type house struct {
	fset     *token.FileSet
	packages map[string]*pkg // by folder
	// testEdges are imports between rooms of one layer, in tests.
	testEdges map[string][]string
	faults    []string
}

type pkg struct{ hasCode, hasDoc bool }

func (h *house) fault(pos token.Pos, format string, args ...any) {
	p := h.fset.Position(pos)
	h.faults = append(h.faults, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
}

// check reads every Go file below root's cmd and internal.
func check(root fs.FS) ([]string, error) {
	h := &house{fset: token.NewFileSet(), packages: map[string]*pkg{}, testEdges: map[string][]string{}}
	for _, top := range []string{"cmd", "internal"} {
		if err := fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules"):
				return fs.SkipDir
			case d.IsDir() || path.Ext(name) != ".go":
				return nil
			}
			return h.file(root, name)
		}); err != nil {
			return nil, err
		}
	}
	h.docs()
	h.circles()
	return h.faults, nil
}

func (h *house) file(root fs.FS, name string) error {
	src, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(h.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	h.imports(f, name, test)
	h.functions(f, test)
	if test {
		return nil
	}
	dir := path.Dir(name)
	if h.packages[dir] == nil {
		h.packages[dir] = &pkg{}
	}
	h.packages[dir].hasCode = true
	h.packages[dir].hasDoc = h.packages[dir].hasDoc || f.Doc != nil
	if lines := h.fset.File(f.Pos()).LineCount(); lines > maxLines {
		h.fault(f.Pos(), "the file has %d lines, at most %d are allowed: it does more than one thing", lines, maxLines)
	}
	return nil
}

// roomOf is the room that a folder or import path belongs to: sub-packages belong to
// their room.
func roomOf(dir string) string {
	dir = strings.TrimPrefix(dir, "hearth/")
	top, rest, _ := strings.Cut(dir, "/")
	if top != "internal" {
		return top
	}
	room, _, _ := strings.Cut(rest, "/")
	return room
}

func (h *house) imports(f *ast.File, name string, test bool) {
	room := roomOf(path.Dir(name))
	layer, known := layerOf(room)
	if !known {
		if !test {
			h.fault(f.Pos(), "the room %q is not in the plan: give it a layer in internal/layers and in docs/ARCHITECTURE.md", room)
		}
		return
	}
	for _, spec := range f.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !strings.HasPrefix(target, "hearth/") || roomOf(target) == room {
			continue
		}
		other := roomOf(target)
		below, known := layerOf(other)
		switch {
		case !known:
			h.fault(spec.Pos(), "%s imports %q, which is not in the plan", room, target)
		case test:
			if below == layer {
				h.testEdges[room] = append(h.testEdges[room], other)
			}
		case room == "hearth":
			h.fault(spec.Pos(), "the domain knows nobody, but imports %s", target)
		case below == layer:
			h.fault(spec.Pos(), "%s imports %s; both are rooms of layer %d, and rooms of one layer do not know each other: define the interface that %s needs, and let the daemon pass it in", room, other, layer, room)
		case below > layer:
			h.fault(spec.Pos(), "%s (layer %d) imports %s (layer %d): what is below must not know what is above", room, layer, other, below)
		}
	}
}

// functions looks at declarations and calls.
func (h *house) functions(f *ast.File, test bool) {
	program := f.Name.Name == "main"
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			h.fault(fn.Pos(), "init() runs before anybody asked for it: make what it makes in a constructor")
		}
	}
	local := localNames(f)
	virtual := local["synctest"] != "" // where time.Sleep costs no time
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch what := local[id.Name] + "." + sel.Sel.Name; {
		case test && !virtual && what == "time.Sleep":
			h.fault(sel.Pos(), "a test that sleeps is slow or flaky, mostly both: wait for the event with a deadline, or use testing/synctest")
		case !test && !program && (what == "os.Exit" || strings.HasPrefix(what, "log.Fatal")):
			h.fault(sel.Pos(), "%s ends the process without anybody's clean-up: return an error; only a main decides the exit code", what)
		}
		return true
	})
}

// localNames maps the names under which a file knows packages to their paths.
func localNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

func (h *house) docs() {
	for dir, p := range h.packages {
		if p.hasCode && !p.hasDoc {
			h.faults = append(h.faults, dir+": the package has no doc comment: say in two sentences what lives here")
		}
	}
	slices.Sort(h.faults)
}

// circles finds rooms of one layer whose tests import each other in a circle.
func (h *house) circles() {
	for start := range h.testEdges {
		seen := map[string]bool{}
		todo := slices.Clone(h.testEdges[start])
		for len(todo) > 0 {
			room := todo[0]
			todo = todo[1:]
			if room == start {
				h.faults = append(h.faults, fmt.Sprintf("internal/%s: its tests lead in a circle through rooms of the same layer back to it", start))
				break
			}
			if !seen[room] {
				seen[room] = true
				todo = append(todo, h.testEdges[room]...)
			}
		}
	}
}

func TestHouse(t *testing.T) {
	faults, err := check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// A check that finds nothing wrong anywhere would be worth nothing.
func TestChecksFindFaults(t *testing.T) {
	file := func(src string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(src)} }
	root := fstest.MapFS{
		"cmd/hearth/main.go":              file("// Hearth.\npackage main\nimport \"os\"\nfunc main() { os.Exit(1) }\n"),
		"internal/hearth/a.go":            file("// Package hearth.\npackage hearth\nimport _ \"hearth/internal/pool\"\n"),
		"internal/pool/a.go":              file("// Package pool.\npackage pool\nimport (\n_ \"hearth/internal/link\"\n_ \"hearth/internal/worker\"\n_ \"hearth/internal/hearth\"\n)\n"),
		"internal/pool/a_test.go":         file("package pool\nimport (\"time\"\n_ \"hearth/internal/daemon\"\n_ \"hearth/internal/link\")\nfunc f() { time.Sleep(1) }\n"),
		"internal/link/a.go":              file("package link\nfunc init() {}\n"),
		"internal/link/a_test.go":         file("package link\nimport _ \"hearth/internal/pool\"\n"),
		"internal/worker/a.go":            file("// Package worker.\npackage worker\nimport l \"log\"\nfunc f() { l.Fatalf(\"\") }\n"),
		"internal/daemon/a.go":            file("// Package daemon.\npackage daemon\nimport _ \"hearth/internal/pool\"\n" + strings.Repeat("\n", maxLines)),
		"internal/logs/a.go":              file("// Package logs.\npackage logs\n"),
		"internal/logs/a_test.go":         file("package logs\nimport (\"testing/synctest\"\n\"time\")\nfunc f() { synctest.Test(nil, nil); time.Sleep(1) }\n"),
		"internal/attic/a.go":             file("// Package attic.\npackage attic\n"),
		"internal/cli/sub/a.go":           file("// Package sub.\npackage sub\nimport _ \"hearth/internal/cli\"\n"),
		"internal/cli/testdata/broken.go": file("not Go"),
	}
	faults, err := check(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"internal/hearth/a.go:3: the domain knows nobody",
		"internal/pool/a.go:4: pool imports link; both are rooms of layer 1",
		"internal/pool/a.go:5: pool (layer 1) imports worker (layer 2)",
		"internal/pool/a_test.go:5: a test that sleeps",
		"internal/link/a.go:2: init()",
		"internal/link: the package has no doc comment",
		"internal/link: its tests lead in a circle",
		"internal/pool: its tests lead in a circle",
		"internal/worker/a.go:4: log.Fatalf ends the process",
		"internal/daemon/a.go:2: the file has",
		"internal/attic/a.go:2: the room \"attic\" is not in the plan",
	} {
		i := slices.IndexFunc(faults, func(f string) bool { return strings.HasPrefix(f, want) })
		if i < 0 {
			t.Errorf("not found: %s", want)
			continue
		}
		faults = slices.Delete(faults, i, i+1)
	}
	for _, f := range faults {
		t.Errorf("found where nothing is wrong: %s", f)
	}
}
