package project

import (
	"maps"
	"strings"
)

// What single vendors' functions say in a serverless.yml beyond what all of them do.

// setEnvironment sets a variable of a function, unless the file has set it.
func (f *Function) setEnvironment(name, value string) {
	env := map[string]string{}
	if f.Patch.Env != nil {
		env = maps.Clone(*f.Patch.Env)
	}
	if _, set := env[name]; !set {
		env[name] = value
	}
	f.Patch.Env = &env
}

// googleEvent reads event:, by which a function becomes one of events: it is called with
// (event, context), whatever its parameters look like.
func (s *serverless) googleEvent(event *object, f *Function) {
	e, ok := event.get("event")
	if !ok {
		return
	}
	f.setEnvironment("FUNCTION_SIGNATURE_TYPE", "event")
	words := "event"
	if o := s.d.object(e.value, event.at("event")); o != nil {
		if kind, _, ok := o.text("eventType"); ok {
			words = kind
		}
	}
	f.Notes = append(f.Notes, words+": nothing here sends such events; call it with Invoke or a POST, whose payload is the event")
}

// annotations reads OpenWhisk's: raw-http makes a web action that is given its request
// unparsed.
func (s *serverless) annotations(o *object, f *Function) {
	a := o.under("annotations")
	if a == nil {
		return
	}
	raw, _, _ := a.text("raw-http")
	web, _, _ := a.text("web-export", "web")
	if raw == "true" || web == "raw" {
		f.setEnvironment("OW_RAW_HTTP", "true") // no variable of a function may begin with _
		f.Notes = append(f.Notes, "raw-http: the handler is given the request unparsed, in __ow_body and __ow_query")
	}
	a.used["final"], a.used["web-custom-options"] = true, true
	s.ignore(a.rest())
}

// azureTimerEvent reads a timer event of Azure: true, or a mapping, with its schedule within,
// beside it, or under x-azure-settings.
func (s *serverless) azureTimerEvent(event *object, f *Function) {
	e, ok := event.get("timer")
	if !ok {
		return
	}
	settings := []*object{event, event.under("x-azure-settings")}
	if _, scalar := text(e.value); !scalar {
		settings = append(settings, s.d.object(e.value, event.at("timer")))
	}
	schedule := ""
	for _, o := range settings {
		if o == nil {
			continue
		}
		if words, _, ok := o.text("schedule"); ok {
			schedule = words
		}
		for _, key := range []string{"name", "direction"} {
			o.used[key] = true
		}
		if o != event {
			s.ignore(o.rest())
		}
	}
	if schedule == "" {
		s.d.problem(e.keyNode, "%s has no schedule; add one, such as schedule: '0 */5 * * * *'", event.at("timer"))
		return
	}
	azureTimer(f, schedule, strings.HasPrefix(s.runtime, "python"))
}

// azureEvent reads an http event of Azure: true, or the settings themselves, with route
// and methods beside it or within.
func (s *serverless) azureEvent(e entry, event *object, f *Function) {
	settings := []*object{event}
	if _, scalar := text(e.value); !scalar {
		settings = append(settings, s.d.object(e.value, event.at(e.key)))
	}
	settings = append(settings, event.under("x-azure-settings"))
	route, methods := "", []string(nil)
	for _, o := range settings {
		if o == nil {
			continue
		}
		if words, _, ok := o.text("route"); ok {
			route = words
		}
		if e, ok := o.get("methods", "method"); ok {
			if one, scalar := text(e.value); scalar {
				methods = strings.Split(one, ",")
			} else if list, ok := s.d.list(e); ok {
				methods = list
			}
		}
		for _, key := range []string{"authLevel", "direction", "name"} {
			o.used[key] = true
		}
		if o != event {
			s.ignore(o.rest())
		}
	}
	azureRoute(f, s.p.Service, s.prefix, route, methods)
}
