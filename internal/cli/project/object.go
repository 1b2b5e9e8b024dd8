package project

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Ignored is a key of a project's file that Hearth makes no use of.
type Ignored struct {
	Key  string `json:"key"` // with those it stands under: functions.hello.layers
	Line int    `json:"line"`
	Why  string `json:"why,omitempty"` // "" when Hearth just does not know it
}

// object is a mapping of which every key is accounted for: what is not asked for is
// told as ignored. Values are only looked at when they are asked for, so that a
// variable in an ignored one is no mistake.
type object struct {
	d       *decoder
	path    string
	members []entry
	used    map[string]bool
}

// object reads n, which path names in messages; nil when it is no mapping.
func (d *decoder) object(n ast.Node, path string) *object {
	members, ok := d.members(n, path)
	if !ok {
		return nil
	}
	return &object{d: d, path: path, members: members, used: map[string]bool{}}
}

// get is the value of the first of keys that is there. Nothing and null are not.
func (o *object) get(keys ...string) (entry, bool) {
	if o == nil {
		return entry{}, false
	}
	for _, key := range keys {
		i := slices.IndexFunc(o.members, func(e entry) bool { return e.key == key })
		if i < 0 {
			continue
		}
		o.used[key] = true
		e := o.members[i]
		if e.value = o.d.resolve(e.value); e.value == nil {
			continue // told already
		}
		if _, null := e.value.(*ast.NullNode); !null {
			return e, true
		}
	}
	return entry{}, false
}

// absent notes that a file lacks a key, unless what is wrong with its value is told already.
func (d *decoder) absent(top *object, key, message string) {
	there := slices.ContainsFunc(top.members, func(e entry) bool { return e.key == key })
	if !there || len(d.problems) == 0 {
		d.fault(1, 1, message)
	}
}

// under is the mapping that one key holds, nil when there is none.
func (o *object) under(key string) *object {
	e, ok := o.get(key)
	if !ok {
		return nil
	}
	return o.d.object(e.value, o.at(key))
}

// at names a key in messages.
func (o *object) at(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

// text is a key's scalar, as it is written.
func (o *object) text(keys ...string) (string, entry, bool) {
	e, ok := o.get(keys...)
	if !ok {
		return "", e, false
	}
	s, scalar := text(e.value)
	if !scalar {
		o.d.problem(e.value, "%s must be text, not %s", o.at(e.key), kind(e.value))
	}
	return s, e, scalar
}

// skip accounts for keys that mean nothing here, and says why.
func (o *object) skip(why string, keys ...string) (ignored []Ignored) {
	for _, e := range o.members {
		if slices.Contains(keys, e.key) && !o.used[e.key] {
			o.used[e.key] = true
			ignored = append(ignored, o.ignore(e, why))
		}
	}
	return ignored
}

func (o *object) ignore(e entry, why string) Ignored {
	line, _ := position(e.keyNode)
	return Ignored{Key: o.at(e.key), Line: line, Why: why}
}

// rest is all that nobody has asked for.
func (o *object) rest() (ignored []Ignored) {
	if o == nil {
		return nil
	}
	for _, e := range o.members {
		if !o.used[e.key] {
			o.used[e.key] = true
			ignored = append(ignored, o.ignore(e, ""))
		}
	}
	return ignored
}

// String is for the message that a deployment prints.
func (i Ignored) String() string {
	if i.Why == "" {
		return fmt.Sprintf("%s (line %d)", i.Key, i.Line)
	}
	return fmt.Sprintf("%s (line %d): %s", i.Key, i.Line, i.Why)
}
