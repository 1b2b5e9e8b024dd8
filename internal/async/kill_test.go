package async

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// TestKill kills a platform that accepts and executes events, again and again, and
// looks in the end whether everything it had accepted was executed. A third of the
// events is refused at first, so some deaths fall between an attempt and its retry.
func TestKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "executed")
	accepted := map[string]bool{}
	for range rounds {
		for _, id := range runAndKill(t, dir, log, 1+rand.IntN(300)) {
			accepted[id] = true
		}
	}
	w := newWorld(t)
	w.dir = dir
	for i := range 4 {
		w.functions[fmt.Sprint("f", i)] = function(fmt.Sprint("f", i))
	}
	inv := newLogInvoker(log)
	w.invoke = func(ctx context.Context, e *Event) (*hearth.Result, error) {
		return inv.Invoke(ctx, e, func(string) {})
	}
	w.open(Config{})
	w.Start()
	zeros := 0
	eventually(t, "all is worked off", func() bool {
		list, err := w.Backlogs(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			if b.Queued > 0 || b.Running > 0 || b.Retrying > 0 {
				zeros = 0
				return false
			}
		}
		zeros++ // one look may fall into the moment in which an event is taken
		return zeros == 5
	})
	executed := readLog(t, log)
	lost, twice := 0, 0
	for id := range accepted {
		switch n := executed[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	t.Logf("lost %d of %d accepted events in %d deaths; %d were executed more than once", lost, len(accepted), rounds, twice)
	if lost > 0 || len(accepted) == 0 {
		t.Errorf("lost %d of %d", lost, len(accepted))
	}
	if list := w.deadLetters(""); len(list) > 0 {
		t.Errorf("dead: %+v", list)
	}
	// What a death can repeat is what was under way then.
	if most := rounds * DefaultAttempts; twice > most {
		t.Errorf("%d were executed more than once, at most %d can be explained", twice, most)
	}
}

func readLog(t *testing.T, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	executed := map[string]int{}
	for id := range strings.FieldsSeq(string(text)) {
		executed[id]++
	}
	return executed
}

// runAndKill lets a child accept n events and kills it; it returns those accepted.
func runAndKill(t *testing.T, dir, log string, n int) []string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0], dir, log)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for in := bufio.NewScanner(out); in.Scan(); {
		ids = append(ids, in.Text())
		if len(ids) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
	return ids
}

// logInvoker writes down what it executes, in one write each; a third of the events
// is refused the first time.
type logInvoker struct {
	mu      sync.Mutex
	log     *os.File
	refused map[string]bool
}

func newLogInvoker(path string) *logInvoker {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return &logInvoker{log: f, refused: map[string]bool{}}
}

func (l *logInvoker) Invoke(_ context.Context, e *Event, started func(string)) (*hearth.Result, error) {
	started("i1")
	if string(e.Payload) == poison {
		return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.ID[0] < '5' && !l.refused[e.ID] {
		l.refused[e.ID] = true
		return nil, hearth.Errorf(hearth.ErrCapacity, "full")
	}
	_, err := fmt.Fprintln(l.log, e.ID)
	return &hearth.Result{}, err
}

// childFunctions are there without a registry.
type childFunctions struct{}

func (childFunctions) Resolve(name, _ string) (*hearth.Function, *hearth.Version, error) {
	f := function(name)
	return f, &f.Latest, nil
}

type noEvents struct{}

func (noEvents) Emit(hearth.Event) {}

// platformUntilKilled is the child: it says which events it has accepted.
func platformUntilKilled(dir, log string) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(dir, "store"), Logger: slog.New(slog.DiscardHandler)})
	check(err)
	s, err := New(ctx, st, Config{StatusFile: filepath.Join(dir, "events")},
		Deps{Functions: childFunctions{}, Invoker: newLogInvoker(log), Events: noEvents{}})
	check(err)
	s.Start()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				id := hearth.NewRequestID()
				check(s.Submit(ctx, Event{ID: id, Function: fmt.Sprint("f", i%4), Payload: []byte("{}")}))
				fmt.Println(id) // one write, unbuffered
			}
		})
	}
	wg.Wait()
}
