package project

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder walks the syntax tree of one file and collects what is wrong.
type decoder struct {
	anchors map[anchor]ast.Node
	// budget bounds the steps through aliases, which could otherwise multiply.
	budget   int
	problems []Problem
	vars     *variables // nil where ${…} is just text

	reading  string              // the file being parsed, when it is an included one
	origin   map[ast.Node]string // the included file that a node stands in
	included map[string][]byte   // their sources
}

// anchor is an &anchor of one file.
type anchor struct{ file, name string }

func newDecoder(budget int) *decoder {
	return &decoder{anchors: map[anchor]ast.Node{}, budget: budget, origin: map[ast.Node]string{}, included: map[string][]byte{}}
}

// parseYAML returns the body of the only document in src; nil when it is empty.
func (d *decoder) parseYAML(src []byte) (body ast.Node) {
	defer func() {
		// A panic of the parser on a strange file is that file's problem, not ours.
		if r := recover(); r != nil {
			d.fault(1, 1, fmt.Sprintf("this is not YAML that can be read: %v", r))
			body = nil
		}
	}()
	if at, ok := notText(src); ok {
		d.fault(1+bytes.Count(src[:at], []byte("\n")), 1, "this line is not text in UTF-8; save the file as such")
		return nil
	}
	file, err := parser.ParseBytes(bytes.TrimPrefix(src, []byte("\ufeff")), 0)
	if err != nil {
		d.syntaxError(err)
		return nil
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		d.fault(1, 1, "the file says nothing; it should hold at least a function's name and handler")
		return nil
	case 1:
	default:
		d.problem(docs[1], "a second YAML document is not read; put all functions under one functions:")
	}
	ast.Walk(anchorFinder{d}, docs[0])
	return docs[0]
}

// notText finds the first byte of src that no text in UTF-8 has.
func notText(src []byte) (at int, found bool) {
	for at < len(src) {
		r, size := utf8.DecodeRune(src[at:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return at, true
		}
		at += size
	}
	return 0, false
}

// twice is how the parser tells of a key that is there already.
var twice = regexp.MustCompile(`^mapping key (.+) already defined at \[(\d+):\d+\]$`)

func (d *decoder) syntaxError(err error) {
	p := Problem{Line: 1, Col: 1, Message: err.Error(), File: d.reading}
	var located yaml.Error
	if errors.As(err, &located) {
		p.Message = located.GetMessage()
		if t := located.GetToken(); t != nil && t.Position != nil {
			p.Line, p.Col = max(t.Position.Line, 1), max(t.Position.Column, 1)
		}
	}
	if p.Message == "found character '\t' that cannot start any token" {
		p.Message = "YAML takes no tabs here: indent with spaces"
	}
	if m := twice.FindStringSubmatch(p.Message); m != nil {
		p.Message = fmt.Sprintf("the key %s is there twice, first on line %s: leave one of them out, or rename it", m[1], m[2])
	}
	d.problems = append(d.problems, p)
}

// anchorFinder notes every &anchor of a tree, and the file of all that is included.
type anchorFinder struct{ d *decoder }

func (f anchorFinder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		f.d.anchors[anchor{f.d.reading, a.Name.GetToken().Value}] = a.Value
	}
	if f.d.reading != "" {
		f.d.origin[n] = f.d.reading
	}
	return f
}

// problem notes that something is wrong at n.
func (d *decoder) problem(n ast.Node, format string, args ...any) {
	line, col := position(n)
	d.problems = append(d.problems, Problem{Line: line, Col: col, Message: fmt.Sprintf(format, args...), File: d.origin[n]})
}

// fault notes that something is wrong at a place of the file that is being parsed.
func (d *decoder) fault(line, col int, message string) {
	d.problems = append(d.problems, Problem{Line: line, Col: col, Message: message, File: d.reading})
}

// position is where n begins. A mapping's own token is its first colon; people think
// of its first key.
func position(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return position(m.Values[0])
		}
	case *ast.MappingValueNode:
		if m.Key != nil {
			return position(m.Key)
		}
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1, 1
	}
	p := n.GetToken().Position
	return max(p.Line, 1), max(p.Column, 1)
}

// resolve looks through anchors, aliases and variables. It returns nil, with a problem noted,
// for what cannot be resolved.
func (d *decoder) resolve(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			if d.budget--; d.budget < 0 {
				d.problem(v, "too many aliases lead from one to another here; write the values out")
				return nil
			}
			name := v.Value.GetToken().Value
			target, ok := d.anchors[anchor{d.origin[v], name}]
			if !ok {
				d.problem(v, "there is no anchor &%s to refer to", name)
				return nil
			}
			n = target
		case *ast.TagNode:
			d.problem(v, "YAML tags such as %s have no meaning here; leave it out", v.GetToken().Value)
			return nil
		default:
			if !d.expandable(n) {
				return n
			}
			return d.expand(n)
		}
	}
}

// entry is one key of a mapping with its value, which resolve has looked through.
type entry struct {
	key     string
	keyNode ast.Node
	value   ast.Node
}

// mapping lists the entries of n; those merged in by << come last, and only where n
// itself does not have the key. what names n in messages.
func (d *decoder) mapping(n ast.Node, what string) ([]entry, bool) {
	raw, ok := d.members(n, what)
	entries := raw[:0]
	for _, e := range raw {
		if e.value = d.resolve(e.value); e.value != nil {
			entries = append(entries, e)
		}
	}
	return entries, ok
}

// members is mapping, but leaves the values as they stand: for those who do not look
// at all of them.
func (d *decoder) members(n ast.Node, what string) ([]entry, bool) {
	n = d.resolve(n)
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case nil:
		return nil, false
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		if what == "" {
			what = "the file"
		}
		d.problem(n, "%s must be a mapping of keys to values, not %s", what, kind(n))
		return nil, false
	}
	var own, merged []entry
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, d.merge(v.Value, what)...)
			continue
		}
		key, ok := d.key(v.Key)
		if !ok {
			continue
		}
		own = append(own, entry{key, v.Key, v.Value})
	}
	for _, e := range merged {
		if !slices.ContainsFunc(own, func(o entry) bool { return o.key == e.key }) {
			own = append(own, e)
		}
	}
	return own, true
}

// merge is what << brings: one mapping, or several in a list.
func (d *decoder) merge(n ast.Node, what string) []entry {
	if d.budget--; d.budget < 0 {
		d.problem(n, "too many merges lead from one to another here; write the values out")
		return nil
	}
	sources := []ast.Node{n}
	if list, ok := d.resolve(n).(*ast.SequenceNode); ok {
		sources = list.Values
	}
	var all []entry
	for _, s := range sources {
		entries, _ := d.members(s, what)
		all = append(all, entries...)
	}
	return all
}

func (d *decoder) key(n ast.MapKeyNode) (string, bool) {
	if s, ok := n.(ast.ScalarNode); ok {
		return s.GetToken().Value, true
	}
	d.problem(n, "a key must be a plain word")
	return "", false
}

// kind names what a node is, for people.
func kind(n ast.Node) string {
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "the truth value " + v.GetToken().Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.StringNode:
		return fmt.Sprintf("%q", v.Value)
	default:
		return "a " + n.Type().YAMLName()
	}
}
