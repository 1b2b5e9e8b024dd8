package async

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
)

// TestFullDisk: a full disk refuses events in words; an event that fails meanwhile
// waits for space with its outcome.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	if err := unix.Mount("tmpfs", w.dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.dir, 0); err != nil {
			t.Error(err)
		}
	})
	f := function("f")
	f.Async = &hearth.AsyncConfig{Retries: new(int)}
	w.functions["f"] = f
	w.open(Config{})
	entered, finish := make(chan struct{}), make(chan struct{})
	w.invoke = func(context.Context, *Event) (*hearth.Result, error) {
		close(entered)
		<-finish
		return failed("E", "no"), nil
	}
	w.Start()
	id := w.submit("f", "1")
	<-entered
	filler := filepath.Join(w.dir, "filler")
	var fs unix.Statfs_t
	if err := unix.Statfs(w.dir, &fs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filler, make([]byte, int(fs.Bavail)*int(fs.Bsize)-(8<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	err := w.Submit(testContext(t), Event{ID: "refused", Function: "f"})
	wantCode(t, err, hearth.ErrCapacity)
	if !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("%v", err)
	}
	_, err = w.Status(testContext(t), "refused")
	wantCode(t, err, hearth.ErrNotFound)
	close(finish)
	if status, err := w.Status(testContext(t), id); err != nil || status.State != hearth.EventRunning {
		t.Errorf("%+v, %v", status, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.reaches(id, hearth.EventDead)
	if w.count(id) != 1 || len(w.deadLetters("f")) != 1 {
		t.Errorf("%d attempts, %+v", w.count(id), w.deadLetters("f"))
	}
}
