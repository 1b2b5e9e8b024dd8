package project

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// azureApp is where Python's v2 model registers its functions.
const azureApp = "function_app.py"

// azureDecorated tells an app of the v2 model.
func azureDecorated(folder fs.FS) bool {
	src, err := fs.ReadFile(folder, azureApp)
	return err == nil && strings.Contains(string(src), "azure.functions")
}

var (
	decoratorKind = regexp.MustCompile(`^@\w+\.(\w+)\s*\(`)
	defined       = regexp.MustCompile(`^(?:async\s+)?def\s+(\w+)`)
	nameArgument  = regexp.MustCompile(`\(\s*(?:name\s*=\s*)?['"]([A-Za-z0-9_-]{1,64})['"]`)
	routeArgument = regexp.MustCompile(`(?:\(\s*|\broute\s*=\s*)['"]([^'"]*)['"]`)
	cronArgument  = regexp.MustCompile(`\bschedule\s*=\s*['"]([^'"]*)['"]`)
	listArgument  = regexp.MustCompile(`\bmethods\s*[=:]\s*[\[(]([^\])]*)[\])]`)
	listedMethod  = regexp.MustCompile(`\b([A-Za-z]+)['"]?\s*(?:,|$)`)
)

// decorated is one function with what stands above it.
type decorated struct {
	name       string
	decorators []string
}

// decoratedIn finds the functions under decorators at the top level of Python source.
func decoratedIn(src string) (all []decorated) {
	var decorators []string
	open := "" // a decorator whose parentheses are not closed
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case open != "":
			open += " " + strings.TrimSpace(line)
		case strings.HasPrefix(line, "@"):
			open = line
		default:
			if m := defined.FindStringSubmatch(line); m != nil && len(decorators) > 0 {
				all = append(all, decorated{m[1], decorators})
			}
			if line != "" && line[0] != '#' && line[0] != ' ' && line[0] != '\t' {
				decorators = nil
			}
			continue
		}
		if strings.Count(open, "(") <= strings.Count(open, ")") {
			decorators, open = append(decorators, open), ""
		}
	}
	return all
}

// decoratedFunctions adds the functions that function_app.py and the blueprints beside
// it register.
func (a *azure) decoratedFunctions() {
	main, err := fs.ReadFile(a.o.Folder, azureApp)
	if err != nil {
		return
	}
	for _, file := range append([]string{azureApp}, blueprints(a.o.Folder, string(main))...) {
		src, err := fs.ReadFile(a.o.Folder, file)
		if err != nil {
			continue
		}
		for _, one := range decoratedIn(string(src)) {
			a.decoratedFunction(one)
		}
	}
}

func (a *azure) decoratedFunction(one decorated) {
	name, trigger := one.name, ""
	for _, d := range one.decorators {
		m := decoratorKind.FindStringSubmatch(d)
		switch {
		case m == nil:
		case m[1] == "function_name":
			if said := nameArgument.FindStringSubmatch(d); said != nil {
				name = said[1]
			}
		case m[1] == "route" || m[1] == "schedule" || strings.HasSuffix(m[1], "_trigger"):
			trigger = d
		}
	}
	if trigger == "" {
		return
	}
	f := a.function(name)
	runtime, handler := "python3", strings.TrimSuffix(azureApp, ".py")+"."+name
	f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
	switch kind := decoratorKind.FindStringSubmatch(trigger)[1]; kind {
	case "route":
		route := ""
		if m := routeArgument.FindStringSubmatch(trigger); m != nil {
			route = m[1]
		}
		azureRoute(&f, a.service(), a.prefix, route, methodsIn(trigger))
	case "schedule", "timer_trigger":
		if m := cronArgument.FindStringSubmatch(trigger); m != nil {
			azureTimer(&f, m[1], true)
		}
	default:
		f.Notes = append(f.Notes, strings.TrimSuffix(kind, "_trigger")+": nothing here sends such data; call it with Invoke, whose payload is the trigger's data")
	}
	a.add(f)
}

// add completes a function and takes it, unless one of that name is there already.
func (a *azure) add(f Function) {
	if slices.ContainsFunc(a.p.Functions, func(o Function) bool { return o.Name == f.Name }) {
		return
	}
	vendors()["azure"].complete(&f)
	if c := f.Config(); c.Validate() == nil {
		a.p.Functions = append(a.p.Functions, f)
	}
}

// methodsIn are the methods that a text lists: methods=["GET", func.HttpMethod.POST].
func methodsIn(text string) (methods []string) {
	m := listArgument.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	for _, one := range listedMethod.FindAllStringSubmatch(m[1], -1) {
		methods = append(methods, one[1])
	}
	return methods
}

// blueprints are the files that make one and whose module the app's main file mentions.
func blueprints(folder fs.FS, main string) (files []string) {
	for _, pattern := range []string{"*.py", "*/*.py"} {
		found, err := fs.Glob(folder, pattern)
		if err != nil {
			continue
		}
		for _, file := range found {
			module := strings.TrimSuffix(path.Base(file), ".py")
			if module == "__init__" {
				module = path.Base(path.Dir(file))
			}
			src, err := fs.ReadFile(folder, file)
			if err == nil && file != azureApp && strings.Contains(string(src), "Blueprint(") && strings.Contains(main, module) {
				files = append(files, file)
			}
		}
	}
	return files
}
