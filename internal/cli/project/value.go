package project

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// sizePattern is a size of memory: a number, of MB unless it says GB.
var sizePattern = regexp.MustCompile(`^([0-9]{1,9})\s*(?i:(M|MB|Mi|MiB|G|GB|Gi|GiB))?$`)

// ParseMB reads a size in MB: "256", "256MB", "1GB" (1,024 MB).
func ParseMB(text string) (int, bool) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, false
	}
	if m[2] != "" && (m[2][0] == 'G' || m[2][0] == 'g') {
		n *= 1024
	}
	return n, true
}

// ParseSpan reads a length of time: a bare number counts seconds, otherwise a number
// with its unit: "30", "1.5", "30s", "15m", "1h30m".
func ParseSpan(text string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > 1e9 {
			return 0, false
		}
		return time.Duration(math.Round(seconds*1e3)) * time.Millisecond, true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// text is n's scalar as it is written; ok is false for mappings, lists and nothing.
func text(n ast.Node) (s string, ok bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) str(e entry) (string, bool) {
	switch v := e.value.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	d.problem(e.value, "%s must be text, not %s%s", e.key, kind(e.value), quoteIt(e.value))
	return "", false
}

// quoteIt is the way out for a number where text belongs.
func quoteIt(n ast.Node) string {
	if s, ok := text(n); ok {
		return `; put it in quotes: "` + s + `"`
	}
	return ""
}

func (d *decoder) whole(e entry, low, high int, unit string) (int, bool) {
	n, ok := e.value.(*ast.IntegerNode)
	if !ok {
		d.problem(e.value, "%s must be a whole number, not %s", e.key, kind(e.value))
		return 0, false
	}
	number, err := strconv.ParseInt(strings.ReplaceAll(n.GetToken().Value, "_", ""), 0, 32)
	if err != nil || number < int64(low) || number > int64(high) {
		d.problem(e.value, "%s must be from %d to %d%s, not %s", e.key, low, high, unit, n.GetToken().Value)
		return 0, false
	}
	return int(number), true
}

func (d *decoder) megabytes(e entry, low, high int) (int, bool) {
	s, scalar := text(e.value)
	n, ok := ParseMB(s)
	switch {
	case !scalar || !ok:
		d.problem(e.value, "%s must be a number of MB, such as 256, 256MB or 1GB, not %s", e.key, kind(e.value))
	case n < low || n > high:
		d.problem(e.value, "%s must be from %d to %d MB, not %s", e.key, low, high, s)
		ok = false
	}
	return n, ok
}

func (d *decoder) span(e entry, example string) (time.Duration, bool) {
	s, scalar := text(e.value)
	v, ok := ParseSpan(s)
	if !scalar || !ok {
		d.problem(e.value, "%s must be a number of seconds or a length of time such as %s, not %s", e.key, example, kind(e.value))
		return 0, false
	}
	return v, true
}

// written is e's scalar as it stands in the file.
func written(e entry) string {
	s, _ := text(e.value)
	return s
}

// texts is a mapping of names to scalars, kept as they are written. check says what
// is wrong with one, or "".
func (d *decoder) texts(e entry, check func(name, value string) string) (map[string]string, bool) {
	if _, empty := e.value.(*ast.NullNode); empty {
		return map[string]string{}, true
	}
	entries, ok := d.mapping(e.value, e.key)
	if !ok {
		return nil, false
	}
	m := make(map[string]string, len(entries))
	for _, v := range entries {
		s, scalar := text(v.value)
		if !scalar {
			d.problem(v.value, `%s.%s must be text or a number, not %s; for no text at all write ""`, e.key, v.key, kind(v.value))
			ok = false
			continue
		}
		if wrong := check(v.key, s); wrong != "" {
			d.problem(v.keyNode, "%s", wrong)
			ok = false
		}
		m[v.key] = s
	}
	return m, ok
}

// list is a list of texts.
func (d *decoder) list(e entry) ([]string, bool) {
	seq, ok := e.value.(*ast.SequenceNode)
	if !ok {
		d.problem(e.value, "%s must be a list such as [\"*.md\", test/], not %s", e.key, kind(e.value))
		return nil, false
	}
	var all []string
	for _, n := range seq.Values {
		v := d.resolve(n)
		if v == nil {
			continue
		}
		s, scalar := text(v)
		if !scalar || s == "" {
			d.problem(v, "%s must hold patterns of file names, not %s", e.key, kind(v))
			continue
		}
		all = append(all, s)
	}
	return all, true
}
