package project

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// azurePackage is the main of a package that depends on @azure/functions.
func azurePackage(folder fs.FS) (main string, ok bool) {
	p := readPackage(folder)
	_, depends := p.Dependencies["@azure/functions"]
	return p.Main, depends && p.Main != ""
}

var (
	// registration is how the v4 model names a function: app.http('name', …).
	registration = regexp.MustCompile(`\bapp\s*\.\s*(http|get|post|put|patch|deleteRequest|timer|storageQueue|storageBlob|serviceBusQueue|serviceBusTopic|eventHub|eventGrid|cosmosDB|generic)` +
		`\s*\(\s*['"` + "`" + `]([A-Za-z0-9_-]{1,64})['"` + "`" + `]`)
	routeOption = regexp.MustCompile(`\broute\s*:\s*['"` + "`" + `]([^'"` + "`" + `]*)['"` + "`" + `]`)
	cronOption  = regexp.MustCompile(`\bschedule\s*:\s*['"` + "`" + `]([^'"` + "`" + `]*)['"` + "`" + `]`)
)

// registered finds the functions that the files of main register.
func (a *azure) registered(main string) {
	for _, file := range mainFiles(a.o.Folder, main) {
		src, err := fs.ReadFile(a.o.Folder, file)
		if err != nil {
			continue
		}
		found := registration.FindAllSubmatchIndex(src, -1)
		for i, at := range found {
			end := len(src)
			if i+1 < len(found) {
				end = found[i+1][0]
			}
			kind, name := string(src[at[2]:at[3]]), string(src[at[4]:at[5]])
			f := a.function(name)
			runtime, handler := "nodejs", strings.TrimSuffix(file, path.Ext(file))+"."+name
			f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
			a.registeredAs(&f, kind, string(src[at[1]:end]))
			a.add(f)
		}
	}
}

// registeredAs reads what the options of a registration say about its calls.
func (a *azure) registeredAs(f *Function, kind, options string) {
	methods := map[string][]string{"get": {"GET"}, "post": {"POST"}, "put": {"PUT"}, "patch": {"PATCH"}, "deleteRequest": {"DELETE"}}[kind]
	switch kind {
	case "http":
		if methods = methodsIn(options); methods == nil {
			methods = []string{"GET", "POST"} // the library's own
		}
		fallthrough
	case "get", "post", "put", "patch", "deleteRequest":
		route := ""
		if m := routeOption.FindStringSubmatch(options); m != nil {
			route = m[1]
		}
		azureRoute(f, a.service(), a.prefix, route, methods)
	case "timer":
		if m := cronOption.FindStringSubmatch(options); m != nil {
			azureTimer(f, m[1], false)
		}
	default:
		f.Notes = append(f.Notes, kind+": nothing here sends such data; call it with Invoke, whose payload is the trigger's data")
	}
}

// mainFiles are the files that a main names; it may be a pattern.
func mainFiles(folder fs.FS, main string) []string {
	var files []string
	for _, pattern := range braces(path.Clean(main)) {
		found, err := fs.Glob(folder, pattern)
		if err == nil {
			files = append(files, found...)
		}
	}
	if one := packageMain(folder); len(files) == 0 && one != "" {
		files = []string{one}
	}
	return files
}
