package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// childEnv makes the test binary play a platform that others kill.
const childEnv = "HEARTH_ASYNC_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		platformUntilKilled(os.Args[1], os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

// testTime bounds every single step of a test.
const testTime = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// world is a node: a store in a directory, functions, and an invoker that does what
// the test says.
type world struct {
	*Service
	t   testing.TB
	dir string
	st  *store.Store

	mu        sync.Mutex
	functions map[string]*hearth.Function
	invoke    func(ctx context.Context, e *Event) (*hearth.Result, error)
	calls     map[string]int // by request id
	order     []string
	events    []hearth.Event
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{t: t, dir: t.TempDir(), functions: map[string]*hearth.Function{}, calls: map[string]int{}}
}

// open opens store and service; start is for the caller.
func (w *world) open(cfg Config) {
	w.t.Helper()
	st, err := store.Open(testContext(w.t), store.Config{Dir: filepath.Join(w.dir, "store"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Region, cfg.Account = hearth.DefaultRegion, hearth.DefaultAccount
	cfg.StatusFile = filepath.Join(w.dir, "events")
	s, err := New(testContext(w.t), st, cfg, Deps{Functions: w, Invoker: w, Events: w})
	if err != nil {
		w.t.Fatal(err)
	}
	w.st, w.Service = st, s
	w.t.Cleanup(w.close)
}

func (w *world) close() {
	if err := w.Close(testContext(w.t)); err != nil {
		w.t.Error(err)
	}
	w.Wait()
	if err := w.st.Close(testContext(w.t)); err != nil {
		w.t.Error(err)
	}
}

// up is a world that runs.
func up(t testing.TB, functions ...*hearth.Function) *world {
	t.Helper()
	w := newWorld(t)
	for _, f := range functions {
		w.functions[f.Name] = f
	}
	w.open(Config{})
	w.Start()
	return w
}

func function(name string) *hearth.Function {
	c := hearth.Config{Runtime: "nodejs20.x", Handler: "index.handler"}
	c.Normalize()
	return &hearth.Function{Name: name, Latest: hearth.Version{Function: name, Number: hearth.Latest, Config: c}}
}

func (w *world) Resolve(name, _ string) (*hearth.Function, *hearth.Version, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.functions[name]
	if f == nil {
		return nil, nil, hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", name)
	}
	return f, &f.Latest, nil
}

func (w *world) Invoke(ctx context.Context, e *Event, started func(string)) (*hearth.Result, error) {
	w.mu.Lock()
	w.calls[e.ID]++
	w.order = append(w.order, e.ID)
	invoke := w.invoke
	w.mu.Unlock()
	started("i1")
	if invoke == nil {
		return &hearth.Result{Payload: []byte(`"done"`), Version: hearth.Latest, Instance: "i1"}, nil
	}
	return invoke(ctx, e)
}

func (w *world) Emit(e hearth.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) count(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[id]
}

func failed(errorType, message string) *hearth.Result {
	return &hearth.Result{FunctionError: hearth.Unhandled, Version: hearth.Latest, Instance: "i1",
		Payload: fmt.Appendf(nil, `{"errorType":%q,"errorMessage":%q}`, errorType, message)}
}

// submit submits an event and returns its id.
func (w *world) submit(function, payload string) string {
	w.t.Helper()
	id := hearth.NewRequestID()
	if err := w.Submit(testContext(w.t), Event{ID: id, Function: function, Payload: []byte(payload)}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// eventually polls: what it waits for happens in other processes or on disk.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTime); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", testTime, what)
}

// reaches waits until the event is in a state, and returns its status.
func (w *world) reaches(id string, state hearth.EventState) hearth.EventStatus {
	w.t.Helper()
	var status hearth.EventStatus
	eventually(w.t, fmt.Sprintf("%s is %s", id, state), func() bool {
		var err error
		status, err = w.Status(testContext(w.t), id)
		if err != nil {
			w.t.Fatal(err)
		}
		return status.State == state
	})
	return status
}

func (w *world) deadLetters(function string) []hearth.DeadLetter {
	w.t.Helper()
	list, err := w.DeadLetters(testContext(w.t), function, 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func wantCode(t testing.TB, err error, code hearth.ErrorCode) {
	t.Helper()
	var e *hearth.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %s", err, code)
	}
}
