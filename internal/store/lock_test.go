package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A lock whose holder is dead, and that a child of it still has for a moment, is waited
// for; that of a process that lives is not.
func TestLockOfTheDead(t *testing.T) {
	dir := t.TempDir()
	child, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	if err := flock(child); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := writePID(child); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, ErrLocked) || time.Since(began) > lockPatience/2 {
		t.Errorf("after %v: %v", time.Since(began), err)
	}

	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if err := child.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := child.WriteAt([]byte(strconv.Itoa(gone.Process.Pid)+"\n"), 0); err != nil {
		t.Fatal(err)
	}
	fd := int(child.Fd())
	time.AfterFunc(50*time.Millisecond, func() { _ = unix.Flock(fd, unix.LOCK_UN) })
	l, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.release()
}
