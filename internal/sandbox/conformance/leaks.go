package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

const (
	holdEnv   = "HEARTH_CONFORMANCE_HOLD" // directory: start sandboxes there and wait to be killed
	cyclesEnv = "HEARTH_LEAK_CYCLES"      // how many sandboxes the test of leaks starts
)

// leaks starts and destroys sandboxes, four at a time, and counts what is there
// afterwards that was not there before.
func leaks(t *testing.T, s *suite) {
	cycles := 50
	if v := os.Getenv(cyclesEnv); v != "" {
		var err error
		if cycles, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", cyclesEnv, err)
		}
	}
	d, dir := s.driver(t)
	for range 2 {
		s.start(t, d).end(t) // what is made once and kept is made now
	}
	before := s.settled(t, dir)
	var wg sync.WaitGroup
	work := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range work {
				s.cycle(t, d, i)
			}
		})
	}
	start := time.Now()
	for i := range cycles {
		work <- i
	}
	close(work)
	wg.Wait()
	t.Logf("%d sandboxes in %v", cycles, time.Since(start))
	s.mustSettle(t, dir, before)
}

// cycle is the life of one sandbox; every third ends by itself, and every third
// leaves processes behind.
func (s *suite) cycle(t *testing.T, d sandbox.Driver, i int) {
	sb, err := d.Start(t.Context(), s.spec())
	if err != nil {
		t.Error(err)
		return
	}
	in := &inside{t: t, Sandbox: sb, answers: bufio.NewReader(sb.Conn()), printed: collect(sb.Output())}
	switch i % 3 {
	case 0:
		sb.Conn().Close()
		waitExit(t, sb)
	case 1:
		if _, err := in.order("spawn"); err != nil {
			t.Error(err)
		}
	}
	in.end(t)
}

// counts is how much there is of everything that could leak.
type counts struct {
	descriptors, goroutines int
	left                    []string
}

// settled counts until the figures stay: a driver may still make in advance what the
// next sandbox needs, or take away what the last one had.
func (s *suite) settled(t *testing.T, dir string) counts {
	t.Helper()
	now := s.count(t, dir)
	deadline := time.Now().Add(patience)
	for same := 0; same < 5 && time.Now().Before(deadline); {
		<-time.After(20 * time.Millisecond)
		last := now
		now = s.count(t, dir)
		if same++; !now.like(last) {
			same = 0
		}
	}
	return now
}

func (c counts) like(o counts) bool {
	return c.descriptors == o.descriptors && c.goroutines == o.goroutines && len(c.left) == len(o.left)
}

func (s *suite) count(t *testing.T, dir string) counts {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return counts{
		descriptors: len(fds),
		goroutines:  runtime.NumGoroutine(),
		left:        s.left(t, dir),
	}
}

// left lists everything that belongs to a driver under dir.
func (s *suite) left(t *testing.T, dir string) []string {
	t.Helper()
	list := s.Leftovers(t, dir)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, dir) {
			list = append(list, "mount "+line)
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range loops {
		if b, _ := os.ReadFile(f); strings.HasPrefix(string(b), dir) {
			list = append(list, "loop device "+string(b))
		}
	}
	for _, p := range s.processes(t, dir) {
		list = append(list, "process "+p)
	}
	return append(list, files(t, dir)...)
}

// files lists what is on disk below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			list = append(list, "file "+path)
		}
		return nil // what vanishes meanwhile is no leak
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// processes lists the children of this process, and those anywhere that run a probe
// of this suite, except the test's own.
func (s *suite) processes(t *testing.T, dir string) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if fields[1] == strconv.Itoa(os.Getpid()) || s.runsProbe(filepath.Dir(f)) {
			list = append(list, fmt.Sprintf("%s %q", strings.TrimSpace(string(b)), cmdline))
		}
	}
	return list
}

// runsProbe: the probe's file is this suite's own, seen from whatever namespace.
func (s *suite) runsProbe(proc string) bool {
	theirs, err := os.Stat(proc + "/exe")
	if err != nil {
		return false
	}
	ours, err := os.Stat(s.shim + "/probe")
	return err == nil && os.SameFile(theirs, ours)
}

// mustSettle waits until there is no more than before. Some things need a moment:
// goroutines that have nothing left to do, devices that the kernel frees by and by.
func (s *suite) mustSettle(t *testing.T, dir string, before counts) {
	t.Helper()
	var now counts
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		now = s.count(t, dir)
		if now.descriptors <= before.descriptors && now.goroutines <= before.goroutines && len(now.left) <= len(before.left) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Errorf("descriptors: %d before, %d after; goroutines: %d before, %d after", before.descriptors, now.descriptors, before.goroutines, now.goroutines)
	if len(now.left) > len(before.left) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before.left, "\n"), strings.Join(now.left, "\n"))
	}
}

// mustBeClean: after Close nothing but files is left, and no file of a sandbox.
func (s *suite) mustBeClean(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		left = left[:0]
		for _, l := range s.left(t, dir) {
			if !strings.HasPrefix(l, "file ") || strings.Contains(l, "/i0") {
				left = append(left, l)
			}
		}
		if len(left) == 0 {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
}

func (s *suite) mustHaveNoProcesses(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if left = s.processes(t, dir); len(left) == 0 {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Errorf("processes are left: %s", strings.Join(left, "\n"))
}

// Holding tells that this process runs the test only to hold sandboxes and to be
// killed: whatever it makes besides will stay.
func Holding() bool { return os.Getenv(holdEnv) != "" }

// hold runs in a process of its own, which is killed while it holds sandboxes.
func hold(t *testing.T, h Harness, dir string) {
	s := &suite{Harness: h, shim: os.Getenv(holdEnv + "_SHIM"), code: os.Getenv(holdEnv + "_CODE")}
	d := h.New(t, dir)
	for _, args := range [][]string{{"serve"}, {"stubborn"}, {"exit", "0"}, {"serve"}} {
		sb, err := d.Start(t.Context(), s.spec(args...))
		if err != nil {
			t.Fatal(err)
		}
		if args[0] == "serve" {
			in := &inside{t: t, Sandbox: sb, answers: bufio.NewReader(sb.Conn())}
			in.must("write", sb.TmpDir()+"/f", "x")
			in.must("spawn")
		}
	}
	fmt.Println("HOLDING")
	<-t.Context().Done() // never: the parent kills us
}

// killAndRecover kills a process that has sandboxes and lets the next one clean up.
func killAndRecover(t *testing.T, s *suite) {
	dir := filepath.Join(t.TempDir(), "data")
	before := s.count(t, dir)
	for range 2 { // the second time on what the first has recovered
		s.holdAndKill(t, dir)
		d := s.New(t, dir)
		n, err := d.Recover(bounded(t))
		if err != nil || n < 3 {
			t.Errorf("recovered %d sandboxes, %v; want at least the 3 that were running", n, err)
		}
		if n, err := d.Recover(bounded(t)); n != 0 || err != nil {
			t.Errorf("again: %d, %v", n, err)
		}
		reapAdopted(t)
		s.mustHaveNoProcesses(t, dir)
		s.start(t, d).end(t) // and it works
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		s.mustBeClean(t, dir)
	}
	before.left = s.left(t, dir) // the files that stay
	s.mustSettle(t, dir, before)
}

// reapAdopted reads the statuses of those sandboxes that have ended with the process
// that we killed. They have become our children if a driver made this process the
// parent of orphans; after a real kill they are the init process's.
func reapAdopted(t *testing.T) {
	t.Helper()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (s *suite) holdAndKill(t *testing.T, dir string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+s.Test+"$", "-test.v")
	cmd.Env = append(os.Environ(), holdEnv+"="+dir, holdEnv+"_SHIM="+s.shim, holdEnv+"_CODE="+s.code)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "HOLDING" {
			break
		}
		fmt.Fprintln(&text, lines.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") || !timer.Stop() {
		t.Fatalf("the holding process: %v\n%s", err, text.String())
	}
}
