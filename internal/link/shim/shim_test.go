package shim_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"hearth/internal/link/shim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrite(t *testing.T) {
	old := syscall.Umask(0o077) // every sandbox's user must be able to read the shims
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "deep", "runtime")
	for range 2 { // the second time over what is there
		if err := shim.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if entry.IsDir() {
			want = fs.ModeDir | 0o755
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v; want %v", path, info.Mode(), want)
		}
		if filepath.Ext(path) == ".new" || filepath.Ext(path) == ".md" {
			t.Errorf("%s was written", path)
		}
		seen++
		return nil
	})
	if err != nil || seen < 5 {
		t.Errorf("%d files, error %v", seen, err)
	}
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := shim.Write(file); err == nil {
		t.Error("shims were written below a file")
	}
}

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		language string
		memory   int
		want     []string
	}{
		{shim.Node, 512, []string{"/usr/bin/node", "--max-old-space-size=460", "/var/runtime/node/main.js"}},
		{"cobol", 512, nil},
	} {
		if got := shim.Command(test.language, "/usr/bin/node", test.memory, shim.Dir); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", test.language, got, test.want)
		}
	}
	for _, language := range []string{shim.Node, shim.Python} {
		dir := t.TempDir()
		if err := shim.Write(dir); err != nil {
			t.Fatal(err)
		}
		args := shim.Command(language, "/interpreter", 128, dir)
		if _, err := os.Stat(args[len(args)-1]); language == shim.Node && err != nil {
			t.Errorf("%s: the command's program is not written: %v", language, err)
		}
	}
}
