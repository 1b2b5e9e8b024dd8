package project

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
)

// Key is one key that a function in hearth.yml may have. docs/reference/hearth.yml.md
// tells more about each; a test holds the two together.
type Key struct {
	Name    string
	Type    string
	Default string
	set     func(d *decoder, f *Function, e entry)
}

// Keys lists every key of a function.
func Keys() []Key {
	return []Key{
		{"name", "text", "the folder's name", setName},
		{"runtime", "text", "guessed from the files", setRuntime},
		{"handler", "text", "guessed from the files", setHandler},
		{"dialect", "one word", "aws", setDialect},
		{"memory", "MB", "128", setMemory},
		{"timeout", "seconds", "3", setTimeout},
		{"tmp", "MB", "512", setTmp},
		{"executionModel", "exclusive or concurrent", "exclusive", setModel},
		{"maxConcurrency", "whole number", "10", setMaxConcurrency},
		{"keepAlive", "length of time", "15m", setKeepAlive},
		{"freeze", "true or false", "true", setFreeze},
		{"env", "mapping", "none", setEnv},
		{"code", "path", "`.`", setCode},
		{"exclude", "list of patterns", "none", setExclude},
		{"description", "text", "none", setDescription},
		{"reserved", "whole number", "none", setReserved},
		{"provisionedConcurrency", "whole number", "none", setProvisioned},
		{"tags", "mapping", "none", setTags},
		{"triggers", "list", "none", setTriggers},
		{"async", "mapping", "Lambda's", setAsync},
	}
}

// keyNames are the names of Keys.
func keyNames() []string {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Name)
	}
	return names
}

func setName(d *decoder, f *Function, e entry) {
	if name, ok := d.str(e); ok {
		f.Name = name
		f.line, f.col = position(e.value)
	}
}

func setRuntime(d *decoder, f *Function, e entry) {
	s, ok := d.str(e)
	if !ok {
		return
	}
	if _, err := hearth.Language(s); err != nil {
		d.problem(e.value, "%s", runtimeWords(s, err))
		return
	}
	f.Patch.Runtime = &s
}

// runtimeWords prefers the domain's reason where it has one ("Runtime java21 is not
// offered yet") to its list of all runtimes in the words of Lambda's API.
func runtimeWords(name string, err error) string {
	if strings.HasPrefix(err.Error(), "Runtime ") {
		return err.Error()
	}
	return fmt.Sprintf("there is no runtime %q%s; there are %s", name,
		hearth.Hint(name, hearth.Runtimes()), strings.Join(hearth.Runtimes(), ", "))
}

func setHandler(d *decoder, f *Function, e entry) {
	if s, ok := d.str(e); ok {
		f.Patch.Handler = &s
	}
}

func setDialect(d *decoder, f *Function, e entry) {
	s, ok := d.str(e)
	if !ok {
		return
	}
	dialect, err := hearth.ParseDialect(s)
	if err != nil {
		d.problem(e.value, "there is no dialect %q%s; there are %s", s, hearth.Hint(s, hearth.Dialects()), strings.Join(hearth.Dialects(), ", "))
		return
	}
	f.Patch.Dialect = &dialect
}

func setMemory(d *decoder, f *Function, e entry) {
	if n, ok := d.megabytes(e, hearth.MinMemoryMB, hearth.MaxMemoryMB); ok {
		f.Patch.MemoryMB = &n
	}
}

func setTmp(d *decoder, f *Function, e entry) {
	if n, ok := d.megabytes(e, hearth.DefaultTmpMB, hearth.MaxTmpMB); ok {
		f.Patch.TmpMB = &n
	}
}

func setTimeout(d *decoder, f *Function, e entry) {
	v, ok := d.span(e, "30s")
	if !ok {
		return
	}
	if v < time.Second || v > hearth.MaxTimeout {
		d.problem(e.value, "timeout must be from 1s to %.0fs, not %s", hearth.MaxTimeout.Seconds(), written(e))
		return
	}
	f.Patch.Timeout = &v
}

func setKeepAlive(d *decoder, f *Function, e entry) {
	v, ok := d.span(e, "15m")
	if !ok {
		return
	}
	if v == 0 {
		v = hearth.NoKeepAlive
	} else if v < hearth.MinKeepAlive || v > hearth.MaxKeepAlive {
		d.problem(e.value, "keepAlive must be 0 (none), or from 1s to 24h, not %s", written(e))
		return
	}
	f.Patch.KeepAlive = &v
}

func setModel(d *decoder, f *Function, e entry) {
	s, ok := d.str(e)
	if !ok {
		return
	}
	m := hearth.Model(s)
	if m != hearth.Exclusive && m != hearth.Concurrent {
		d.problem(e.value, "executionModel must be exclusive (each invocation has an instance to itself) "+
			"or concurrent (up to maxConcurrency share one), not %q", s)
		return
	}
	f.Patch.Model = &m
}

func setMaxConcurrency(d *decoder, f *Function, e entry) {
	if n, ok := d.whole(e, 1, hearth.MaxMaxConcurrency, ""); ok {
		f.Patch.MaxConcurrency = &n
	}
}

func setEnv(d *decoder, f *Function, e entry) {
	if m, ok := d.texts(e, checkVariable); ok {
		f.Patch.Env = &m
	}
}

// checkVariable asks the domain about one variable alone, so that its line can be told.
func checkVariable(name, value string) string {
	if slices.Contains(hearth.ReservedEnv(), name) {
		return name + " is set by the platform itself; choose another name"
	}
	c := hearth.Config{Runtime: hearth.Runtimes()[0], Handler: "index.handler"}
	c.Normalize()
	if c.Env = map[string]string{name: "x"}; c.Validate() != nil {
		return fmt.Sprintf("%q cannot be a variable's name: a letter comes first, then at least one letter, digit or _", name)
	}
	if c.Env = map[string]string{name: value}; c.Validate() != nil {
		return fmt.Sprintf("the value of %s is too long or not text; all variables together may have %d bytes", name, hearth.MaxEnvBytes)
	}
	return ""
}

func anything(string, string) string { return "" }

func setCode(d *decoder, f *Function, e entry) {
	s, ok := d.str(e)
	if !ok {
		return
	}
	if s == "" || path.IsAbs(s) || !filepath.IsLocal(filepath.FromSlash(s)) {
		d.problem(e.value, "code must be a path inside this folder, such as . or dist or dist/code.zip, not %q", s)
		return
	}
	f.Code = path.Clean(s)
}

func setExclude(d *decoder, f *Function, e entry) {
	if l, ok := d.list(e); ok {
		f.Exclude = l
	}
}

func setDescription(d *decoder, f *Function, e entry) {
	s, ok := d.str(e)
	if !ok {
		return
	}
	if n := utf8.RuneCountInString(s); n > hearth.MaxDescriptionLen {
		d.problem(e.value, "description has %d characters, at most %d are allowed", n, hearth.MaxDescriptionLen)
		return
	}
	f.Patch.Description = &s
}

func setReserved(d *decoder, f *Function, e entry) {
	if n, ok := d.whole(e, 0, 1_000_000, " invocations in flight"); ok {
		f.Reserved = &n
	}
}

func setProvisioned(d *decoder, f *Function, e entry) {
	if n, ok := d.whole(e, 0, 1_000_000, " invocations at once"); ok {
		f.Provisioned = &n
	}
}

func setFreeze(d *decoder, f *Function, e entry) {
	b, ok := e.value.(*ast.BoolNode)
	if !ok {
		d.problem(e.value, "freeze must be true (idle instances stand still) or false (their timers go on), not %s", kind(e.value))
		return
	}
	f.Patch.Freeze = &b.Value
}

func setTags(d *decoder, f *Function, e entry) {
	m, ok := d.texts(e, anything)
	if !ok {
		return
	}
	if err := hearth.ValidateTags(m); err != nil {
		d.problem(e.keyNode, "%s", err)
		return
	}
	f.Tags = m
}
