package project

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// missingCode tells the functions of a project's file whose handler leads to no file: each
// would deploy, and fail with its first invocation. folder is the project's.
func (p *Project) missingCode(folder fs.FS) (problems []Problem) {
	for i := range p.Functions {
		f := &p.Functions[i]
		if f.Patch.Runtime == nil || f.Patch.Handler == nil {
			continue
		}
		language, _ := hearth.Language(*f.Patch.Runtime)
		module, tried := codeFiles(language, *f.Patch.Handler)
		if len(tried) == 0 || brought(folder, language, module) || slices.ContainsFunc(tried, func(name string) bool { return isFile(folder, name) }) {
			continue
		}
		message := fmt.Sprintf("the handler %s of %s leads to %s, which is not there; name a file that is, or put it into the folder", *f.Patch.Handler, f.Name, either(tried))
		problems = append(problems, Problem{Line: max(f.line, 1), Col: max(f.col, 1), Message: message, File: f.file})
	}
	return problems
}

// codeFiles are the module of a handler and the files that it may lead to; none where a
// handler does not name a file.
func codeFiles(language, handler string) (module string, files []string) {
	dir, base := path.Split(path.Clean(handler))
	switch language {
	case hearth.LangNode:
		name, _, _ := strings.Cut(base, ".")
		module = dir + name
		for _, extension := range []string{".js", ".mjs", ".cjs"} {
			files = append(files, module+extension)
		}
	case hearth.LangPython:
		name := base[:max(strings.LastIndexByte(base, '.'), 0)]
		module = dir + strings.ReplaceAll(name, ".", "/")
		files = []string{module + ".py"}
	}
	if !fs.ValidPath(module) {
		return module, nil // told elsewhere
	}
	return module, files
}

// brought tells that a module may be there in another way: as a folder, or with a package
// that is or will be installed.
func brought(folder fs.FS, language, module string) bool {
	for _, extension := range []string{"", ".ts", ".mts", ".cts"} { // newer versions of node run TypeScript
		if _, err := fs.Stat(folder, module+extension); err == nil {
			return true
		}
	}
	first, _, _ := strings.Cut(module, "/")
	if _, err := fs.Stat(folder, first); err == nil && first != module {
		return false
	}
	if language == hearth.LangPython {
		return isFile(folder, "requirements.txt")
	}
	_, err := fs.Stat(folder, "node_modules/"+first)
	_, depends := readPackage(folder).Dependencies[first]
	return err == nil || depends
}

func either(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// checkCode is the error for what missingCode finds.
func (p *Project) checkCode(dir string, src []byte, folder fs.FS) error {
	if problems := p.missingCode(folder); len(problems) > 0 {
		return &Error{Path: filepath.Join(dir, p.File), Source: unixLines(src), Problems: problems}
	}
	return nil
}
