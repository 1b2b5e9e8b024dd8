package project

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// usualPrefix is where Azure serves HTTP functions when host.json says nothing else.
const usualPrefix = "api"

// azureParameter is a part of a route in Azure's words: {id}, {id:int?}, {id=7}, {*rest}.
var azureParameter = regexp.MustCompile(`^\{(\*{0,2})([A-Za-z0-9._-]+)(:[^{}?=]*)?(\?|=[^{}]*)?\}$`)

// appName is the SERVICE of an app that has no name of its own: its folder's.
func appName(dir string) string {
	full, err := filepath.Abs(dir)
	if err != nil {
		full = dir
	}
	name := strings.Trim(unfit.ReplaceAllString(filepath.Base(full), "-"), "-")
	if name == "" || len(name) > hearth.MaxNameLen {
		return "app"
	}
	return name
}

// azureRoute declares the paths at which Azure would serve an HTTP function: below
// /http/SERVICE, with the prefix of host.json.
func azureRoute(f *Function, service, prefix, route string, methods []string) {
	if route = strings.Trim(route, "/"); route == "" {
		route = f.Name
	}
	paths, ok := azurePaths(strings.Trim(prefix, "/") + "/" + route)
	if !ok || f.Name == "" || service == "" {
		f.Notes = append(f.Notes, "route "+route+" has no path below /http/: its parts are more than text and {parameters}")
		return
	}
	for _, path := range paths {
		for _, method := range azureMethods(methods) {
			r := hearth.HTTPRoute{Service: service, Method: method, Path: path, Payload: hearth.Payload2, Stage: "$default"}
			if r.Validate() == nil {
				f.Routes = append(f.Routes, r)
			}
		}
	}
}

// azurePaths writes a route as paths: one that may end early is several.
func azurePaths(route string) (paths []string, ok bool) {
	path := ""
	for part := range strings.SplitSeq(strings.Trim(route, "/"), "/") {
		m := azureParameter.FindStringSubmatch(part)
		switch {
		case part == "":
		case m == nil && strings.ContainsAny(part, "{}"):
			return nil, false
		case m == nil:
			path += "/" + part
		case m[1] != "":
			return append(paths, orRoot(path), path+"/{"+m[2]+"+}"), true
		default:
			if m[4] != "" {
				paths = append(paths, orRoot(path))
			}
			path += "/{" + m[2] + "}"
		}
	}
	return append(paths, orRoot(path)), true
}

func orRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// azureMethods are the methods of an HTTP trigger as routes have them; none means any.
func azureMethods(listed []string) []string {
	known := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	var methods []string
	for _, m := range listed {
		if m = strings.ToUpper(m); slices.Contains(known, m) && !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	if len(methods) == 0 {
		return []string{hearth.AnyMethod}
	}
	return methods
}

// azureTimer makes a trigger of an NCRONTAB schedule, which has the seconds first. What
// Hearth's own schedules cannot say, it tells.
func azureTimer(f *Function, schedule string, python bool) {
	fields := strings.Fields(schedule)
	words := ""
	switch {
	case len(fields) == 5:
		words = strings.Join(fields, " ")
	case len(fields) == 6 && strings.Trim(fields[0], "0") == "" && (fields[3] == "*" || fields[5] == "*"):
		words = strings.Join(fields[1:], " ")
	}
	t := hearth.Trigger{Name: defaultTrigger(len(f.Triggers)), Schedule: words, Input: []byte(`{"isPastDue":false}`)}
	if python {
		t.Input = []byte(`{"IsPastDue":false}`)
	}
	if words == "" || checkTrigger(&t) != nil {
		f.Notes = append(f.Notes, "timer \""+schedule+"\" does not run it: write the schedule as triggers: in a hearth.yml, such as \"*/5 * * * *\"")
		return
	}
	f.Triggers = append(f.Triggers, t)
}
