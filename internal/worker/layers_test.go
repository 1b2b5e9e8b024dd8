package worker

import (
	"os"
	"path/filepath"
	"testing"

	"hearth/internal/hearth"
)

func TestLayers(t *testing.T) {
	real, link, none := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(real, "opt"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(link, "opt")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ language, dir, want string }{
		{hearth.LangCustom, real, filepath.Join(real, "opt")},
		{hearth.LangCustom, link, ""},
		{hearth.LangCustom, none, ""},
		{hearth.LangNode, real, ""}, // a sandbox that waited for it would not have it
	} {
		if got := layers(c.language, c.dir); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
