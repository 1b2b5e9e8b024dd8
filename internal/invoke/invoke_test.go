package invoke

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"hearth/internal/hearth"
)

// functions is a Resolver of a map.
type functions map[string]*hearth.Function

func (f functions) Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error) {
	if fn := f[name]; fn != nil {
		return fn, &fn.Latest, nil
	}
	return nil, nil, hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", name)
}

// workerFunc is a Worker of a function.
type workerFunc func(ctx context.Context, inv *hearth.Invocation) (*hearth.Result, error)

func (w workerFunc) Start(inv *hearth.Invocation, done hearth.Completion) {
	done.Complete(w(inv.Context, inv))
}

func function(name string, reserved *int) *hearth.Function {
	return &hearth.Function{Name: name, Reserved: reserved, Latest: hearth.Version{Function: name, Number: hearth.Latest}}
}

// blocking is a worker that holds every invocation until release is closed.
func blocking() (w workerFunc, entered chan string, release chan struct{}) {
	entered, release = make(chan string, 100), make(chan struct{})
	return func(_ context.Context, inv *hearth.Invocation) (*hearth.Result, error) {
		entered <- inv.Version.Function
		<-release
		return &hearth.Result{Version: inv.Version.Number}, nil
	}, entered, release
}

func TestReservedConcurrencyIsACap(t *testing.T) {
	two, zero := 2, 0
	w, entered, release := blocking()
	s := New(functions{"capped": function("capped", &two), "off": function("off", &zero), "free": function("free", nil)}, w, Config{})
	var wg sync.WaitGroup
	for range two {
		wg.Go(func() {
			if _, err := s.Invoke(t.Context(), &Request{Function: "capped"}); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	if _, err := s.Invoke(t.Context(), &Request{Function: "capped"}); hearth.CodeOf(err) != hearth.ErrReservedLimit {
		t.Errorf("the third call: %v", err)
	}
	if _, err := s.Invoke(t.Context(), &Request{Function: "off"}); hearth.CodeOf(err) != hearth.ErrReservedLimit {
		t.Errorf("a function with no concurrency at all: %v", err)
	}
	if got := s.InFlight("capped"); got != two {
		t.Errorf("%d in flight, want %d", got, two)
	}
	close(release)
	wg.Wait()
	if _, err := s.Invoke(t.Context(), &Request{Function: "capped"}); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
	if got := s.Stats(); got.InFlight != 0 || got.Throttles != 2 || got.Invocations != 3 {
		t.Errorf("counters %+v", got)
	}
}

func TestTheAccountLimitSparesReservedFunctions(t *testing.T) {
	one := 1
	w, entered, release := blocking()
	s := New(functions{"a": function("a", nil), "b": function("b", nil), "own": function("own", &one)}, w, Config{AccountLimit: 1})
	var wg sync.WaitGroup
	call := func(name string) {
		wg.Go(func() {
			if _, err := s.Invoke(t.Context(), &Request{Function: name}); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	call("a")
	if _, err := s.Invoke(t.Context(), &Request{Function: "b"}); hearth.CodeOf(err) != hearth.ErrAccountLimit {
		t.Errorf("past the account's limit: %v", err)
	}
	call("own")
	close(release)
	wg.Wait()
}

// An invocation that queued for code that was replaced goes to the new code, and a
// function that is replaced for ever does not hold it for ever.
func TestMovedInvocationsResolveAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		moves int
		want  hearth.ErrorCode
	}{{"once", 1, ""}, {"for ever", 1 << 20, hearth.ErrMoved}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				w := workerFunc(func(context.Context, *hearth.Invocation) (*hearth.Result, error) {
					if tries++; tries <= c.moves {
						return nil, hearth.Errorf(hearth.ErrMoved, "moved")
					}
					return &hearth.Result{}, nil
				})
				s := New(functions{"f": function("f", nil)}, w, Config{})
				_, err := s.Invoke(t.Context(), &Request{Function: "f"})
				if (err == nil) != (c.want == "") || err != nil && hearth.CodeOf(err) != c.want {
					t.Errorf("%v after %d tries", err, tries)
				}
				if s.InFlight("f") != 0 {
					t.Error("the permit was not given back")
				}
			})
		})
	}
}

func TestUnknownFunction(t *testing.T) {
	s := New(functions{}, nil, Config{})
	if _, err := s.Invoke(t.Context(), &Request{Function: "nobody"}); hearth.CodeOf(err) != hearth.ErrNotFound {
		t.Error(err)
	}
}

// nobody wants to know.
type nobody struct{}

func (nobody) Complete(*hearth.Result, error) {}

func BenchmarkStart(b *testing.B) {
	fn := function("f", nil)
	result := &hearth.Result{}
	s := New(functions{"f": fn}, workerFunc(func(context.Context, *hearth.Invocation) (*hearth.Result, error) { return result, nil }), Config{})
	r := &Request{ID: "id", Function: "f"}
	b.ReportAllocs()
	for b.Loop() {
		s.Start(r, nobody{})
	}
}
