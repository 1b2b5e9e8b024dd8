package project

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"hearth/internal/hearth"
)

// variables is what ${…} can refer to in a serverless.yml.
type variables struct {
	root    ast.Node                         // the file itself, for self:
	env     func(name string) (string, bool) // os.LookupEnv, or a stand-in
	options map[string]string                // for opt:
	folder  fs.FS                            // for file(…); nothing outside of it can be read
	loaded  map[string]ast.Node              // bodies of included files
	under   []string                         // addresses that are being looked up
	done    map[ast.Node]bool                // results, in which "${" is just text
}

// maxText bounds what a text may grow to: variables in variables could double it
// again and again.
const maxText = 64 << 10

// expandable tells the texts that hold a variable.
func (d *decoder) expandable(n ast.Node) bool {
	if d.vars == nil || d.vars.done[n] {
		return false
	}
	switch v := n.(type) {
	case *ast.StringNode:
		return strings.Contains(v.Value, "${")
	case *ast.LiteralNode:
		return strings.Contains(v.Value.Value, "${")
	}
	return false
}

// expand is n with its variables replaced: whatever a lone variable refers to, else
// text. nil, with a problem noted, where that cannot be.
func (d *decoder) expand(n ast.Node) ast.Node {
	if d.budget--; d.budget < 0 {
		d.problem(n, "too many variables lead from one to another here; write the values out")
		return nil
	}
	s, _ := text(n)
	if inner, ok := lone(s); ok {
		return d.variable(n, inner)
	}
	result, ok := d.interpolate(n, s)
	if !ok {
		return nil
	}
	return d.textNode(n, result)
}

// textNode is a text that stands where at stands.
func (d *decoder) textNode(at ast.Node, s string) ast.Node {
	line, col := position(at)
	n := ast.String(token.String(s, s, &token.Position{Line: line, Column: col}))
	d.origin[n] = d.origin[at]
	d.vars.done[n] = true
	return n
}

// lone is what stands inside of a text that is one variable and nothing else.
func lone(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "${") {
		return "", false
	}
	end := closing(s)
	return s[2:max(end, 2)], end == len(s)-1
}

// closing finds the brace that closes the ${ with which s begins, -1 if none does.
// Braces in quotes do not count.
func closing(s string) int {
	depth, quote := 0, byte(0)
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			if strings.IndexByte(s[i+1:], c) >= 0 {
				quote = c
			}
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// interpolate replaces every variable in s by its text.
func (d *decoder) interpolate(at ast.Node, s string) (string, bool) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			break
		}
		end := closing(s[i:])
		if end < 0 {
			d.problem(at, "a variable begins with ${ and is not closed; write ${env:NAME}, or $ alone for the sign itself")
			return "", false
		}
		b.WriteString(s[:i])
		value := d.variable(at, s[i+2:i+end])
		if value == nil {
			return "", false
		}
		part, ok := text(value)
		if !ok {
			d.problem(at, "${%s} is %s, which cannot stand within a text", s[i+2:i+end], kind(value))
			return "", false
		}
		b.WriteString(part)
		if s = s[i+end+1:]; b.Len()+len(s) > maxText {
			d.problem(at, "the variables here make a text of more than %d bytes", maxText)
			return "", false
		}
	}
	return b.String(), true
}

// variable evaluates what stands between ${ and }: an address and, after commas, what
// to take when there is nothing at the one before.
func (d *decoder) variable(at ast.Node, expression string) ast.Node {
	if d.budget--; d.budget < 0 {
		d.problem(at, "too many variables lead from one to another here; write the values out")
		return nil
	}
	parts := splitOutside(expression, ',')
	why := ""
	for i, part := range parts {
		value, missing := d.source(at, strings.TrimSpace(part), i > 0)
		if missing == "" {
			return value // or nil, and a problem is noted
		}
		if why == "" {
			why = missing
		}
	}
	d.problem(at, "%s", why)
	return nil
}

// splitOutside splits at commas that are not in quotes, braces or parentheses.
func splitOutside(s string, sep byte) []string {
	var parts []string
	depth, quote, from := 0, byte(0), 0
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '{' || c == '(':
			depth++
		case c == '}' || c == ')':
			depth--
		case c == sep && depth == 0:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

var (
	literalPattern = regexp.MustCompile(`^(-?[0-9]+(\.[0-9]+)?|true|false)$`)
	filePattern    = regexp.MustCompile(`^file\(\s*([^()]+?)\s*\)(?::(.+))?$`)
)

// source is one address or default. missing says that nothing is there, and what
// would help; value nil without it means that a problem is noted.
func (d *decoder) source(at ast.Node, s string, fallback bool) (value ast.Node, missing string) {
	if inner, ok := lone(s); ok {
		return d.variable(at, inner), ""
	}
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		inner, ok := d.interpolate(at, s[1:len(s)-1])
		if !ok {
			return nil, ""
		}
		return d.textNode(at, inner), ""
	}
	if fallback && literalPattern.MatchString(s) {
		return d.textNode(at, s), ""
	}
	if fallback && (s == "null" || s == "") {
		return ast.Null(token.New("null", "null", at.GetToken().Position)), ""
	}
	address, ok := d.interpolate(at, s)
	if !ok {
		return nil, ""
	}
	if slices.Contains(d.vars.under, address) {
		d.problem(at, "these variables lead in a circle: %s", strings.Join(append(slices.Clone(d.vars.under), address), " → "))
		return nil, ""
	}
	d.vars.under = append(d.vars.under, address)
	defer func() { d.vars.under = d.vars.under[:len(d.vars.under)-1] }()
	return d.lookUp(at, address)
}

// kinds are the first words of addresses that mean something here.
func kinds() []string { return []string{"env", "self", "opt", "param", "sls", "file", "aws"} }

func (d *decoder) lookUp(at ast.Node, address string) (ast.Node, string) {
	if m := filePattern.FindStringSubmatch(address); m != nil {
		return d.fromFile(at, address, m[1], m[2])
	}
	kind, name, _ := strings.Cut(address, ":")
	name = strings.TrimSpace(name)
	switch kind {
	case "env":
		if v, ok := d.vars.env(name); ok {
			return d.textNode(at, v), ""
		}
		return nil, fmt.Sprintf("the environment variable %s is not set; set it, or write a default: ${env:%s, 'value'}", name, name)
	case "opt":
		if v, ok := d.vars.options[name]; ok {
			return d.textNode(at, v), ""
		}
		return nil, fmt.Sprintf("the option %s is not given; give it with --opt %s=VALUE, or write a default: ${opt:%s, 'value'}", name, name, name)
	case "self":
		return d.fromSelf(at, name)
	case "param":
		return d.param(at, name)
	case "sls":
		if name == "stage" {
			return d.stage(at), ""
		}
	case "aws", "AWS":
		switch strings.TrimPrefix(name, ":") {
		case "region", "Region":
			return d.textNode(at, hearth.DefaultRegion), ""
		case "accountId", "AccountId":
			return d.textNode(at, hearth.DefaultAccount), ""
		}
	}
	hint := hearth.Hint(kind, kinds())
	return nil, fmt.Sprintf("${%s} cannot be looked up here%s; there are ${env:…}, ${self:…}, ${opt:…}, ${param:…}, ${sls:stage} and ${file(…)}. Or write a default: ${%s, 'value'}", address, hint, address)
}

// param is a parameter of the stage, else of all stages (params: of the file).
func (d *decoder) param(at ast.Node, name string) (ast.Node, string) {
	stage, _ := text(d.stage(at))
	for _, of := range []string{stage, "default"} {
		if v, missing := d.inside(d.vars.root, "params."+of+"."+name); missing == "" {
			return v, ""
		}
	}
	return nil, fmt.Sprintf("there is no parameter %s under params.%s or params.default; add it, or write a default: ${param:%s, 'value'}", name, stage, name)
}

// stage is the stage that was asked for, else the provider's, else dev.
func (d *decoder) stage(at ast.Node) ast.Node {
	if v, ok := d.vars.options["stage"]; ok {
		return d.textNode(at, v)
	}
	if v, missing := d.fromSelf(at, "provider.stage"); missing == "" {
		return v
	}
	return d.textNode(at, "dev")
}

func (d *decoder) fromSelf(at ast.Node, name string) (ast.Node, string) {
	value, missing := d.inside(d.vars.root, name)
	if missing == "" {
		return value, ""
	}
	switch name { // the framework's own defaults
	case "provider.stage":
		return d.textNode(at, "dev"), ""
	case "provider.region":
		return d.textNode(at, hearth.DefaultRegion), ""
	case "service.name":
		return d.fromSelf(at, "service")
	}
	return nil, "${self:" + name + "}: " + missing
}

// inside walks from n along name, which has dots between its parts.
func (d *decoder) inside(n ast.Node, name string) (value ast.Node, missing string) {
	if name == "" {
		return d.resolve(n), ""
	}
	walked := ""
	for part := range strings.SplitSeq(name, ".") {
		if n = d.resolve(n); n == nil {
			return nil, ""
		}
		var keys []string
		var next ast.Node
		switch v := n.(type) {
		case *ast.SequenceNode:
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v.Values) {
				next = v.Values[i]
			}
		case *ast.MappingNode, *ast.MappingValueNode:
			entries, _ := d.members(v, name)
			for _, e := range entries {
				keys = append(keys, e.key)
				if e.key == part {
					next = e.value
				}
			}
		}
		if next == nil {
			return nil, fmt.Sprintf("there is no %s%s%s; add it, or write a default after a comma", walked, part, hearth.Hint(part, keys))
		}
		n, walked = next, walked+part+"."
	}
	return d.resolve(n), ""
}
