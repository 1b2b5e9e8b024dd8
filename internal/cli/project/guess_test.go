package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestGuess(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		files   fstest.MapFS
		runtime string
		handler string
	}{
		"index.js":            {fstest.MapFS{"index.js": file("")}, "nodejs", "index.handler"},
		"index.mjs":           {fstest.MapFS{"index.mjs": file(""), "lib.mjs": file("")}, "nodejs", "index.handler"},
		"package.json":        {fstest.MapFS{"package.json": file(`{"main":"./src/app.js"}`), "src/app.js": file(""), "index.js": file("")}, "nodejs", "src/app.handler"},
		"package.json folder": {fstest.MapFS{"package.json": file(`{"main":"lib"}`), "lib/index.js": file("")}, "nodejs", "lib/index.handler"},
		"package.json empty":  {fstest.MapFS{"package.json": file(`{}`), "index.js": file("")}, "nodejs", "index.handler"},
		"package.json astray": {fstest.MapFS{"package.json": file(`{"main":"../up.js"}`), "index.js": file("")}, "nodejs", "index.handler"},
		"main.py":             {fstest.MapFS{"main.py": file("import os\n\ndef handler(event, context):\n  pass\n")}, "python3", "main.handler"},
		"async def":           {fstest.MapFS{"main.py": file("async def main (event, context):\n  pass\n")}, "python3", "main.main"},
		"lambda_function.py":  {fstest.MapFS{"lambda_function.py": file("def lambda_handler(e, c): pass")}, "python3", "lambda_function.lambda_handler"},
		"assigned":            {fstest.MapFS{"app.py": file("handler = make()\n")}, "python3", "app.handler"},
		"only file":           {fstest.MapFS{"resize.js": file(""), "README.md": file("")}, "nodejs", "resize.handler"},
		"only python":         {fstest.MapFS{"resize.py": file("def lambda_handler(e, c): pass")}, "python3", "resize.lambda_handler"},
		"node before python":  {fstest.MapFS{"index.js": file(""), "main.py": file("")}, "nodejs", "index.handler"},
	} {
		g, err := GuessFrom(c.files)
		if err != nil || g.Runtime != c.runtime || g.Handler != c.handler {
			t.Errorf("%s: got %+v, %v; want %s %s", name, g, err, c.runtime, c.handler)
		}
	}
	for name, files := range map[string]fstest.MapFS{
		"nothing":   {"README.md": file("")},
		"ambiguous": {"a.js": file(""), "b.js": file("")},
	} {
		if g, err := GuessFrom(files); err == nil || !strings.Contains(err.Error(), "--handler") {
			t.Errorf("%s: got %+v, %v; want an error that names the way out", name, g, err)
		}
	}
}

func TestComplete(t *testing.T) {
	files := fstest.MapFS{"index.js": {Data: []byte("")}}
	f := Function{}
	said, err := Complete(&f, files)
	if err != nil || said != "runtime nodejs, handler index.handler, guessed from index.js" {
		t.Errorf("said %q, %v", said, err)
	}
	if said, err = Complete(&f, files); err != nil || said != "" {
		t.Errorf("nothing is left to guess, but said %q, %v", said, err)
	}
	f = Function{}
	f.Patch.Runtime = ptr("python3")
	if _, err = Complete(&f, files); err == nil {
		t.Error("a JavaScript file was taken for the handler of a Python function")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder gives %v, want fs.ErrNotExist", err)
	}
	other := filepath.Join(dir, "hearth.yaml")
	if err := os.WriteFile(other, []byte("name: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "rename it") {
		t.Errorf("hearth.yaml gives %v, want a hint to rename it", err)
	}
	if err := os.Rename(other, filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	if f, err := Load(dir); err != nil || len(f) != 1 || f[0].Name != "x" {
		t.Errorf("got %+v, %v", f, err)
	}
}
