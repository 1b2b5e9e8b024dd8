package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// node is what a Service needs, in memory. Its table outlives services, as a disk does.
type node struct {
	mu        sync.Mutex
	functions map[string]*hearth.Function
	table     map[string][]byte
	got       []Event
	at        []time.Time
	refuse    error
	noWrites  bool // the table takes nothing: as if killed after each submission
	events    []hearth.Event
}

func newNode(functions ...*hearth.Function) *node {
	n := &node{functions: map[string]*hearth.Function{}, table: map[string][]byte{}}
	for _, f := range functions {
		n.functions[f.Name] = f
	}
	return n
}

func (n *node) Get(name string) (*hearth.Function, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.functions[name]; f != nil {
		return f, nil
	}
	return nil, hearth.Errorf(hearth.ErrNotFound, "no %s", name)
}

// List is registry.Registry's (functions); the table's has a context.
func (n *node) List() []*hearth.Function {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.functions))
}

func (n *node) Submit(_ context.Context, e Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return n.refuse
	}
	n.got, n.at = append(n.got, e), append(n.at, time.Now())
	return nil
}

func (n *node) Emit(e hearth.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, e)
}

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
	if t.noWrites {
		return 0, store.ErrFull
	}
	t.table[key] = value
	return 1, nil
}

func (t memTable) Delete(_ context.Context, key string, _ uint64) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.table[key]; !ok {
		return 0, store.ErrNotFound
	}
	delete(t.table, key)
	return 1, nil
}

func (n *node) start(t *testing.T) *Service {
	t.Helper()
	s := New(Config{Region: "us-east-1", Account: "000000000000"}, Deps{Functions: n, Submitter: n, Table: memTable{n}, Events: n})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) set(s *Service, f *hearth.Function) {
	n.mu.Lock()
	f.Latest.LastModified = time.Now()
	n.functions[f.Name] = f
	n.mu.Unlock()
	s.Changed(f.Name)
}

// taken is when runs were submitted, in minutes since the virtual beginning, and clears
// the list.
func (n *node) taken(since time.Time) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, at := range n.at {
		all = append(all, fmt.Sprint(at.Sub(since).Minutes()))
	}
	n.got, n.at = nil, nil
	return strings.Join(all, " ")
}

func function(triggers ...hearth.Trigger) *hearth.Function {
	f := &hearth.Function{Name: "f", Created: time.Now(), Triggers: triggers}
	f.Latest.LastModified = time.Now()
	return f
}

// pass lets virtual time go by and waits until everything has come to rest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestFires: runs come at their times; a change of anything but the schedule leaves the
// beat, a change of the schedule starts afresh, and a deleted function has none.
func TestFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		n := newNode(function(hearth.Trigger{Name: "a", Schedule: "rate(5 minutes)"}))
		s := n.start(t)
		defer s.Close()
		expect := func(want string) {
			t.Helper()
			if got := n.taken(begin); got != want {
				t.Errorf("after %v: runs at %s, want %s", time.Since(begin), got, want)
			}
		}
		pass(12 * time.Minute)
		expect("5 10")
		f := n.functions["f"].Clone()
		f.Triggers[0].Input = []byte(`{"x":1}`)
		n.set(s, f)
		pass(4 * time.Minute) // 16
		if string(n.got[0].Payload) != `{"x":1}` {
			t.Errorf("payload %s", n.got[0].Payload)
		}
		expect("15")
		f = f.Clone()
		f.Triggers[0].Schedule = "rate(3 minutes)"
		n.set(s, f)
		pass(4 * time.Minute) // 20
		expect("19")
		f = f.Clone()
		f.Triggers[0].Disabled = true
		n.set(s, f)
		pass(time.Hour)
		expect("")
		n.mu.Lock()
		delete(n.functions, "f")
		n.mu.Unlock()
		s.Changed("f")
		pass(time.Hour)
		expect("")
		if len(n.table) != 0 {
			t.Errorf("left behind: %v", n.table)
		}
	})
}

// TestRestart: what was due while the service was down is made up for once, and the
// beat goes on; a run that was submitted but not noted comes again with its id.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		n := newNode(function(hearth.Trigger{Name: "a", Schedule: "rate(5 minutes)"}))
		s := n.start(t)
		pass(time.Minute)
		s.Close()
		pass(21 * time.Minute) // 22: missed 5, 10, 15, 20
		s = n.start(t)
		pass(4 * time.Minute) // 26
		if got := n.taken(begin); got != "22 25" {
			t.Errorf("runs at %s", got)
		}
		if len(n.events) != 1 || n.events[0].Kind != "trigger.missed" {
			t.Errorf("told: %+v", n.events)
		}
		n.mu.Lock()
		n.noWrites = true
		n.mu.Unlock()
		pass(5 * time.Minute) // 31: fired 30, not noted
		s.Close()
		n.noWrites = false
		s = n.start(t)
		pass(time.Minute)
		s.Close()
		if len(n.got) != 2 || n.got[0].ID != n.got[1].ID {
			t.Errorf("after dying in between: %+v", n.got)
		}
	})
}

// TestHold: after a restore schedules go on from where the backup had them, not from the
// change that brought them; those that were there keep their beat.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := hearth.Trigger{Name: "a", Schedule: "rate(1 hour)", Missed: hearth.MissedAll}
		here := function(every)
		n := newNode(here)
		s := n.start(t)
		defer s.Close()
		begin := time.Now()
		pass(10*time.Hour + 30*time.Minute)
		if len(n.got) != 10 {
			t.Fatalf("%d runs", len(n.got))
		}
		n.got = nil
		release := s.Hold()
		restored := function(every)
		restored.Name, restored.Latest.LastModified = "restored", begin
		n.mu.Lock()
		n.functions["restored"] = restored
		n.mu.Unlock()
		s.Changed("restored") // before its due time is there
		due := begin.Add(9 * time.Hour).Round(0).UTC()
		record := (&entry{function: restored, trigger: every, due: due}).record()
		value, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		memTable{n}.Put(t.Context(), "restored/a", value)
		memTable{n}.Delete(t.Context(), "f/a", 0)
		release()
		pass(time.Minute)
		var got []string
		for _, e := range n.got {
			got = append(got, e.ID)
		}
		want := []string{idOf(restored, "a", due), idOf(restored, "a", due.Add(time.Hour))}
		if !slices.Equal(got, want) {
			t.Errorf("%d runs, want those of the ninth and the tenth hour: %+v", len(got), n.got)
		}
		if n.table["f/a"] == nil {
			t.Error("the beat of what was there is not written again")
		}
	})
}

// TestRefused: a run that is not accepted is tried again until it is.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(function(hearth.Trigger{Name: "a", Schedule: "rate(1 day)"}))
		n.refuse = hearth.Errorf(hearth.ErrCapacity, "the disk is full")
		s := n.start(t)
		defer s.Close()
		due := time.Now().Add(24 * time.Hour)
		pass(25 * time.Hour)
		n.mu.Lock()
		n.refuse = nil
		n.mu.Unlock()
		pass(2 * time.Minute)
		f := n.functions["f"]
		if len(n.got) != 1 || n.got[0].ID != idOf(f, "a", due) {
			t.Errorf("%+v", n.got)
		}
	})
}

// TestDeletedWhileDown: due times of triggers that are gone do not stay.
func TestDeletedWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		n.table["gone/a"] = []byte(`{"spec":"rate(1 day) ","due":1}`)
		n.table["odd/b"] = []byte(`not JSON`)
		s := n.start(t)
		pass(time.Second)
		s.Close()
		if len(n.table) != 0 || len(n.got) != 0 {
			t.Errorf("%v %v", n.table, n.got)
		}
	})
}

func TestPayload(t *testing.T) {
	f := &hearth.Function{Name: "report"}
	c := Config{Region: "us-east-1", Account: "000000000000"}
	due := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got := string(c.payload(f, &hearth.Trigger{Name: "daily"}, "ID", due))
	want := `{"version":"0","id":"ID","detail-type":"Scheduled Event","source":"aws.events","account":"000000000000",` +
		`"time":"2026-03-01T12:00:00Z","region":"us-east-1","resources":["arn:aws:events:us-east-1:000000000000:rule/report-daily"],"detail":{}}`
	if got != want {
		t.Errorf("%s", got)
	}
}

// TestClockPutBack: a due time that a wrong clock has set is given up; a rate waits for
// its period at most, cron for three hours.
func TestClockPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().Round(0).UTC()
		n := newNode(function(hearth.Trigger{Name: "rate", Schedule: "rate(5 minutes)"},
			hearth.Trigger{Name: "cron", Schedule: "0 * * * *"}, hearth.Trigger{Name: "near", Schedule: "30 * * * *"}))
		s := New(Config{}, Deps{Functions: n, Submitter: n, Table: memTable{n}, Events: n})
		s.reconcile(t.Context(), "f")
		s.entries["f"]["rate"].due = begin.Add(24 * time.Hour)
		s.entries["f"]["cron"].due = begin.Add(24 * time.Hour)
		s.entries["f"]["near"].due = begin.Add(150 * time.Minute)
		s.correct(begin)
		for name, want := range map[string]time.Duration{"rate": 5 * time.Minute, "cron": time.Hour, "near": 150 * time.Minute} {
			e := s.entries["f"][name]
			if got := e.due.Sub(begin); got != want || e.unsaved != (name != "near") {
				t.Errorf("%s is due in %v, want %v; unsaved %v", name, got, want, e.unsaved)
			}
		}
	})
}
