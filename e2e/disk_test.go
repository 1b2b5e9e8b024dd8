package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// small mounts a file system of so many MB, of which nothing is used up before it is
// written, until the test's end.
func small(t *testing.T, mb int) (dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root: run the tests as root")
	}
	dir = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mb)); err != nil {
		t.Skipf("no small disk: %v; run the tests where root may mount a tmpfs", err)
	}
	t.Cleanup(func() {
		// The kernel lets go of the last image a moment after its sandbox has gone.
		eventually(t, 10*time.Second, "the disk is unmounted", func() bool { return unix.Unmount(dir, 0) == nil })
	})
	return dir
}

// Far more functions than the disk has temporary directories for are called at once, on a
// node whose disk idle instances and prewarmed sandboxes hold already. All are served, for
// nobody keeps what he does not use.
func TestDiskOfIdleInstancesIsGivenToOthers(t *testing.T) {
	const functions = 11
	p := upIn(t, small(t, 2200)) // 256 MB are kept: three of 556 MB fit
	if p.status().Isolation != "runc" {
		t.Skip("temporary directories have a limit only in sandboxes: install runc, and run the tests as root")
	}
	for i := range functions {
		p.deploy(node(fmt.Sprint("f", i), burstSource, map[string]any{"memoryMB": 128}))
	}
	for i := range 4 { // the fourth finds the disk full of idle ones
		if a := p.invoke(fmt.Sprint("f", i), `{"wait":0}`); a.status != 200 {
			t.Fatalf("f%d: %d %s", i, a.status, a.payload)
		}
	}
	var calls sync.WaitGroup
	for i := range functions {
		calls.Go(func() {
			if a := p.invoke(fmt.Sprint("f", i), `{"wait":100}`); a.status != 200 || a.failed {
				t.Errorf("f%d: %d %s", i, a.status, a.payload)
			}
		})
	}
	calls.Wait()
	if n := len(p.instances("")); n < 1 || n > 3 {
		t.Errorf("%d instances on a disk for three", n)
	}
	p.deploy(node("huge", burstSource, map[string]any{"tmpMB": 3000}))
	if a := p.invoke("huge", "{}"); a.status != 503 || !strings.Contains(a.payload, "no room for a temporary directory") {
		t.Errorf("more than the disk has: %d %s", a.status, a.payload)
	}
}
