package project

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"hearth/internal/hearth"
)

// function reads one member of functions:.
func (s *serverless) function(m entry) {
	before := len(s.d.problems)
	o := s.d.object(m.value, "functions."+m.key)
	if o == nil {
		return
	}
	f := Function{Name: m.key}
	f.line, f.col = position(m.keyNode)
	f.file = s.d.origin[m.keyNode]
	if hearth.ValidateName(m.key) != nil {
		s.d.problem(m.keyNode, "a function's name is 1 to %d letters, digits, '-' and '_'; %q is not", hearth.MaxNameLen, m.key)
	}
	handler, handlerAt, ok := o.text("handler")
	if !ok {
		s.noHandler(m, o)
		return
	}
	runtime := s.runtime
	if text, e, ok := o.text("runtime"); ok {
		runtime = s.runtimeName(e, text)
	}
	s.inherit(&f)
	s.sizes(o, &f)
	f.Patch.Env = s.variablesOf(o)
	s.settings(o, &f)
	if s.vendor.dialect == hearth.OpenWhisk {
		s.annotations(o, &f)
	}
	f.Exclude = append(append([]string{}, s.exclude...), s.packaging(o)...)
	payload := s.payload
	if http := o.under("httpApi"); http != nil {
		payload = s.payloadOf(http, payload)
		s.ignore(http.rest())
	}
	s.events(o, &f, payload)
	s.vendor.complete(&f)
	s.ignore(o.skip("the key is the function's name here", "name"))
	s.ignore(o.rest())
	if len(s.d.problems) > before {
		return
	}
	s.settle(&f, m, handlerAt, handler, runtime)
	s.p.Functions = append(s.p.Functions, f)
}

// inherit takes over what holds for every function: host.json's, then the provider's.
func (s *serverless) inherit(f *Function) {
	f.Patch.Timeout, f.Patch.Model, f.Patch.MaxConcurrency = s.host.Patch.Timeout, s.host.Patch.Model, s.host.Patch.MaxConcurrency
	f.Notes = append(f.Notes, s.host.Notes...)
	if s.timeout != nil {
		f.Patch.MemoryMB, f.Notes = s.memory, append(f.Notes, s.timeout.Notes...)
		if s.timeout.Patch.Timeout != nil {
			f.Patch.Timeout = s.timeout.Patch.Timeout
		}
	}
}

// variablesOf are the provider's variables and the function's own, nil when neither
// has any.
func (s *serverless) variablesOf(o *object) *map[string]string {
	own := s.environment(o)
	if own == nil && s.env == nil {
		return nil
	}
	all := maps.Clone(s.env)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, own)
	return &all
}

func (s *serverless) noHandler(m entry, o *object) {
	if e, ok := o.get("image"); ok {
		s.d.problem(e.keyNode, "container images are not run here; deploy the code, with a handler")
		return
	}
	s.d.problem(m.keyNode, "the function %s has no handler; add one, such as handler: index.%s", m.key, m.key)
}

// settings reads what a function may say beside its sizes.
func (s *serverless) settings(o *object, f *Function) {
	if words, e, ok := o.text("description"); ok {
		setDescription(s.d, f, entry{"description", e.keyNode, s.d.textNode(e.value, words)})
	}
	number := func(key string, low, high int) *int {
		words, e, ok := o.text(key)
		if !ok {
			return nil
		}
		n, err := strconv.Atoi(words)
		if err != nil || n < low || n > high {
			s.d.problem(e.value, "%s must be a whole number from %d to %d, not %s", o.at(key), low, high, kind(e.value))
			return nil
		}
		return &n
	}
	f.Reserved = number("reservedConcurrency", 0, 1_000_000)
	f.Provisioned = number("provisionedConcurrency", 0, 1_000_000)
	f.Patch.TmpMB = number("ephemeralStorageSize", hearth.DefaultTmpMB, hearth.MaxTmpMB)
	if n := number("concurrency", 1, hearth.MaxMaxConcurrency); n != nil {
		shareInstances(f, *n) // OpenWhisk: activations in one container
	}
	s.url(o, f)
	e, ok := o.get("tags")
	if ok {
		setTags(s.d, f, e)
	}
	if len(s.tagged) > 0 {
		all := maps.Clone(s.tagged)
		maps.Copy(all, f.Tags)
		f.Tags = all
	}
	if len(f.Tags) > 0 {
		s.tags(e, f)
	}
	s.asyncOf(o, f)
}

// url reads url: true, or the settings of a function URL, which every function has.
func (s *serverless) url(o *object, f *Function) {
	e, ok := o.get("url")
	if words, _ := text(e.value); !ok || words == "false" {
		return
	}
	f.Notes = append(f.Notes, "url: every function has one, at /fn/NAME/")
	if _, scalar := text(e.value); scalar {
		return
	}
	if settings := s.d.object(e.value, o.at("url")); settings != nil {
		settings.used["invokeMode"] = true // a function that streams does so without being told
		s.ignore(settings.skip("callers are not checked here", "authorizer"))
		s.ignore(settings.rest())
	}
}

// tags are Lambda's; "hearth:" ones choose the model, as through Lambda's API.
func (s *serverless) tags(e entry, f *Function) {
	tagged := hearth.Function{Tags: f.Tags}
	tagged.Latest.Config.Normalize()
	if err := hearth.ApplyTags(&tagged); err != nil {
		s.d.problem(e.keyNode, "%s", err)
		return
	}
	c := &tagged.Latest.Config
	if f.Tags[hearth.TagModel] != "" || f.Tags[hearth.TagMaxConcurrency] != "" {
		f.Patch.Model, f.Patch.MaxConcurrency = &c.Model, &c.MaxConcurrency
	}
	if f.Tags[hearth.TagKeepAlive] != "" {
		f.Patch.KeepAlive = &c.KeepAlive
	}
	if f.Tags[hearth.TagFreeze] != "" {
		freeze := !c.NoFreeze
		f.Patch.Freeze = &freeze
	}
}

// settle writes runtime and handler as Hearth has them and asks the domain about the
// whole.
func (s *serverless) settle(f *Function, m, handlerAt entry, handler, runtime string) {
	handler = handlerOf(s.vendor.dialect, handler, runtime, s.folder)
	if runtime == "" {
		runtime = runtimeFor(handler, s.folder)
		f.Notes = append(f.Notes, "runtime "+runtime+", by the handler's file")
	}
	f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
	c := f.Config()
	if err := hearth.CheckHandler(c.Runtime, c.Handler); err != nil {
		s.d.problem(handlerAt.value, "%s", err)
	} else if err := c.Validate(); err != nil {
		s.d.problem(m.keyNode, "%s", err)
	}
}

// events reads what a function is to be called by.
func (s *serverless) events(o *object, f *Function, payload string) {
	e, ok := o.get("events")
	if !ok {
		return
	}
	list, ok := e.value.(*ast.SequenceNode)
	if !ok {
		s.d.problem(e.value, "%s must be a list, such as [{http: GET /}], not %s", o.at("events"), kind(e.value))
		return
	}
	for i, n := range list.Values {
		v := s.d.resolve(n)
		if v == nil {
			continue
		}
		at := fmt.Sprintf("%s[%d]", o.at("events"), i)
		if word, ok := text(v); ok { // - http, - httpApi, - alexaSkill: a bare word
			line, _ := position(v)
			if word != "http" && word != "httpApi" {
				s.p.Ignored = append(s.p.Ignored, Ignored{at + "." + word, line, "nothing here sends such events"})
			}
			continue
		}
		if event := s.d.object(v, at); event != nil {
			s.event(event, f, payload)
		}
	}
}

func (s *serverless) event(event *object, f *Function, payload string) {
	for _, kind := range []string{"http", "httpApi"} {
		e, ok := event.get(kind)
		if !ok {
			continue
		}
		if s.vendor.dialect == hearth.Azure {
			s.azureEvent(e, event, f)
		}
		if s.vendor.dialect != hearth.AWS {
			continue // its own semantics are those of /fn/NAME/
		}
		r := hearth.HTTPRoute{Service: s.p.Service, Payload: hearth.Payload1, Stage: s.stage}
		if kind == "httpApi" {
			r.Payload, r.Stage = payload, "$default"
		}
		if s.route(e, event.at(kind), kind, &r) {
			f.Routes = append(f.Routes, r)
		}
	}
	switch s.vendor.dialect {
	case hearth.Google:
		s.googleEvent(event, f)
	case hearth.Azure:
		s.azureTimerEvent(event, f)
	}
	if e, ok := event.get("schedule"); ok && !event.used["timer"] {
		s.schedule(e, event.at("schedule"), f)
	}
	if e, ok := event.get("nats"); ok {
		s.nats(e, event.at("nats"), f)
	}
	s.ignore(event.skip("write it as a schedule: - schedule: rate(5 minutes)", "timer"))
	for _, e := range event.members {
		if !event.used[e.key] {
			event.used[e.key] = true
			s.ignore([]Ignored{event.ignore(e, "nothing here sends such events")})
		}
	}
}

// route reads "GET /path", "*", or {path, method}.
func (s *serverless) route(e entry, at, kindOf string, r *hearth.HTTPRoute) bool {
	words, scalar := text(e.value)
	if scalar {
		method, path, both := strings.Cut(strings.TrimSpace(words), " ")
		if !both {
			method, path = "*", method
		}
		r.Method, r.Path = method, strings.TrimSpace(path)
	} else {
		o := s.d.object(e.value, at)
		if o == nil {
			return false
		}
		r.Method, _, _ = o.text("method")
		if path, _, ok := o.text("path"); ok {
			r.Path = path
		} else {
			s.d.problem(e.keyNode, "%s has no path; write it as GET /path", at)
			return false
		}
		s.ignore(o.skip("callers are not checked here", "authorizer", "private"))
		s.ignore(o.rest())
	}
	if r.Method = strings.ToUpper(r.Method); r.Method == "*" || r.Method == "" {
		r.Method = hearth.AnyMethod
	}
	switch {
	case r.Path == "*" || kindOf == "httpApi" && r.Path == hearth.DefaultPath:
		r.Path = hearth.DefaultPath
	case r.Path != "/":
		r.Path = "/" + strings.Trim(r.Path, "/")
	}
	if err := r.Validate(); err != nil {
		s.d.problem(e.value, "%s", err)
		return false
	}
	return true
}
