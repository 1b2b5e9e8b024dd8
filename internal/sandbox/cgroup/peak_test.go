package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Written files fill the kernel's high-water mark with page cache.
func TestPeakLeavesCacheOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making control groups needs root: run the tests with sudo")
	}
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	parent := "hearth-test-peak"
	if err := h.CreateParent(parent); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.RemoveParent(parent); err != nil {
			t.Error(err)
		}
	})
	g := h.Group(h.Path(parent, "writer"))
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	const limit = 64 << 20
	if err := g.SetLimits(Limits{MemoryBytes: limit}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	runIn(t, g, "dd", "if=/dev/zero", "of="+file, "bs=1M", "count=100", "status=none")
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.PeakMemoryBytes > limit/2 {
		t.Errorf("after writing a file the peak is %d MB", s.PeakMemoryBytes>>20)
	}
}

// runIn runs a command within the group.
func runIn(t *testing.T, g *Group, command ...string) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `read go; exec "$@"`, "sh"}, command...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	in.Write([]byte("\n"))
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
