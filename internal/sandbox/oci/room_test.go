package oci

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
	"hearth/internal/sandbox"
)

// On a disk with room for one, a second is refused in words that reach the API, and
// gets the place of the first as soon as that is on its way out.
func TestDiskHasRoomForOne(t *testing.T) {
	supported(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=900m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	cfg := config(filepath.Join(dir, "data"))
	cfg.Offline = true
	d := newDriver(t, cfg)
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.scratch.InMemory(); err != nil {
		t.Skip(err)
	}
	spec := func(n int, args ...string) sandbox.Spec { s := benchSpec(n); s.Args = args; return s }
	end := func(sb sandbox.Sandbox) {
		sb.Conn().Close()
		sb.Output().Close()
		if err := sb.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	a, err := d.Start(t.Context(), spec(1, "/bin/sh", "-c", "read x <&3; exit 0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(t.Context(), spec(2, "/bin/true")); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("a second sandbox: %v", err)
	}
	a.Conn().Close() // the word to go
	select {
	case <-a.Done():
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	started := make(chan error, 1)
	go func() {
		sb, err := d.Start(t.Context(), spec(3, "/bin/sleep", "1000"))
		if err == nil {
			end(sb)
		}
		started <- err
	}()
	end(a)
	if err := <-started; err != nil {
		t.Errorf("in the place of one that has ended: %v", err)
	}
	// One that has ended and that nobody takes away is not waited for without end.
	b, err := d.Start(t.Context(), spec(4, "/bin/true"))
	if err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	if _, err := d.Start(t.Context(), spec(5, "/bin/true")); hearth.CodeOf(err) != hearth.ErrCapacity {
		t.Errorf("beside one that has ended: %v", err)
	}
	end(b)
}
