package subject

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// Source is a durable consumer. Messages are under a lease until they are acknowledged
// or released.
type Source interface {
	Pull(ctx context.Context, n int) ([]*store.Taken, error)
	Ack(ctx context.Context, list []*store.Taken) error
	Extend(m *store.Taken) error
	Release(m *store.Taken) error
	Position(ctx context.Context, oldest bool) (store.Position, error)
}

// Bus is where streams are.
type Bus interface {
	// Keep has plain subjects kept, these and no others.
	Keep(ctx context.Context, subjects []string) error
	// Free fails when a stream of somebody else keeps the subject.
	Free(ctx context.Context, subject string) error
	Source(ctx context.Context, cfg store.SourceConfig) (Source, error)
	DropSource(ctx context.Context, stream, name string) error
}

// Invoker invokes $LATEST. It blocks until the result is there or the invocation was
// refused; a function that failed is a Result. ctx ends the wait for an instance, not
// the function.
type Invoker interface {
	Invoke(ctx context.Context, function, id string, payload []byte) (*hearth.Result, error)
}

// DeadLetters takes what is given up. Once Bury has returned nil the letter is on disk.
// It may be given the same letter twice.
type DeadLetters interface {
	Bury(ctx context.Context, letter hearth.DeadLetter) error
}

// Functions are looked up in memory.
type Functions interface {
	Get(name string) (*hearth.Function, error)
	List() []*hearth.Function
}

// Table remembers durable consumers; keys are FUNCTION/TRIGGER.
type Table interface {
	List(ctx context.Context) ([]store.Entry, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) (uint64, error)
}

// Events is told what happens; it never blocks.
type Events interface {
	Emit(hearth.Event)
}

// Deps are what a Service needs of other rooms.
type Deps struct {
	Functions   Functions
	Bus         Bus
	Invoker     Invoker
	DeadLetters DeadLetters
	Table       Table
	Events      Events
}

// Config of a Service.
type Config struct {
	// Lease is how long a message stays with a node that gives no sign of life;
	// DefaultLease when 0. Where others than us use the engine, a partition waits for so
	// long after a death.
	Lease time.Duration
	Log   *slog.Logger
}

// DefaultLease of a Config.
const DefaultLease = 10 * time.Second

// Service reads the subjects of all triggers. Create it with New.
type Service struct {
	cfg  Config
	deps Deps

	wake  chan struct{} // has room for one
	loops sync.WaitGroup
	tasks sync.WaitGroup // readers, and what comes after them
	calls sync.WaitGroup // invocations, which may outlive Close

	life    context.Context // ends when no more messages are to be taken
	end     context.CancelFunc
	work    context.Context // ends when Close gives up waiting
	abandon context.CancelFunc

	mu      sync.Mutex
	changed map[string]bool
	readers map[string]*reader // by FUNCTION/TRIGGER
	plain   map[string]string  // key → plain subject that is to be kept
	records map[string]consumer

	// ending has, for each key, what a new reader waits for. Of the loop alone.
	ending map[string]<-chan struct{}

	keeping sync.Mutex // one call of Bus.Keep at a time
}

// consumer is an entry of the table: a durable consumer that may exist. It is the format
// on disk.
type consumer struct {
	Stream  string           `json:"stream"`
	Name    string           `json:"name"`
	Subject string           `json:"subject,omitempty"`
	From    hearth.StartFrom `json:"from,omitempty"`
	Created int64            `json:"created"` // of the function, Unix milliseconds
}

// same says whether two are one, so that what was acknowledged holds on. A consumer may
// be given another subject.
func (c consumer) same(other consumer) bool {
	c.Subject = other.Subject
	return c == other
}

// New makes a service that does nothing before Start.
func New(cfg Config, deps Deps) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	s := &Service{
		cfg: cfg, deps: deps, wake: make(chan struct{}, 1), changed: map[string]bool{}, readers: map[string]*reader{},
		plain: map[string]string{}, records: map[string]consumer{}, ending: map[string]<-chan struct{}{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.work, s.abandon = context.WithCancel(context.Background())
	return s
}

// Start reads the table and begins to read subjects. ctx bounds the former only.
func (s *Service) Start(ctx context.Context) error {
	list, err := s.deps.Table.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range list {
		var c consumer
		if err := json.Unmarshal(e.Value, &c); err != nil {
			s.cfg.Log.Warn("trigger: a consumer's entry cannot be read", "trigger", e.Key, "error", err)
		}
		s.records[e.Key] = c
		if c.Stream == store.SubjectsStream {
			s.plain[e.Key] = c.Subject // kept from the first moment, whichever reader comes first
		}
	}
	s.loops.Go(s.loop)
	return nil
}

// Changed tells that a function was created, changed or deleted. It does not block.
func (s *Service) Changed(function string) {
	s.mu.Lock()
	s.changed[function] = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Pause takes no more messages. It is for good, and for those who are about to stop other
// parts before Close.
func (s *Service) Pause() { s.end() }

// Close takes no more messages and lets invocations under way finish until ctx ends;
// then it gives up its hold on theirs: they come again. Then close the invoker, and call
// Wait. Closing twice is harmless.
func (s *Service) Close(ctx context.Context) {
	s.end()
	s.loops.Wait()
	stop := context.AfterFunc(ctx, s.abandon)
	s.tasks.Wait()
	stop()
	s.abandon()
}

// Wait blocks until the invocations have returned that Close has not waited for.
func (s *Service) Wait() { s.calls.Wait() }

func (s *Service) loop() {
	for _, f := range s.deps.Functions.List() {
		s.reconcile(f.Name)
	}
	s.forgetOrphans()
	for {
		select {
		case <-s.life.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		changed := s.changed
		s.changed = map[string]bool{}
		s.mu.Unlock()
		for name := range changed {
			s.reconcile(name)
		}
	}
}

// reconcile makes the readers of one function those that it declares.
func (s *Service) reconcile(name string) {
	f, err := s.deps.Functions.Get(name)
	if err != nil && hearth.CodeOf(err) != hearth.ErrNotFound {
		s.cfg.Log.Warn("trigger: function not read", "function", name, "error", err)
		return
	}
	for key, done := range s.ending {
		select {
		case <-done:
			delete(s.ending, key)
		default:
		}
	}
	declared := map[string]bool{}
	if err == nil {
		for i := range f.Triggers {
			if t := &f.Triggers[i]; t.NATS != nil {
				r := s.newReader(f, t)
				declared[r.key] = true
				s.replace(r)
			}
		}
	}
	for _, key := range s.keysOf(name) {
		if !declared[key] {
			s.drop(key)
		}
	}
}

// keysOf are those of a function's readers.
func (s *Service) keysOf(function string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.readers {
		if name, _, _ := strings.Cut(key, "/"); name == function {
			keys = append(keys, key)
		}
	}
	return keys
}

// replace lets r read after the reader that there was, unless that one does the same.
func (s *Service) replace(r *reader) {
	s.mu.Lock()
	old := s.readers[r.key]
	if old != nil && old.same(r) {
		s.mu.Unlock()
		r.stop()
		return
	}
	s.readers[r.key] = r
	s.mu.Unlock()
	after := s.ending[r.key]
	if old != nil {
		old.stop()
		after = old.done
	}
	delete(s.ending, r.key)
	s.tasks.Go(func() {
		defer close(r.done)
		if after != nil {
			<-after
		}
		r.run()
	})
}

// drop ends a reader and gives its consumer up, once its invocations have ended.
func (s *Service) drop(key string) {
	s.mu.Lock()
	old := s.readers[key]
	delete(s.readers, key)
	s.mu.Unlock()
	if old == nil {
		return
	}
	old.stop()
	dropped := make(chan struct{})
	s.ending[key] = dropped
	s.tasks.Go(func() {
		defer close(dropped)
		<-old.done
		s.forget(key)
	})
}

// forgetOrphans gives up consumers of triggers that went while the platform was down.
func (s *Service) forgetOrphans() {
	s.mu.Lock()
	var keys []string
	for key := range s.records {
		if s.readers[key] == nil {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	slices.Sort(keys)
	for _, key := range keys {
		dropped := make(chan struct{})
		s.ending[key] = dropped
		s.tasks.Go(func() {
			defer close(dropped)
			s.forget(key)
		})
	}
}

// forget gives up the consumer of a key, tries again until that has worked, and leaves
// the rest to the next start when the service closes.
func (s *Service) forget(key string) {
	for pause := firstOpenPause; s.life.Err() == nil; pause = min(2*pause, mostOpenPause) {
		err := s.release(key)
		if err == nil {
			return
		}
		if s.life.Err() == nil {
			s.cfg.Log.Warn("trigger: a consumer cannot be given up; it is tried again", "trigger", key, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-s.life.Done():
		}
	}
}

// release gives up the consumer of a key and what is remembered of it.
func (s *Service) release(key string) error {
	s.mu.Lock()
	c, known := s.records[key]
	delete(s.plain, key)
	s.mu.Unlock()
	if !known {
		return nil
	}
	if c.Stream != "" {
		if err := s.deps.Bus.DropSource(s.life, c.Stream, c.Name); err != nil {
			return err
		}
	}
	if c.Stream == store.SubjectsStream {
		if err := s.keep(s.life); err != nil {
			return err
		}
	}
	if _, err := s.deps.Table.Delete(s.life, key, 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.mu.Lock()
	delete(s.records, key)
	s.mu.Unlock()
	return nil
}

// keep has all plain subjects kept that triggers listen to.
func (s *Service) keep(ctx context.Context) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.mu.Lock()
	var subjects []string
	for _, subject := range s.plain {
		if !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	s.mu.Unlock()
	slices.Sort(subjects)
	return s.deps.Bus.Keep(ctx, subjects)
}
