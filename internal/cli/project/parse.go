package project

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
)

// Parse reads the text of a hearth.yml; path is for messages. The functions come in
// the order of the file. One that stands alone and without a name has the name "":
// the caller names it after the folder. The error, if any, is an *Error.
func Parse(path string, src []byte) ([]Function, error) {
	d := newDecoder(1000)
	if len(src) > MaxFileBytes {
		d.fault(1, 1, fmt.Sprintf("the file has %d bytes, at most %d are read", len(src), MaxFileBytes))
		return nil, &Error{Path: path, Problems: d.problems}
	}
	src = unixLines(src)
	var functions []Function
	if body := d.parseYAML(src); body != nil && len(d.problems) == 0 {
		functions = d.file(body)
	}
	if err := d.err(path, src); err != nil {
		return nil, err
	}
	return functions, nil
}

// err is all problems, in the order of the file; nil when there are none.
func (d *decoder) err(path string, src []byte) error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Error{Path: path, Source: src, Problems: slices.Compact(d.problems), Included: d.included}
}

// unixLines ends every line in \n.
func unixLines(src []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
}

// file reads either functions: with any number of them, or one function whose keys
// stand at the top.
func (d *decoder) file(body ast.Node) []Function {
	entries, ok := d.mapping(body, "the file")
	if !ok {
		return nil
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return e.key == "functions" })
	if i < 0 {
		line, col := position(body)
		return []Function{d.function("", entries, line, col, true)}
	}
	for j, e := range entries {
		if j == i {
			continue
		}
		if slices.Contains(keyNames(), e.key) {
			d.problem(e.keyNode, "%s belongs to a function: move it under functions: and the function's name", e.key)
		} else if !d.holdsAnchor(e) {
			d.problem(e.keyNode, "unknown key %q%s", e.key, hearth.Hint(e.key, []string{"functions"}))
		}
	}
	return d.functions(entries[i])
}

// holdsAnchor allows top-level keys that begin with "x-": a place to define anchors
// for use below, as in Compose files.
func (d *decoder) holdsAnchor(e entry) bool { return strings.HasPrefix(e.key, "x-") }

func (d *decoder) functions(e entry) []Function {
	entries, ok := d.mapping(e.value, "functions")
	if !ok {
		return nil
	}
	if len(entries) == 0 {
		d.problem(e.keyNode, "functions: is empty; give it at least one name with its keys")
	}
	var all []Function
	for _, f := range entries {
		line, col := position(f.keyNode)
		var keys []entry
		if _, empty := f.value.(*ast.NullNode); !empty { // a bare name: all defaults
			if keys, ok = d.mapping(f.value, "the function "+f.key); !ok {
				continue
			}
		}
		all = append(all, d.function(f.key, keys, line, col, false))
	}
	return all
}

// function reads one function's keys. alone says that they stand at the top of the
// file, where the name is a key too.
func (d *decoder) function(name string, entries []entry, line, col int, alone bool) Function {
	f := Function{Name: name, line: line, col: col}
	before := len(d.problems)
	for _, e := range entries {
		d.set(&f, e, alone)
	}
	if alone && len(d.problems) > before && !slices.ContainsFunc(entries, func(e entry) bool { return slices.Contains(keyNames(), e.key) }) {
		return f // nothing in it is ours: saying more would not help
	}
	if f.Name != "" || !alone {
		if err := hearth.ValidateName(f.Name); err != nil {
			d.fault(f.line, f.col, fmt.Sprintf("a function's name is 1 to %d letters, digits, '-' and '_'; %q is not", hearth.MaxNameLen, f.Name))
		}
	}
	d.settleModel(&f, entries)
	if len(d.problems) == before {
		d.validate(&f, entries)
	}
	return f
}

func (d *decoder) set(f *Function, e entry, alone bool) {
	for _, k := range Keys() {
		if k.Name != e.key {
			continue
		}
		if e.key == "name" && !alone {
			d.problem(e.keyNode, "under functions: the key is the name; rename %s: instead", f.Name)
			return
		}
		k.set(d, f, e)
		return
	}
	names := keyNames()
	if alone {
		names = append(names, "functions")
	}
	d.problem(e.keyNode, "unknown key %q%s", e.key, hearth.Hint(e.key, names))
}

// settleModel: a limit above one without a model means concurrent (as the tag
// hearth:max-concurrency does); with exclusive it is a contradiction.
func (d *decoder) settleModel(f *Function, entries []entry) {
	limit := f.Patch.MaxConcurrency
	if limit == nil || *limit == 1 {
		return
	}
	if f.Patch.Model == nil {
		model := hearth.Concurrent
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.key == "executionModel" }) {
			f.Patch.Model = &model
		}
		return
	}
	if *f.Patch.Model == hearth.Exclusive {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.key == "maxConcurrency" })
		d.problem(entries[i].keyNode, "maxConcurrency has no meaning with executionModel: exclusive; leave it out, or choose concurrent")
	}
}

// validate asks the domain about what only it knows: reserved variables, and the
// like. Runtime and handler may still be missing; they are guessed later.
func (d *decoder) validate(f *Function, entries []entry) {
	c := f.Config()
	if c.Runtime == "" {
		c.Runtime = hearth.Runtimes()[0]
	} else if c.Handler != "" {
		if err := hearth.CheckHandler(c.Runtime, c.Handler); err != nil {
			i := slices.IndexFunc(entries, func(e entry) bool { return e.key == "handler" })
			d.problem(entries[i].value, "%s", err)
			return
		}
	}
	if c.Handler == "" {
		c.Handler = "index.handler"
	}
	err := c.Validate()
	if err == nil {
		return
	}
	where := Problem{Line: f.line, Col: f.col, Message: err.Error()}
	c.Env = nil
	if i := slices.IndexFunc(entries, func(e entry) bool { return e.key == "env" }); i >= 0 && c.Validate() == nil {
		where.Line, where.Col = position(entries[i].keyNode) // it is all variables together
	}
	d.problems = append(d.problems, where)
}
