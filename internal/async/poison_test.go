package async

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// poison is the payload of an event that kills the whole platform.
const poison = "poison"

// TestPoison: an event that kills the platform with each of its attempts does so less
// and less often, and everybody else's are executed in between.
func TestPoison(t *testing.T) {
	w := newWorld(t)
	w.functions["f0"] = function("f0")
	w.open(Config{})
	id := w.submit("f0", poison)
	w.close()
	log := filepath.Join(w.dir, "executed")
	for _, least := range []time.Duration{0, time.Second, 2 * time.Second} {
		begin := time.Now()
		cmd := exec.CommandContext(testContext(t), os.Args[0], w.dir, log)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			accepted++
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the event has not killed the platform: %v", err)
		}
		lived := time.Since(begin)
		t.Logf("the platform lived %v and accepted %d events", lived.Round(time.Millisecond), accepted)
		if lived < least {
			t.Errorf("it lived %v, want %v at least", lived, least)
		}
	}
	if n := len(readLog(t, log)); n < 10 {
		t.Errorf("%d events of others were executed", n)
	}
	w.open(Config{})
	w.Start()
	status := w.reaches(id, hearth.EventRetrying)
	if status.Attempt != 3 || status.ErrorType != typeDied || status.NextAttempt.Sub(status.Changed).Round(time.Second) != 4*time.Second {
		t.Errorf("%+v", status)
	}
	w.Pause()
}
