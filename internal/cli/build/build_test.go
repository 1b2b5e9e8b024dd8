package build

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// localPackage is a package that npm installs from this machine's own disk.
func localPackage(t *testing.T) string {
	t.Helper()
	dir := write(t, map[string]string{"package/package.json": `{"name":"tiny","version":"1.2.3"}`, "package/index.js": "module.exports = 7\n"})
	archive := filepath.Join(dir, "tiny.tgz")
	if out, err := exec.Command("tar", "-czf", archive, "-C", dir, "package").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return archive
}

// Dependencies are installed once, beside a copy of the folder; the folder itself stays
// as it is.
func TestStageNode(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	dir := write(t, map[string]string{
		"package.json": `{"name":"x","scripts":{"postinstall":"exit 1"},"dependencies":{"tiny":"file:` + localPackage(t) + `"}}`,
		"index.js":     "exports.handler = () => require('tiny')\n", ".git/HEAD": "x", "lib/a.js": "1",
	})
	before := names(t, dir)
	var said []string
	b := Builder{Cache: t.TempDir(), Say: func(line string) { said = append(said, line) }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, want := range []string{"installing 1 dependency of package.json: npm install", "1 dependency of package.json: found in the cache"} {
		said = nil
		s, err := b.Stage(ctx, dir, hearth.LangNode)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
		if got := names(t, s.Dir); !slices.Equal(got, []string{"index.js", "lib", "node_modules", "package.json"}) {
			t.Errorf("the copy holds %q", got)
		}
		if text, err := os.ReadFile(filepath.Join(s.Dir, "node_modules/tiny/index.js")); err != nil || string(text) != "module.exports = 7\n" {
			t.Errorf("the package: %q, %v", text, err)
		}
		if filepath.Base(s.Dir) != filepath.Base(dir) {
			t.Errorf("the copy is called %s", s.Dir)
		}
		for range 2 { // a second time is harmless
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
			t.Errorf("the copy is still there: %v", err)
		}
	}
	if after := names(t, dir); !slices.Equal(before, after) {
		t.Errorf("the folder held %q, now %q", before, after)
	}
	if left := names(t, b.Cache); !slices.Equal(left, []string{"npm"}) {
		t.Errorf("the cache holds %q", left)
	}
}

// A folder that depends on nothing that is missing is packed as it is.
func TestStageNothing(t *testing.T) {
	for name, c := range map[string]struct {
		language string
		files    map[string]string
	}{
		"no manifest":      {hearth.LangNode, map[string]string{"index.js": ""}},
		"no dependencies":  {hearth.LangNode, map[string]string{"package.json": `{"devDependencies":{"x":"1"}}`}},
		"installed":        {hearth.LangNode, map[string]string{"package.json": `{"dependencies":{"x":"1"}}`, "node_modules/x/index.js": ""}},
		"another language": {hearth.LangPython, map[string]string{"package.json": `{"dependencies":{"x":"1"}}`}},
		"no requirements":  {hearth.LangPython, map[string]string{"main.py": ""}},
		"vendored":         {hearth.LangPython, map[string]string{"requirements.txt": "Flask-Thing==1.0 # why\nsix\n", "flask_thing/__init__.py": "", "six.py": ""}},
		"by its dist-info": {hearth.LangPython, map[string]string{"requirements.txt": "PyYAML>=6", "PyYAML-6.0.dist-info/METADATA": "", "yaml/__init__.py": ""}},
		"of Hearth's own":  {hearth.LangPython, map[string]string{"requirements.txt": "functions-framework==3.*\n# more\n--index-url https://example.test\n"}},
	} {
		dir := write(t, c.files)
		b := Builder{Cache: filepath.Join(t.TempDir(), "never"), Say: func(line string) { t.Errorf("%s: said %q", name, line) }}
		s, err := b.Stage(t.Context(), dir, c.language)
		if err != nil || s.Dir != dir || s.Close() != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// What cannot be installed is told with the way out, and is not kept as if it were.
func TestStageFails(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	for _, c := range []struct {
		language, want string
		files          map[string]string
	}{
		{hearth.LangNode, "npm install could not install the dependencies", map[string]string{"package.json": `{"dependencies":{"x":"file:/no/such/thing.tgz"}}`}},
		{hearth.LangNode, "is not JSON", map[string]string{"package.json": `{`}},
		{hearth.LangPython, "python3 -m pip install --target . -r requirements.txt", map[string]string{"requirements.txt": "/no/such/thing.whl\n"}},
	} {
		b := Builder{Cache: t.TempDir(), Say: func(string) {}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := b.Stage(ctx, write(t, c.files), c.language)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.files, err, c.want)
		}
		kept, _ := filepath.Glob(filepath.Join(b.Cache, "*", "*"))
		if len(kept) != 0 {
			t.Errorf("%v: kept %q", c.files, kept)
		}
	}
}
