// Package conformance holds every sandbox driver to the same promises. Run starts
// sandboxes with a hostile program in them (package probe), which tries from the
// inside whatever the driver's Isolation says is impossible, and it counts what is
// left on the host afterwards. A promise that a driver does not make is not tested.
//
// Network promises are tested against addresses that the harness provides, in
// network namespaces of its own; nothing is ever sent to real ones.
package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

// Harness is what the suite needs to know of a driver.
type Harness struct {
	// New makes a driver that keeps its state under dir. Called again with the same
	// dir, also in another process, it must find what the first one left there.
	New func(tb testing.TB, dir string) sandbox.Driver
	// Leftovers lists, one line each, everything on the host that belongs to drivers
	// under dir: containers, cgroups, mounts, interfaces, … The suite itself looks
	// at processes, descriptors, files and mounts below dir, and loop devices.
	Leftovers func(tb testing.TB, dir string) []string
	// Outside are addresses (host:port) that greet with "hello" and that a sandbox
	// must reach. Forbidden are addresses that greet the host, but that a sandbox
	// must not reach. Only used with drivers that promise Network.
	Outside   []string
	Forbidden []string
	// Test is the name of the test that calls Run; the suite starts the test binary
	// again with only this test, to kill it.
	Test string

	prewarmed bool // set by RunPrewarmed
}

// Waits are bounded, generously: the machine may be busy with other things.
const patience = 60 * time.Second

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(t, h, dir)
		return
	}
	s := &suite{Harness: h, shim: os.Getenv(ProbeEnv)}
	if s.shim == "" {
		s.shim = BuildProbe(t, t.TempDir())
	}
	s.code = filepath.Join(t.TempDir(), "code")
	write(t, filepath.Join(s.code, "index.js"), "the code")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Identity", identity},
		{"Privileges", privileges},
		{"SystemCalls", systemCalls},
		{"Sockets", sockets},
		{"FileSystemIsReadOnly", readOnly},
		{"HostIsInvisible", hostInvisible},
		{"ProcFileSystem", procFileSystem},
		{"Orphans", orphans},
		{"Descriptors", descriptors},
		{"TmpLimit", tmpLimit},
		{"TmpOnDisk", tmpOnDisk},
		{"TmpIsPrivateAndLasts", tmpPrivate},
		{"TmpInodeFlood", tmpFlood},
		{"Memory", memory},
		{"ForkBomb", forkBomb},
		{"CPUShare", cpuShare},
		{"Environment", environment},
		{"Descriptor3", descriptor3},
		{"OutputBackPressure", backPressure},
		{"Exit", exits},
		{"Stats", stats},
		{"Freeze", freeze},
		{"StartErrors", startErrors},
		{"StartCancelled", startCancelled},
		{"Destroy", destroy},
		{"DestroyTakesEveryProcess", destroyAll},
		{"NetworkOutbound", networkOutbound},
		{"NetworkForbidden", networkForbidden},
		{"NetworkNeighbours", networkNeighbours},
		{"Close", closing},
		{"Leaks", leaks},
		{"KillAndRecover", killAndRecover},
		{"Specialise", specialise},
	} {
		if !s.runs(test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
}

type suite struct {
	Harness
	shim string // directory with the probe
	code string
}

// ProbeEnv names the directory of a probe that is built already, for processes that
// cannot build one.
const ProbeEnv = "HEARTH_CONFORMANCE_PROBE"

// BuildProbe compiles the probe into a new directory in dir, and returns it.
func BuildProbe(t *testing.T, dir string) string {
	t.Helper()
	dir = filepath.Join(dir, "shim")
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "probe"), "hearth/internal/sandbox/conformance/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// driver makes a driver on a fresh directory; at the end of the test nothing of it
// may be left.
func (s *suite) driver(t *testing.T) (sandbox.Driver, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	d := s.New(t, dir)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s.mustBeClean(t, dir)
	})
	return d, dir
}

// promises makes a driver and skips the test unless it promises what is tested.
func (s *suite) promises(t *testing.T, kept func(sandbox.Isolation) bool) sandbox.Driver {
	t.Helper()
	d, _ := s.driver(t)
	if !kept(d.Isolation()) {
		t.Skip("the driver makes no such promise")
	}
	return d
}

var lastID atomic.Int64

// spec is a sandbox with the probe in it.
func (s *suite) spec(args ...string) sandbox.Spec {
	if len(args) == 0 {
		args = []string{"serve"}
	}
	return sandbox.Spec{
		ID:       fmt.Sprintf("i%012x", lastID.Add(1)+int64(os.Getpid())<<16),
		Args:     append([]string{sandbox.RuntimeRoot + "/probe"}, args...),
		Env:      []string{"PATH=/usr/local/bin:/usr/bin:/bin", "GOMAXPROCS=2"},
		CodeDir:  s.code,
		ShimDir:  s.shim,
		MemoryMB: 256,
		CPUs:     0.5,
		TmpMB:    512,
	}
}
