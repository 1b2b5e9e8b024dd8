package subject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = time.Minute

// node is what a Service needs, with a real bus; the rest is in memory and outlives
// services, as a disk does.
type node struct {
	t   *testing.T
	bus *store.Bus

	mu        sync.Mutex
	functions map[string]*hearth.Function
	table     map[string][]byte
	answer    func(records []record) (*hearth.Result, error)
	calls     []string // the data of each call
	letters   []hearth.DeadLetter
	refuse    int // letters that are refused at first
}

func newNode(t *testing.T) *node {
	t.Helper()
	b, err := store.OpenBus(t.Context(), store.BusConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &node{t: t, bus: b, functions: map[string]*hearth.Function{}, table: map[string][]byte{},
		answer: func([]record) (*hearth.Result, error) { return &hearth.Result{}, nil }}
}

// Get implements Functions.
func (n *node) Get(name string) (*hearth.Function, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.functions[name]; f != nil {
		return f, nil
	}
	return nil, hearth.Errorf(hearth.ErrNotFound, "no %s", name)
}

// List is Functions'; the table's has a context.
func (n *node) List() []*hearth.Function {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.functions))
}

// Invoke implements Invoker.
func (n *node) Invoke(_ context.Context, function, _ string, payload []byte) (*hearth.Result, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		n.t.Errorf("the event is no JSON: %v", err)
	}
	var data []string
	for _, r := range e.Records {
		data = append(data, string(r.Data))
	}
	n.mu.Lock()
	n.calls = append(n.calls, function+" "+strings.Join(data, ","))
	answer := n.answer
	n.mu.Unlock()
	return answer(e.Records)
}

// Bury implements DeadLetters.
func (n *node) Bury(_ context.Context, d hearth.DeadLetter) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse > 0 {
		n.refuse--
		return errors.New("the disk is full")
	}
	n.letters = append(n.letters, d)
	return nil
}

// Emit implements Events.
func (*node) Emit(hearth.Event) {}

type memTable struct{ *node }

func (t memTable) List(context.Context) ([]store.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []store.Entry
	for key, value := range t.table {
		all = append(all, store.Entry{Key: key, Value: value})
	}
	return all, nil
}

func (t memTable) Put(_ context.Context, key string, value []byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table[key] = value
	return 1, nil
}

func (t memTable) Delete(_ context.Context, key string, _ uint64) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.table, key)
	return 1, nil
}

func (n *node) start() *Service {
	n.t.Helper()
	s := New(Config{Lease: 3 * time.Second}, Deps{Functions: n, Bus: Of(n.bus), Invoker: n, DeadLetters: n, Table: memTable{n}, Events: n})
	if err := s.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close(context.Background()); s.Wait() })
	return s
}

// declare gives function f these triggers, and waits until they are in a state.
func (n *node) declare(s *Service, state hearth.TriggerState, triggers ...hearth.Trigger) {
	n.t.Helper()
	n.mu.Lock()
	created := time.Unix(1, 0)
	n.functions["f"] = &hearth.Function{Name: "f", Created: created, Triggers: triggers}
	n.mu.Unlock()
	s.Changed("f")
	n.until(fmt.Sprint(len(triggers), " triggers are ", state), func() bool {
		list := s.Status(n.t.Context(), "f")
		return len(list) == len(triggers) && !slices.ContainsFunc(list, func(t hearth.TriggerStatus) bool { return t.State != state })
	})
}

func trigger(name string, t hearth.NATSTrigger) hearth.Trigger {
	return hearth.Trigger{Name: name, NATS: &t}
}

func (n *node) publish(subject string, data ...string) {
	n.t.Helper()
	for _, d := range data {
		if stored, err := n.bus.Send(n.t.Context(), subject, []byte(d), nil); err != nil || !stored {
			n.t.Fatalf("publish to %s: stored %v, %v", subject, stored, err)
		}
	}
}

// until waits for what has no event to wait for.
func (n *node) until(what string, ok func() bool) {
	n.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			n.t.Fatalf("not within %v: %s; calls %q", limit, what, n.called())
		}
	}
}

func (n *node) called() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// settled waits until a function's triggers have nothing to do any more.
func (n *node) settled(s *Service) hearth.TriggerStatus {
	n.t.Helper()
	var status hearth.TriggerStatus
	n.until("all is done", func() bool {
		list := s.Status(n.t.Context(), "f")
		if len(list) == 0 || list[0].State == hearth.TriggerStarting {
			return false
		}
		status = list[0]
		return status.Pending == 0 && status.Waiting == 0 && status.InFlight == 0 && status.Oldest.IsZero()
	})
	return status
}

// TestDeadLetters: a message that fails is tried again, in the end by itself, and goes to
// the dead letters, which are tried again too; the others of its batch are processed.
func TestDeadLetters(t *testing.T) {
	n := newNode(t)
	n.refuse = 2
	n.answer = func(records []record) (*hearth.Result, error) {
		for _, r := range records {
			if string(r.Data) == `"bad"` {
				return &hearth.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"Error","errorMessage":"it is bad"}`)}, nil
			}
		}
		return &hearth.Result{Payload: []byte(`{"batchItemFailures":[]}`)}, nil
	}
	s := n.start()
	disabled := trigger("o", hearth.NATSTrigger{Subject: "o.*", BatchSize: 4, MaxAttempts: 2})
	disabled.Disabled = true
	n.declare(s, hearth.TriggerDisabled, disabled)
	n.publish("o.x", `"a"`, `"bad"`, `"b"`) // kept while it is disabled
	n.declare(s, hearth.TriggerActive, trigger("o", *disabled.NATS))
	status := n.settled(s)
	if status.Succeeded != 2 || status.Dead != 1 || status.Failures != 2 || status.Invocations != 4 {
		t.Errorf("%+v", status)
	}
	if got := strings.Join(n.called(), "; "); got != `f "a","bad","b"; f "a"; f "bad"; f "b"` {
		t.Errorf("calls: %s", got)
	}
	if len(n.letters) != 1 || n.letters[0].Attempts != 2 || n.letters[0].Error != "it is bad" || n.letters[0].Condition != hearth.ConditionExhausted ||
		!strings.Contains(string(n.letters[0].Payload), `"subject":"o.x"`) {
		t.Errorf("%+v", n.letters)
	}
}

// TestChanges: a changed trigger goes on where it was, a removed one leaves nothing, one
// of another stream begins afresh, and what went while we were down is given up.
func TestChanges(t *testing.T) {
	n := newNode(t)
	s := n.start()
	n.declare(s, hearth.TriggerActive, trigger("a", hearth.NATSTrigger{Subject: "a.>"}), trigger("b", hearth.NATSTrigger{Subject: "a.b", BatchSize: 1}))
	n.publish("a.b", "1")
	n.until("both have it", func() bool { return len(n.called()) == 2 })
	n.declare(s, hearth.TriggerActive, trigger("a", hearth.NATSTrigger{Subject: "c.*", MaxAttempts: 9}))
	n.publish("c.d", "2")
	n.until("the new subject", func() bool { return len(n.called()) == 3 })
	if stored, err := n.bus.Send(t.Context(), "a.b", nil, nil); err != nil {
		t.Fatal(err)
	} else if stored {
		n.until("the old subject is not kept", func() bool {
			stored, err := n.bus.Send(t.Context(), "a.b", nil, nil)
			return err == nil && !stored
		})
	}
	s.Close(t.Context())
	n.mu.Lock()
	n.functions = map[string]*hearth.Function{}
	n.mu.Unlock()
	s = n.start()
	n.until("nothing is left", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.table) == 0
	})
	if stored, err := n.bus.Send(t.Context(), "c.d", nil, nil); err != nil || stored {
		t.Errorf("still kept: %v, %v", stored, err)
	}
	n.declare(s, hearth.TriggerFailing, trigger("a", hearth.NATSTrigger{Stream: "NONE"}))
	if got := s.Status(t.Context(), "")[0].Error; !strings.Contains(got, "there is no stream NONE") {
		t.Error(got)
	}
}

// TestClose: what is under way is waited for, or given up and then comes again; nothing
// that was acknowledged does.
func TestClose(t *testing.T) {
	n := newNode(t)
	begun, finish := make(chan struct{}, 9), make(chan struct{})
	n.answer = func(records []record) (*hearth.Result, error) {
		begun <- struct{}{}
		<-finish
		return &hearth.Result{}, nil
	}
	s := n.start()
	n.declare(s, hearth.TriggerActive, trigger("o", hearth.NATSTrigger{Subject: "o.*", BatchSize: 1, PartitionToken: 2}))
	n.publish("o.x", "1", "2")
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ctx) // does not wait
	close(finish)
	s.Wait()
	s = n.start()
	status := n.settled(s)
	if got := strings.Join(n.called(), "; "); got != "f 1; f 1; f 2" || status.Succeeded != 2 {
		t.Errorf("calls %s, %+v", got, status)
	}
	s.Close(t.Context())
	s.Wait()
	s = n.start()
	n.publish("o.x", "3")
	n.until("the third", func() bool { return len(n.called()) == 4 })
	n.settled(s)
}

// TestRefused: while the platform has no room nothing counts as an attempt.
func TestRefused(t *testing.T) {
	n := newNode(t)
	refusals := 1
	n.answer = func([]record) (*hearth.Result, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if refusals--; refusals >= 0 {
			return nil, hearth.Errorf(hearth.ErrReservedLimit, "Rate Exceeded.")
		}
		return &hearth.Result{}, nil
	}
	s := n.start()
	n.declare(s, hearth.TriggerActive, trigger("o", hearth.NATSTrigger{Subject: "o.*", MaxAttempts: 1}))
	n.publish("o.x", "1")
	n.until("it waits", func() bool { return s.Status(t.Context(), "f")[0].State == hearth.TriggerBackoff })
	status := n.settled(s)
	if status.Succeeded != 1 || status.Dead != 0 || status.Failures != 1 {
		t.Errorf("%+v", status)
	}
}
