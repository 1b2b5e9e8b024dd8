package project

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
	"hearth/internal/trigger"
)

// setTriggers reads triggers: a list of schedules, each an expression or a mapping, and of
// what is listened to.
func setTriggers(d *decoder, f *Function, e entry) {
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		d.problem(e.value, "triggers must be a list, such as [schedule: rate(5 minutes)], not %s", kind(e.value))
		return
	}
	for i, n := range list.Values {
		v := d.resolve(n)
		if v == nil {
			continue
		}
		t := hearth.Trigger{Name: defaultTrigger(i)}
		if words, scalar := text(v); scalar {
			t.Schedule = words
		} else if o := d.object(v, fmt.Sprintf("triggers[%d]", i)); o == nil || !d.trigger(o, i, &t) {
			continue
		}
		if err := trigger.Check(&t); err != nil {
			d.problem(v, "%s", err)
			continue
		}
		f.Triggers = append(f.Triggers, t)
	}
}

// defaultTrigger is the name of the ith schedule when it has none.
func defaultTrigger(i int) string { return "schedule-" + strconv.Itoa(i+1) }

// triggerKeys are those of hearth.yml.
var triggerKeys = []string{"name", "schedule", "nats", "timezone", "missed", "input", "enabled"}

// trigger reads the ith of the list.
func (d *decoder) trigger(o *object, i int, t *hearth.Trigger) bool {
	before := len(d.problems)
	d.commonKeys(o, t)
	if s, _, ok := o.text("schedule"); ok {
		t.Schedule = s
	}
	if e, ok := o.get("nats"); ok {
		if t.NATS = d.nats(e, o.at("nats")); t.Name == defaultTrigger(i) {
			t.Name = natsTrigger(i)
		}
	}
	if s, _, ok := o.text("missed"); ok {
		t.Missed = hearth.MissedPolicy(s)
	}
	for _, e := range o.members {
		if !o.used[e.key] {
			d.problem(e.keyNode, "unknown key %q%s", e.key, hearth.Hint(e.key, triggerKeys))
		}
	}
	return len(d.problems) == before
}

// commonKeys reads the keys that a trigger of hearth.yml and a schedule of
// serverless.yml have in common.
func (d *decoder) commonKeys(o *object, t *hearth.Trigger) {
	if s, _, ok := o.text("name"); ok {
		t.Name = s
	}
	if s, _, ok := o.text("timezone"); ok {
		t.Timezone = s
	}
	if s, e, ok := o.text("enabled"); ok {
		if s != "true" && s != "false" {
			d.problem(e.value, "%s must be true or false, not %q", o.at("enabled"), s)
		}
		t.Disabled = s == "false"
	}
	if e, ok := o.get("input"); ok {
		d.input(e, o.at("input"), t)
	}
}

// input is what a trigger sends: any YAML, as JSON.
func (d *decoder) input(e entry, at string, t *hearth.Trigger) {
	v, ok := d.plain(e.value, at)
	if !ok {
		return
	}
	input, err := json.Marshal(v)
	if err != nil {
		d.problem(e.value, "%s cannot be written as JSON: %s", at, err)
		return
	}
	t.Input = input
}

// plain is n as encoding/json takes it.
func (d *decoder) plain(n ast.Node, at string) (any, bool) {
	n = d.resolve(n)
	switch v := n.(type) {
	case nil:
		return nil, false // told already
	case *ast.NullNode:
		return nil, true
	case *ast.BoolNode:
		return v.Value, true
	case *ast.IntegerNode:
		return v.Value, true
	case *ast.FloatNode:
		return v.Value, true
	case *ast.SequenceNode:
		list, all := []any{}, true
		for i, item := range v.Values {
			p, ok := d.plain(item, fmt.Sprintf("%s[%d]", at, i))
			list, all = append(list, p), all && ok
		}
		return list, all
	}
	if s, scalar := text(n); scalar {
		return s, true
	}
	members, all := d.members(n, at)
	m := map[string]any{}
	for _, e := range members {
		p, ok := d.plain(e.value, at+"."+e.key)
		m[e.key], all = p, all && ok
	}
	return m, all
}

// schedule reads a schedule event of serverless.yml: an expression, or {rate, enabled,
// input, timezone, name}, where rate may be a list.
func (s *serverless) schedule(e entry, at string, f *Function) {
	t := hearth.Trigger{Name: defaultTrigger(len(f.Triggers))}
	if words, scalar := text(e.value); scalar {
		t.Schedule = words
		s.addTrigger(e.value, t, f)
		return
	}
	o := s.d.object(e.value, at)
	if o == nil {
		return
	}
	s.d.commonKeys(o, &t)
	rate, ok := o.get("rate")
	if !ok {
		s.d.problem(e.keyNode, "%s has no rate; write it as rate: rate(5 minutes)", at)
		return
	}
	s.ignore(o.rest())
	list, isList := rate.value.(*ast.SequenceNode)
	if !isList {
		list = &ast.SequenceNode{Values: []ast.Node{rate.value}}
	}
	for i, n := range list.Values {
		v := s.d.resolve(n)
		if v == nil {
			continue
		}
		one := t
		if len(list.Values) > 1 {
			one.Name = t.Name + "-" + strconv.Itoa(i+1)
		}
		if one.Schedule, ok = text(v); !ok {
			s.d.problem(v, "%s must be text, not %s", o.at("rate"), kind(v))
			continue
		}
		s.addTrigger(v, one, f)
	}
}

// checkTrigger asks the domain.
func checkTrigger(t *hearth.Trigger) error { return trigger.Check(t) }

// fiveFields is cron(* * * * *), a crontab's five fields, as OpenWhisk's plug-in has them.
var fiveFields = regexp.MustCompile(`^cron\(\s*((?:\S+\s+){4}\S+)\s*\)$`)

func (s *serverless) addTrigger(at ast.Node, t hearth.Trigger, f *Function) {
	if m := fiveFields.FindStringSubmatch(t.Schedule); m != nil && s.vendor.dialect != hearth.AWS {
		t.Schedule = m[1]
	}
	if err := trigger.Check(&t); err != nil {
		s.d.problem(at, "%s", err)
		return
	}
	f.Triggers = append(f.Triggers, t)
}
