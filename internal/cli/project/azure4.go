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

// registration is how the v4 model names a function: app.http('name', …).
var registration = regexp.MustCompile(`\bapp\s*\.\s*(?:http|get|post|put|patch|deleteRequest)\s*\(\s*['"` + "`" + `]([A-Za-z0-9_-]{1,64})['"` + "`" + `]`)

// registered finds the functions that the files of main register.
func (a *azure) registered(main string) {
	for _, file := range mainFiles(a.o.Folder, main) {
		src, err := fs.ReadFile(a.o.Folder, file)
		if err != nil {
			continue
		}
		for _, m := range registration.FindAllSubmatch(src, -1) {
			f := a.function(string(m[1]))
			runtime, handler := "nodejs", strings.TrimSuffix(file, path.Ext(file))+"."+string(m[1])
			f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
			vendors()["azure"].complete(&f)
			a.p.Functions = append(a.p.Functions, f)
		}
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
