package trigger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// Event is a run that is due.
type Event struct {
	ID       string
	Function string
	Payload  []byte
}

// Submitter accepts an event durably: once it has returned nil the event runs at least
// once. It may be given the same event twice. Errors are *hearth.Error.
type Submitter interface {
	Submit(ctx context.Context, e Event) error
}

// Functions are looked up in memory.
type Functions interface {
	Get(name string) (*hearth.Function, error)
	List() []*hearth.Function
}

// Table keeps the next due times; keys are FUNCTION/TRIGGER.
type Table interface {
	List(ctx context.Context) ([]store.Entry, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) (uint64, error)
}

var _ Table = (*store.Table)(nil)

// Events is told what happens; it never blocks.
type Events interface {
	Emit(hearth.Event)
}

// Deps are what a Service needs of other rooms.
type Deps struct {
	Functions Functions
	Submitter Submitter
	Table     Table
	Events    Events
}

// Config of a Service.
type Config struct {
	Region, Account string // for ARNs in events
	Log             *slog.Logger
}

// Service fires triggers. Create it with New.
type Service struct {
	cfg  Config
	deps Deps

	cancel context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{} // has room for one

	work sync.Mutex // held while the loop works, and by Hold

	mu      sync.Mutex
	changed map[string]bool      // functions to look at again
	next    map[string]time.Time // when entries are due, by key, for Status

	// Guarded by work.
	entries  map[string]map[string]*entry // by function, trigger
	saved    map[string]record            // what was read and nobody has claimed yet
	replaced bool                         // functions and table are others than before
	seen     time.Time                    // the wall clock, when it was last looked at
}

// New makes a service that does nothing before Start.
func New(cfg Config, deps Deps) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, deps: deps, cancel: func() {}, wake: make(chan struct{}, 1),
		changed: map[string]bool{}, entries: map[string]map[string]*entry{}}
}

// Start reads the due times and begins to fire; what was missed comes first. Changes
// that were told before are not lost. Close ends it. ctx bounds the reading only.
func (s *Service) Start(ctx context.Context) error {
	saved, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.saved = saved
	life, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.loop(life) })
	return nil
}

// Changed tells that a function was created, changed or deleted. It does not block.
func (s *Service) Changed(function string) {
	s.mu.Lock()
	s.changed[function] = true
	s.mu.Unlock()
	s.rouse()
}

func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close stops firing and waits for what is under way.
func (s *Service) Close() {
	s.cancel()
	s.done.Wait()
}

// show has Status tell when entries are due.
func (s *Service) show() {
	next := map[string]time.Time{}
	for key, e := range s.all() {
		next[key] = e.at()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
}

// Status tells when the schedules of a function are due, of all functions if it is empty,
// sorted by function.
func (s *Service) Status(function string) []hearth.TriggerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []hearth.TriggerStatus{}
	for _, f := range s.deps.Functions.List() {
		if function != "" && f.Name != function {
			continue
		}
		for i := range f.Triggers {
			t := &f.Triggers[i]
			if t.NATS != nil {
				continue
			}
			status := hearth.TriggerStatus{Function: f.Name, Trigger: t.Name, Kind: "schedule", Source: t.Schedule, State: hearth.TriggerActive}
			if status.Next = s.next[f.Name+"/"+t.Name]; t.Disabled {
				status.State = hearth.TriggerDisabled
			}
			list = append(list, status)
		}
	}
	return list
}

// lookAgain is how long the loop sleeps at most: timers do not notice that somebody has
// set the clock.
const lookAgain = 10 * time.Second

// Hold keeps the service still while somebody replaces functions and the table, as a
// restore does: what is new then goes on from the due times in the table. It waits for
// what is under way. release must be called once.
func (s *Service) Hold() (release func()) {
	s.work.Lock()
	return func() {
		s.replaced = true
		s.work.Unlock()
		s.rouse()
	}
}

func (s *Service) loop(ctx context.Context) {
	s.work.Lock()
	s.reconcileAll(ctx)
	s.work.Unlock()
	for ctx.Err() == nil {
		s.turn(ctx)
		s.sleep(ctx)
	}
}

// turn does what there is to do now.
func (s *Service) turn(ctx context.Context) {
	s.work.Lock()
	defer s.work.Unlock()
	if s.replaced {
		s.startOver(ctx)
	}
	for _, name := range s.takeChanged() {
		s.reconcile(ctx, name)
	}
	now := time.Now().Round(0) // without the monotonic clock: it is the wall's that counts
	if now.Before(s.seen) {
		s.correct(now)
	}
	s.seen = now
	s.fire(ctx, now)
	s.show()
}

func (s *Service) reconcileAll(ctx context.Context) {
	for _, f := range s.deps.Functions.List() {
		s.reconcile(ctx, f.Name)
	}
	s.forgetOrphans(ctx)
}

// startOver reads the table anew. What has been there before keeps its beat, and is
// written again.
func (s *Service) startOver(ctx context.Context) {
	saved, err := s.load(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.Warn("trigger: due times not read; this is tried again", "error", err)
		}
		return
	}
	s.saved, s.replaced = saved, false
	for _, e := range s.all() {
		e.unsaved = true
	}
	s.reconcileAll(ctx)
}

// sleep waits until there may be something to do.
func (s *Service) sleep(ctx context.Context) {
	var again <-chan time.Time // nil while there are no triggers
	s.work.Lock()
	wait, any := s.untilNext(time.Now().Round(0))
	any = any || s.replaced
	s.work.Unlock()
	if any {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-again:
	case <-s.wake:
	case <-ctx.Done():
	}
}

func (s *Service) takeChanged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.changed))
	for name := range s.changed {
		names = append(names, name)
	}
	clear(s.changed)
	return names
}

// untilNext is how long there is nothing to do; any is false while there are no triggers.
func (s *Service) untilNext(now time.Time) (wait time.Duration, any bool) {
	wait = lookAgain
	for _, e := range s.all() {
		any = true
		if at := e.at(); !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, 0), any
}

// correct reconsiders due times after the clock was put back.
func (s *Service) correct(now time.Time) {
	for _, e := range s.all() {
		e.retryAt = time.Time{}
		if !e.due.IsZero() {
			if due := e.schedule.Corrected(e.due, now); !due.Equal(e.due) {
				e.due, e.unsaved = due, true
			}
		}
	}
}
