package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
)

// bounded is a context for one operation that must end. It works in cleanups too,
// where the test's own context has ended already.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

func descriptor3(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	in := s.start(t, d)
	if got := in.must("echo", "hello").Out; got != "hello" {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB each way
	if got := in.must("echo", long).Out; got != long {
		t.Errorf("a long message came back with %d bytes", len(got))
	}
	// The host closes its end: that is the word to go.
	in.Conn().Close()
	if exit := in.ended(); exit != (sandbox.Exit{}) {
		t.Errorf("exit %+v", exit)
	}
}

// backPressure: who writes more than anybody reads has to wait, and loses nothing.
func backPressure(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	sb, err := d.Start(t.Context(), s.spec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sb.Destroy(bounded(t)); err != nil {
			t.Error(err)
		}
		sb.Conn().Close()
		sb.Output().Close()
	}()
	const size = 4 * mib
	in := &inside{t: t, Sandbox: sb, answers: bufio.NewReader(sb.Conn())}
	in.must("echo", "ready") // its process is there by now
	if err := in.send("print", strconv.Itoa(size)); err != nil {
		t.Fatal(err)
	}
	awaitBlockedWriter(t, command(t, sb.PID()))
	for i := range size / 16 {
		var line [16]byte
		if _, err := io.ReadFull(sb.Output(), line[:]); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		if want := fmt.Sprintf("%015d\n", i); string(line[:]) != want {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// command is the process that runs the sandbox's command: the first one, or its child
// where the driver has put an init before it.
func command(t *testing.T, first int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", first, first))
	if err != nil {
		t.Fatal(err)
	}
	children := strings.Fields(string(b))
	if len(children) == 0 {
		return first
	}
	pid, err := strconv.Atoi(children[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitBlockedWriter waits until a thread of the process waits for room in a pipe.
func awaitBlockedWriter(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, _ := os.ReadFile(f) // "number fd …" while in a system call
			if strings.HasPrefix(string(b), fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE)) {
				return
			}
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatal("nobody waits for room in the pipe")
}

func exits(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	for _, code := range []int{0, 1, 42, 255} {
		in := s.startSpec(t, d, s.spec("exit", strconv.Itoa(code)))
		if exit := in.ended(); exit != (sandbox.Exit{Code: code}) {
			t.Errorf("exit %d: %+v", code, exit)
		}
		in.printed.wait(t)
	}
	in := s.start(t, d)
	if err := unix.Kill(in.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit := in.ended(); exit != (sandbox.Exit{Code: 137, Signal: syscall.SIGKILL}) {
		t.Errorf("killed: %+v", exit)
	}
	in = s.start(t, d)
	in.must("echo", "ready")                                              // it handles signals by now
	if err := unix.Kill(command(t, in.PID()), unix.SIGABRT); err != nil { // a Go program tells and exits with 2
		t.Fatal(err)
	}
	if exit := in.ended(); exit.Code == 0 || exit.OOM {
		t.Errorf("aborted: %+v", exit)
	}
	in.printed.wait(t)
	if !strings.Contains(in.printed.text(), "SIGABRT") {
		t.Errorf("standard error was not captured: %q", in.printed.text())
	}
}

func startErrors(t *testing.T, s *suite) {
	d, dir := s.driver(t)
	broken := map[string]func(*sandbox.Spec){
		"no such program": func(sp *sandbox.Spec) { sp.Args = []string{"/usr/bin/no-such-program"} },
		"no command":      func(sp *sandbox.Spec) { sp.Args = nil },
		"no such code":    func(sp *sandbox.Spec) { sp.CodeDir = filepath.Join(dir, "nowhere") },
		"no id":           func(sp *sandbox.Spec) { sp.ID = "" },
		"id with a path":  func(sp *sandbox.Spec) { sp.ID = "../../x" },
		"no memory":       func(sp *sandbox.Spec) { sp.MemoryMB = 0 },
	}
	for name, change := range broken {
		spec := s.spec()
		change(&spec)
		sb, err := d.Start(t.Context(), spec)
		if err == nil {
			t.Errorf("%s: it started", name)
			(&inside{t: t, Sandbox: sb, printed: collect(sb.Output())}).end(t)
		}
	}
	a := s.start(t, d)
	spec := s.spec()
	spec.ID = a.ID()
	if _, err := d.Start(t.Context(), spec); err == nil {
		t.Error("two sandboxes with one id")
	}
	if got := a.must("echo", "still here").Out; got != "still here" {
		t.Errorf("got %q", got)
	}
}

// startCancelled: a start that is called off at any moment leaves nothing. (That
// nothing is left is checked when the driver has been closed.)
func startCancelled(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	for delay := time.Duration(0); delay < 60*time.Millisecond; delay += 4 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		sb, err := d.Start(ctx, s.spec())
		cancel()
		if err == nil {
			(&inside{t: t, Sandbox: sb, printed: collect(sb.Output())}).end(t)
			sb.Conn().Close()
		}
	}
}

func destroy(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	// Many at once on one sandbox, of whatever it is doing.
	for _, busy := range []string{"", "hog", "burn"} {
		in := s.start(t, d)
		switch busy {
		case "hog":
			_ = in.send("hog", "100")
		case "burn":
			_ = in.send("burn", "60000", "2")
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := in.Destroy(bounded(t)); err != nil {
					t.Errorf("%q: %v", busy, err)
				}
			})
		}
		wg.Wait()
		select {
		case <-in.Done():
		default:
			t.Error("destroyed, but not done")
		}
		if exit := in.Exit(); exit.Signal != syscall.SIGKILL || exit.OOM {
			t.Errorf("exit %+v", exit)
		}
		if err := in.Destroy(bounded(t)); err != nil {
			t.Errorf("once more: %v", err)
		}
		in.printed.wait(t)
	}
	// One that has ended by itself, and one whose parts are being taken away.
	in := s.startSpec(t, d, s.spec("exit", "3"))
	in.ended()
	if err := in.Destroy(bounded(t)); err != nil {
		t.Error(err)
	}
	if exit := in.Exit(); exit.Code != 3 {
		t.Errorf("Destroy has changed the exit to %+v", exit)
	}
	// Many sandboxes at once.
	var many []*inside
	for range 6 {
		many = append(many, s.start(t, d))
	}
	var wg sync.WaitGroup
	for _, in := range many {
		wg.Go(func() {
			if err := in.Destroy(bounded(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// An id can be used again.
	spec := s.spec()
	spec.ID = in.ID()
	s.startSpec(t, d, spec).must("echo", "again")
}

// destroyAll: processes that did everything to hide go too. They keep the output
// open, so that its end shows that all have gone.
func destroyAll(t *testing.T, s *suite) {
	d, dir := s.driver(t)
	in := s.start(t, d)
	for range 3 {
		in.must("spawn")
	}
	in.must("forks", "3")
	if err := in.Destroy(bounded(t)); err != nil {
		t.Fatal(err)
	}
	in.printed.wait(t)
	s.mustHaveNoProcesses(t, dir)
}

func closing(t *testing.T, s *suite) {
	dir := filepath.Join(t.TempDir(), "data")
	d := s.New(t, dir)
	in := s.start(t, d)
	if err := d.Close(); err == nil {
		t.Error("closed with a sandbox running")
	}
	in.must("echo", "still here")
	if err := in.Destroy(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Start(t.Context(), s.spec()); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("start after close: %v", err)
	}
	s.mustBeClean(t, dir)
}
