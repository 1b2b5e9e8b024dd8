package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/conformance"
)

func harness(t *testing.T) conformance.Harness {
	return conformance.Harness{
		New: func(tb testing.TB, dir string) sandbox.Driver {
			d, err := New(Config{StateDir: dir, Name: "test" + strings.ReplaceAll(dir, "/", "-")})
			if err != nil {
				tb.Fatal(err)
			}
			return d
		},
		Leftovers: func(testing.TB, string) []string { return nil },
		Test:      t.Name(),
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, harness(t)) }

// TestConformancePrewarmed holds processes that were started blank to the same promises.
func TestConformancePrewarmed(t *testing.T) { conformance.RunPrewarmed(t, harness(t)) }

// TestConformanceWithoutRoot runs the suite again as nobody in particular.
func TestConformanceWithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the other test is without root already")
	}
	// Neither the test binary's directory nor root's build cache are open to others.
	dir, err := os.MkdirTemp("", "hearth-without-root-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "process.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestConformance$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, conformance.ProbeEnv+"="+conformance.BuildProbe(t, dir))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestConformance/KillAndRecover") {
		t.Errorf("the suite did not run to its end:\n%s", out)
	}
}

func TestTranslate(t *testing.T) {
	p := translator(&sandbox.Spec{CodeDir: "/data/code", ShimDir: "/data/shim"})
	got := p.all([]string{
		"/var/task", "/var/task/a.js", "/var/taskforce", "/var/runtime/shim.mjs", "x/var/task",
		"TASK=/var/task", "PATH=/usr/bin:/var/task/bin:/bin", "EMPTY=", "A=b=/var/task",
	})
	want := []string{
		"/data/code", "/data/code/a.js", "/var/taskforce", "/data/shim/shim.mjs", "x/var/task",
		"TASK=/data/code", "PATH=/usr/bin:/data/code/bin:/bin", "EMPTY=", "A=b=/var/task",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLookPath(t *testing.T) {
	env := []string{"HOME=/", "PATH=relative:/nowhere:/usr/bin:/bin"}
	if path, err := lookPath("sh", env); err != nil || !filepath.IsAbs(path) {
		t.Errorf("%q, %v", path, err)
	}
	if path, err := lookPath("/opt/x", nil); err != nil || path != "/opt/x" {
		t.Errorf("%q, %v", path, err)
	}
	for _, e := range [][]string{nil, {"PATH="}, {"PATH=/nowhere"}} {
		if path, err := lookPath("sh", e); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("in %q: %q, %v", e, path, err)
		}
	}
}

func TestOwnStat(t *testing.T) {
	p, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.pid != os.Getpid() || p.parent != os.Getppid() || p.zombie || p.memory < 1<<20 || p.start == 0 {
		t.Errorf("%+v", p)
	}
}

func FuzzParseStat(f *testing.F) {
	line := "7 (a (b) c) S 1 7 7 0 -1 4194560 5 0 0 0 1 2 3 4 20 0 1 0 99 1000 25 1844"
	f.Add([]byte(line))
	f.Add([]byte("7 (x"))
	f.Add([]byte(")"))
	f.Add([]byte(""))
	p, err := parseStat(7, []byte(line))
	want := proc{identity: identity{7, 99}, parent: 1, session: 7, memory: 25 * int64(os.Getpagesize()), cpu: 100e6}
	if err != nil || p != want {
		f.Fatalf("%+v, %v; want %+v", p, err, want)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseStat(7, b)
		if err == nil && p.pid != 7 {
			t.Error("another process")
		}
	})
}

// A session's number that has come to another process is not taken for ours.
func TestSessionOfAnotherIsNotOurs(t *testing.T) {
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	table := newTable("test")
	table.add(identity{pid: other.Process.Pid, start: 1}, "i1") // the leader has another start
	expectNone(t, table)
}

// In a process namespace, everything whose session began outside has the session 0.
func TestSessionsFromOutsideAreNotOurs(t *testing.T) {
	table := newTable("test")
	table.add(identity{pid: 0, start: 1}, "i1")
	if owner := table.leaderLocked(0); owner != "" {
		t.Errorf("session 0 belongs to %q", owner)
	}
	expectNone(t, table)
}

func expectNone(t *testing.T, table *table) {
	t.Helper()
	members, err := table.scan()
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 0 {
		t.Errorf("took %v for ours", members)
	}
}
