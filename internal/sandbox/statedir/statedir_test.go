package statedir

import (
	"path/filepath"
	"testing"
)

func TestOnlyOneHoldsTheLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Lock(dir); err == nil {
		second.Close()
		t.Error("locked twice")
	}
	first.Close()
	third, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
	if names, err := Names(dir); err != nil || len(names) != 1 || names[0] != "lock" {
		t.Errorf("%q, %v", names, err)
	}
	if names, err := Names(filepath.Join(dir, "none")); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
}
