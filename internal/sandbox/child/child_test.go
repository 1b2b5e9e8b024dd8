package child

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script string, files ...*os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func await(t *testing.T, w *Watcher) sandbox.Exit {
	t.Helper()
	select {
	case <-w.Done():
		return w.Exit()
	case <-time.After(time.Minute):
		t.Fatal("the process has not ended")
		panic("unreachable")
	}
}

func TestWatchTellsExitCodeAndSignal(t *testing.T) {
	for script, want := range map[string]sandbox.Exit{
		"exit 0":        {},
		"exit 7":        {Code: 7},
		"exit 255":      {Code: 255},
		"kill -9 $$":    {Code: 137, Signal: syscall.SIGKILL},
		"kill -TERM $$": {Code: 143, Signal: syscall.SIGTERM},
	} {
		w, err := Watch(start(t, script).Process.Pid, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := await(t, w); got != want {
			t.Errorf("%q: got %+v, want %+v", script, got, want)
		}
	}
}

func TestWatchOfProcessThatHasAlreadyEnded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := start(t, "exit 3", w)
	w.Close()
	if _, err := io.ReadAll(r); err != nil { // ends with the process
		t.Fatal(err)
	}
	r.Close()
	watch, err := Watch(cmd.Process.Pid, func(e *sandbox.Exit) { e.OOM = true })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := await(t, watch), (sandbox.Exit{Code: 3, OOM: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKillReachesTheProcessAndIsHarmlessAfterwards(t *testing.T) {
	w, err := Watch(start(t, "exec sleep 1000").Process.Pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Kill()
	if got := await(t, w); got.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", got)
	}
	w.Kill()
}

func TestOrphansAreAdopted(t *testing.T) {
	if err := AdoptOrphans(); err != nil {
		t.Fatal(err)
	}
	out, hold := pipe(t), pipe(t)
	// The inner shell tells its pid, outlives the outer one and ends with 5 when
	// hold is closed.
	cmd := start(t, "(sh -c 'echo $$ >&3; read x <&4; exit 5') & exit 0", out.w, hold.r)
	out.w.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 32)
	n, err := out.r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	w, err := Watch(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	hold.w.Close()
	if got := await(t, w); got.Code != 5 {
		t.Errorf("got %+v, want exit code 5", got)
	}
}

type ends struct{ r, w *os.File }

func pipe(t *testing.T) ends {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return ends{r, w}
}
