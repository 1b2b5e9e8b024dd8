package project

import (
	"io/fs"
	"path"
	"regexp"
	"strings"

	"hearth/internal/hearth"
)

var (
	frameworkTarget = regexp.MustCompile(`functions-framework\b.*--target[= ]([A-Za-z0-9_.-]+)`)
	registeredHTTP  = regexp.MustCompile(`\bfunctions\s*\.\s*(?:http|cloudEvent)\s*\(\s*['"]([A-Za-z0-9_.-]+)['"]`)
	decoratedPython = regexp.MustCompile(`(?m)^@functions_framework\.(?:http|cloud_event)\s*\n(?:async )?def ([A-Za-z_][A-Za-z0-9_]*)`)
)

// readCode looks at code without any project file. What uses Google's functions
// framework is Google's; all else is guessed later, as Lambda's.
func readCode(_ string, o Options) (*Project, error) {
	file, target := googleTarget(o.Folder)
	if target == "" {
		return nil, nil
	}
	f := Function{}
	runtime := "nodejs"
	if strings.HasSuffix(file, ".py") {
		runtime = "python3"
	}
	handler := strings.TrimSuffix(file, path.Ext(file)) + "." + target
	f.Patch.Runtime, f.Patch.Handler = &runtime, &handler
	vendors()["google"].complete(&f)
	f.Notes = append(f.Notes, "google, because of its functions framework")
	return &Project{File: file, Vendor: string(hearth.Google), Functions: []Function{f}}, nil
}

// googleTarget is the function that the functions framework would serve.
func googleTarget(folder fs.FS) (file, target string) {
	p := readPackage(folder)
	if _, ok := p.Dependencies["@google-cloud/functions-framework"]; ok {
		if file = packageMain(folder); file == "" {
			file = "index.js"
		}
		if m := frameworkTarget.FindStringSubmatch(p.Scripts["start"]); m != nil {
			return file, m[1]
		}
		if src, err := fs.ReadFile(folder, file); err == nil {
			if m := registeredHTTP.FindSubmatch(src); m != nil {
				return file, string(m[1])
			}
		}
		return "", ""
	}
	if src, err := fs.ReadFile(folder, "main.py"); err == nil {
		if m := decoratedPython.FindSubmatch(src); m != nil {
			return "main.py", string(m[1])
		}
	}
	return "", ""
}
