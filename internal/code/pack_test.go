package code

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

// plant makes files; a name that ends in "/" is a folder, a text that begins with
// "-> " a link, and "#!" makes a file executable.
func plant(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, full := files[name], filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, isLink := strings.CutPrefix(text, "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(full, 0o755)
		case isLink:
			err = os.Symlink(target, full)
		case strings.HasPrefix(text, "#!"):
			err = os.WriteFile(full, []byte(text), 0o755)
		default:
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackedTree(t testing.TB, z []byte) map[string]string {
	t.Helper()
	dir := t.TempDir()
	c, err := NewCache(filepath.Join(dir, "cache"), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Put(digestOf(z), z); err != nil {
		t.Fatal(err)
	}
	code, release, err := c.Get(t.Context(), digestOf(z))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	return tree(t, code)
}

func TestPackLeavesOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my[app")
	plant(t, dir, map[string]string{
		"index.js": "1", "lib/a.js": "2", "lib/a.js.map": "3", "lib/deep/b.js.map": "4", "tests/t.js": "5",
		"lib/tests": "a file", "keep.map": "6", ".git/config": "x", ".hearth/x": "x", "lib/.DS_Store": "x",
		"my[app.zip": "x", "lib/my[app.zip": "kept", "__pycache__/a.pyc": "x", "docs/a/b/c.md": "x", "docs/readme.txt": "y",
		"node_modules/x/index.js": "7", "run": "#!/bin/sh", "alias": "-> lib/a.js", "empty/": "",
	})
	z, summary, err := Pack(dir, []string{"*.map", "!/keep.map", "tests/", "docs/**/*.md", "# a remark", ""})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "drwxr-xr-x", "lib": "drwxr-xr-x", "lib/deep": "drwxr-xr-x", "docs": "drwxr-xr-x", "docs/a": "drwxr-xr-x",
		"docs/a/b": "drwxr-xr-x", "node_modules": "drwxr-xr-x", "node_modules/x": "drwxr-xr-x", "empty": "drwxr-xr-x",
		"index.js": "-rw-r--r-- 1", "lib/a.js": "-rw-r--r-- 2", "lib/tests": "-rw-r--r-- a file", "keep.map": "-rw-r--r-- 6",
		"lib/my[app.zip": "-rw-r--r-- kept", "docs/readme.txt": "-rw-r--r-- y", "node_modules/x/index.js": "-rw-r--r-- 7",
		"run": "-rwxr-xr-x #!/bin/sh", "alias": "-> lib/a.js",
	}
	if got := unpackedTree(t, z); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if summary.Files != 8 || summary.ZipBytes != int64(len(z)) || summary.Excluded != 9 || summary.Largest[0].Name != "run" {
		t.Errorf("summary %+v", summary)
	}
}

func TestExcludePatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "x/a", true}, {"a", "x/a/b", false}, // the folder x/a itself is left out
		{"/a", "a", true}, {"/a", "x/a", false}, {"./a", "x/a", true},
		{"a/b", "a/b", true}, {"a/b", "x/a/b", false},
		{"**/a", "x/y/a", true}, {"**/a", "a", true}, {"a/**", "a/x/y", true}, {"a/**", "a", false},
		{"a/**/b", "a/b", true}, {"a/**/b", "a/x/y/b", true}, {"a/**/b", "a/x/c", false},
		{"**/x/**/y", "a/x/b/x/c/y", true}, {"*.js", "a/b.js", true}, {"*.js", "a/b.ts", false},
		{"a*/b", "abc/b", true}, {"a?c", "abc", true}, {"[a-c]", "b", true}, {`\*`, "*", true}, {`\*`, "x", false},
	} {
		all, err := parseRules([]string{test.pattern})
		if err != nil {
			t.Fatal(err)
		}
		if got := all.exclude(test.name, false); got != test.want {
			t.Errorf("%q on %q: %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
	for _, bad := range []string{"[a", "a//b", "!"} {
		_, err := parseRules([]string{bad})
		wantRefusal(t, err, hearth.ErrInvalidZip, "malformed", ".gitignore")
	}
}

func TestPackRefuses(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		_, _, err := Pack(t.TempDir(), nil)
		wantRefusal(t, err, hearth.ErrInvalidZip, "no file to deploy")
	})
	t.Run("nothing left", func(t *testing.T) {
		dir := t.TempDir()
		plant(t, dir, map[string]string{"a.js": "1", "b.js": "2"})
		_, _, err := Pack(dir, []string{"*.js"})
		wantRefusal(t, err, hearth.ErrInvalidZip, "no file to deploy", "exclude patterns", "(2 ")
	})
	t.Run("no folder", func(t *testing.T) {
		if _, _, err := Pack(filepath.Join(t.TempDir(), "missing"), nil); !os.IsNotExist(unwrapAll(err)) {
			t.Errorf("got %v", err)
		}
	})
	for name, target := range map[string]string{"absolute": "/etc/passwd", "outside": "../x", "itself": "l"} {
		t.Run("link "+name, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, map[string]string{"a": "1", "l": "-> " + target})
			_, _, err := Pack(dir, nil)
			wantRefusal(t, err, hearth.ErrInvalidZip, `"l"`)
			if _, _, err := Pack(dir, []string{"l"}); err != nil {
				t.Errorf("excluded: %v", err)
			}
		})
	}
	t.Run("pipe", func(t *testing.T) {
		dir := t.TempDir()
		plant(t, dir, map[string]string{"a": "1"})
		if err := syscall.Mkfifo(filepath.Join(dir, "p"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err := Pack(dir, nil)
		wantRefusal(t, err, hearth.ErrInvalidZip, `"p"`, "Exclude it")
	})
	t.Run("too large unzipped", func(t *testing.T) {
		dir := t.TempDir()
		plant(t, dir, map[string]string{"a": "1", "lib/model.bin": "", "data.bin": ""})
		truncate(t, filepath.Join(dir, "lib/model.bin"), 200<<20)
		truncate(t, filepath.Join(dir, "data.bin"), 100<<20)
		_, summary, err := Pack(dir, nil)
		wantRefusal(t, err, hearth.ErrInvalid, "Unzipped size must be smaller than 262144000", "209715200  lib/model.bin\n   104857600  data.bin")
		if summary.Files != 3 {
			t.Errorf("summary %+v", summary)
		}
	})
	t.Run("too large zipped", func(t *testing.T) {
		dir := t.TempDir()
		noise := make([]byte, 51<<20)
		source := rand.NewChaCha8([32]byte{})
		source.Read(noise)
		plant(t, dir, map[string]string{"noise.bin": string(noise)})
		_, _, err := Pack(dir, nil)
		wantRefusal(t, err, hearth.ErrTooLarge, "52428800", "noise.bin")
	})
}

func truncate(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil { // sparse: nothing is written
		t.Fatal(err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

// What Pack packs, Inspect accepts and Get gives back; twice the same bytes.
func TestPackInspectGetIsTheSameTree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files := drawTree(rt)
		dir := t.TempDir()
		plant(t, dir, files)
		z, summary, err := Pack(dir, nil)
		if err != nil {
			rt.Fatalf("pack %v: %v", files, err)
		}
		other := t.TempDir()
		plant(t, other, files)
		if again, _, err := Pack(other, nil); err != nil || !bytes.Equal(z, again) {
			rt.Fatalf("the same tree gave other bytes (%v)", err)
		}
		info, err := Inspect(z)
		if err != nil {
			rt.Fatalf("inspect: %v", err)
		}
		if info.Files != summary.Files || info.Size != summary.ZipBytes {
			rt.Fatalf("%+v and %+v do not agree", info, summary)
		}
		want, got := tree(t, dir), unpackedTree(t, z)
		if !maps.Equal(got, want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func drawTree(rt *rapid.T) map[string]string {
	part := rapid.StringMatching(`[a-zä][a-z .]{0,5}[a-z]`)
	files := map[string]string{"seed": "x"}
	for i := range rapid.IntRange(0, 12).Draw(rt, "files") {
		dirs := rapid.SliceOfN(part, 0, 3).Draw(rt, "dirs")
		for j := range dirs {
			dirs[j] += "_d" // folders and files never share a name
		}
		name := strings.Join(append(dirs, fmt.Sprintf("%d", i)), "/")
		switch rapid.IntRange(0, 4).Draw(rt, "kind") {
		case 0:
			files[name+"/"] = ""
		case 1:
			files[name] = "-> " + strings.Repeat("../", len(dirs)) + "seed"
		case 2:
			files[name] = "#!" + rapid.String().Draw(rt, "script")
		default:
			files[name] = "t" + rapid.StringN(0, 2000, -1).Draw(rt, "text")
		}
	}
	return files
}
