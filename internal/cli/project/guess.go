package project

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"hearth/internal/hearth"
)

// Guess is what the files of a folder say about a function.
type Guess struct {
	Runtime string
	Handler string
	Because string // the file that it was told by
}

// nodeFiles and pythonFiles are the usual names of a function's main file, the
// likeliest first.
func nodeFiles() []string {
	return []string{"index.js", "index.mjs", "index.cjs", "handler.js", "handler.mjs", "main.js", "main.mjs", "app.js", "app.mjs", "function.js"}
}

func pythonFiles() []string {
	return []string{"main.py", "lambda_function.py", "handler.py", "app.py", "index.py", "function.py"}
}

// GuessFrom looks at the files in code for the runtime and the handler. The error
// says what it looked for.
func GuessFrom(code fs.FS) (Guess, error) {
	if isFile(code, "bootstrap") {
		return Guess{Runtime: "provided.al2023", Handler: "bootstrap", Because: "bootstrap"}, nil
	}
	if main := packageMain(code); main != "" {
		return nodeGuess(main, "package.json"), nil
	}
	for _, name := range nodeFiles() {
		if isFile(code, name) {
			return nodeGuess(name, name), nil
		}
	}
	for _, name := range pythonFiles() {
		if isFile(code, name) {
			return pythonGuess(code, name), nil
		}
	}
	if only := onlySource(code); strings.HasSuffix(only, ".py") {
		return pythonGuess(code, only), nil
	} else if only != "" {
		return nodeGuess(only, only), nil
	}
	return Guess{}, fmt.Errorf("nothing here tells what runs it: no package.json with a main, no %s, no %s. Say it with --runtime and --handler, or in %s",
		strings.Join(nodeFiles()[:3], ", "), strings.Join(pythonFiles()[:3], ", "), FileName)
}

func nodeGuess(file, because string) Guess {
	module := strings.TrimSuffix(path.Clean(file), path.Ext(file))
	return Guess{Runtime: "nodejs", Handler: module + ".handler", Because: because}
}

// pythonGuess takes the function that the file defines: handler, else
// lambda_handler, else main.
func pythonGuess(code fs.FS, file string) Guess {
	name := "handler"
	if file == "lambda_function.py" {
		name = "lambda_handler"
	}
	if src, err := fs.ReadFile(code, file); err == nil {
		for _, try := range []string{"handler", "lambda_handler", "main"} {
			if defines(string(src), try) {
				name = try
				break
			}
		}
	}
	return Guess{Runtime: "python3", Handler: strings.TrimSuffix(file, ".py") + "." + name, Because: file}
}

// defines tells whether Python source has a function name at its top level.
func defines(src, name string) bool {
	for line := range strings.Lines(src) {
		line = strings.TrimPrefix(line, "async ")
		rest, ok := strings.CutPrefix(line, "def "+name)
		if ok && strings.HasPrefix(strings.TrimLeft(rest, " "), "(") {
			return true
		}
		if rest, ok = strings.CutPrefix(line, name); ok && strings.HasPrefix(strings.TrimLeft(rest, " "), "=") {
			return true
		}
	}
	return false
}

// packageFile is what a package.json says that matters here.
type packageFile struct {
	Name         string            `json:"name"`
	Main         string            `json:"main"`
	Scripts      map[string]string `json:"scripts"`
	Dependencies map[string]string `json:"dependencies"`
}

// readPackage is the folder's package.json, nothing when there is none that can be
// read.
func readPackage(code fs.FS) (p packageFile) {
	if src, err := fs.ReadFile(code, "package.json"); err == nil && json.Unmarshal(src, &p) != nil {
		return packageFile{}
	}
	return p
}

// packageMain is the main file that package.json names, if it is there.
func packageMain(code fs.FS) string {
	p := readPackage(code)
	if p.Main == "" {
		return ""
	}
	main := path.Clean(p.Main)
	for _, try := range []string{main, main + ".js", path.Join(main, "index.js")} {
		if fs.ValidPath(try) && isFile(code, try) {
			return try
		}
	}
	return ""
}

// onlySource is the one file of source code in the folder, if there is exactly one.
func onlySource(code fs.FS) string {
	entries, err := fs.ReadDir(code, ".")
	if err != nil {
		return ""
	}
	only := ""
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".js", ".mjs", ".cjs", ".py":
			if only != "" {
				return ""
			}
			only = e.Name()
		}
	}
	return only
}

func isFile(code fs.FS, name string) bool {
	info, err := fs.Stat(code, name)
	return err == nil && info.Mode().IsRegular()
}

// Complete fills in the runtime and handler that f does not mention from its code,
// and returns what was guessed ("" when nothing was).
func Complete(f *Function, code fs.FS) (said string, err error) {
	if f.Patch.Runtime != nil && f.Patch.Handler != nil {
		return "", nil
	}
	if f.Patch.Runtime != nil {
		if language, _ := hearth.Language(*f.Patch.Runtime); language == hearth.LangCustom {
			handler := "bootstrap" // a program reads it as it likes
			f.Patch.Handler = &handler
			return "", nil
		}
	}
	g, err := GuessFrom(code)
	if err != nil {
		return "", err
	}
	var parts []string
	if f.Patch.Runtime == nil {
		f.Patch.Runtime = &g.Runtime
		parts = append(parts, "runtime "+g.Runtime)
	}
	if f.Patch.Handler == nil {
		guessed, err := hearth.Language(g.Runtime)
		wanted, errWanted := hearth.Language(*f.Patch.Runtime)
		if err != nil || errWanted != nil || guessed != wanted {
			return "", fmt.Errorf("runtime %s does not go with %s: say which handler to call, in %s or with --handler", *f.Patch.Runtime, g.Because, FileName)
		}
		f.Patch.Handler = &g.Handler
		parts = append(parts, "handler "+g.Handler)
	}
	return fmt.Sprintf("%s, guessed from %s", strings.Join(parts, ", "), g.Because), nil
}
