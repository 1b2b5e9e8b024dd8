package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/async/ledger"
	"hearth/internal/hearth"
	"hearth/internal/store"
)

// Names of the queues.
const (
	queueName = "async"      // lines by function: what can be attempted now
	laterName = "asynclater" // lines by delay and function: what waits for a retry
	deadName  = "asyncdead"  // lines by function: dead letters
)

// maxIDLen bounds a request id. Hearth's own have 36 characters.
const maxIDLen = 64

// Service is a node's asynchronous side. Its methods may be called from many
// goroutines.
type Service struct {
	cfg   Config
	deps  Deps
	store *store.Store
	queue indexed
	later indexed
	dead  *store.Queue

	clock  *clock
	ledger *ledger.Ledger
	begun  *ledger.Begun
	died   sync.Map // ledger.Mark → true: attempts that were under way when the platform died
	gate   *Gate
	lines  lines
	holds  holds
	tally  tally
	waker  *waker

	ctx     context.Context // ends when Close gives up waiting for attempts
	abandon context.CancelFunc
	stop    chan struct{} // closed by Close: no new attempts

	life     sync.RWMutex // guards closed against tasks that are about to begin
	started  bool
	closed   bool
	paused   atomic.Bool // no new attempts
	stopping atomic.Bool
	tasks    sync.WaitGroup // loops, pulls and attempts
	pulse    sync.WaitGroup // heartbeats, which go on until the tasks have ended
	orphans  sync.WaitGroup // calls of the invoker, which may outlive Close
}

// New opens the queues in st. Nothing is executed before Start; Submit works at once.
func New(ctx context.Context, st *store.Store, cfg Config, deps Deps) (*Service, error) {
	if cfg.Attempts == 0 {
		cfg.Attempts = DefaultAttempts
	}
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		cfg: cfg, deps: deps, store: st, gate: NewGate(cfg.Attempts, cfg.MemoryMB), stop: make(chan struct{}),
		clock: newClock(time.Now()),
	}
	s.waker = newWaker(s)
	s.ctx, s.abandon = context.WithCancel(context.Background())
	for _, q := range []struct {
		queue **store.Queue
		name  string
		kind  store.QueueKind
	}{{&s.queue.Queue, queueName, store.WorkQueue}, {&s.later.Queue, laterName, store.KeptQueue}, {&s.dead, deadName, store.KeptQueue}} {
		var err error
		if *q.queue, err = st.Queue(ctx, q.name, q.kind); err != nil {
			return nil, err
		}
	}
	if err := s.openFiles(ctx); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

// Start begins to execute what is queued. It does not block.
func (s *Service) Start() {
	s.life.Lock()
	defer s.life.Unlock()
	if s.started || s.closed {
		return
	}
	s.started = true
	s.tasks.Go(s.scan)
	s.pulse.Go(s.heartbeat)
	s.tasks.Go(s.waker.run)
	s.tasks.Go(func() { s.completeIndexes(false) })
}

// Pause begins no more attempts; events are still accepted, and those under way go on.
// It is for good, and for those who are about to stop other parts before Close.
func (s *Service) Pause() { s.paused.Store(true) }

// Close takes no more events and begins no more attempts. It lets those under way
// finish until ctx ends, and gives up its hold on the others: they stay in the queue
// and are executed again. The store must be open until Close has returned; then close
// the invoker, and call Wait. Closing twice is harmless.
func (s *Service) Close(ctx context.Context) error {
	s.life.Lock()
	again := s.closed
	s.closed = true
	s.life.Unlock()
	if again {
		return nil
	}
	s.stopping.Store(true)
	close(s.stop)
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.abandon()
	<-done
	s.pulse.Wait()
	return s.closeFiles()
}

// Wait blocks until calls of the invoker that Close has not waited for have returned.
func (s *Service) Wait() { s.orphans.Wait() }

// begin starts a task unless the service is closing.
func (s *Service) begin(task func()) bool {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed || !s.started {
		return false
	}
	s.tasks.Go(task)
	return true
}

// Submit accepts an event. When it returns nil the event is synced to disk and will be
// executed at least once. It blocks for as long as that takes, and keeps nothing of the
// event's memory. After an error the
// event was not accepted; when the error is ErrInternal it may be executed all the
// same, since an answer of the engine can be lost.
//
// Errors are *hearth.Error: ErrNotFound (no such function or qualifier), ErrTooLarge,
// ErrInvalid (no id), ErrCapacity (the disk is full), ErrShuttingDown, ErrInternal.
func (s *Service) Submit(ctx context.Context, e Event) error { return s.submit(ctx, &e, "") }

// SubmitOnce is Submit for callers that may not know whether they have submitted the
// event before: while the engine remembers its id, for two minutes, it is not queued
// again.
func (s *Service) SubmitOnce(ctx context.Context, e Event) error {
	return s.submit(ctx, &e, e.ID+"/submit")
}

func (s *Service) submit(ctx context.Context, e *Event, once string) error {
	switch {
	case s.stopping.Load():
		return hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down")
	case e.ID == "" || len(e.ID) > maxIDLen:
		return hearth.Errorf(hearth.ErrInvalid, "A request id has 1 to %d characters, %q has not.", maxIDLen, clip(e.ID, maxIDLen))
	case len(e.Payload) > hearth.MaxAsyncPayloadBytes:
		return hearth.Errorf(hearth.ErrTooLarge, "%d byte payload is too large for the Event invocation type (limit %d bytes)",
			len(e.Payload), hearth.MaxAsyncPayloadBytes)
	case len(e.ClientContext) > hearth.MaxClientContextBytes:
		return hearth.Errorf(hearth.ErrTooLarge, "%d bytes of client context are too large (limit %d bytes)",
			len(e.ClientContext), hearth.MaxClientContextBytes)
	}
	if _, _, err := s.deps.Functions.Resolve(e.Function, e.Qualifier); err != nil {
		return err
	}
	e.Function = strings.Clone(e.Function) // it is kept, and may be part of the caller's buffer
	rec := record{Event: *e, Progress: Progress{Accepted: time.Now()}}
	return storeError(s.enqueue(ctx, &rec, once, once != ""), "accept the event")
}

// enqueue makes rec an event that can be attempted now. One that the engine remembers
// under the name once changes nothing. The ledger need not hear of an event whose id is
// new: where it is the index tells, for a fraction of what an entry in the ledger costs.
func (s *Service) enqueue(ctx context.Context, rec *record, once string, known bool) error {
	rec.Accepted = fromMillis(millis(rec.Accepted))
	m := rec.message(s.clock, rec.Function, false)
	m.Once = once
	if most := s.queue.MaxMessage(); len(m.Meta)+len(m.Data)+metaRoom > most {
		return fmt.Errorf("async: %w: %d bytes, and with what may be added the engine takes %d", store.ErrTooLarge, len(m.Meta)+len(m.Data), most-metaRoom)
	}
	seq, duplicate, err := s.queue.put(ctx, m, rec.ID)
	if err != nil || duplicate {
		return err
	}
	if known {
		status := rec.status(hearth.EventQueued, rec.Accepted)
		s.note(&status) // it may have run by now: then this is no news
	}
	s.tally.of(rec.Function).accepted.add(time.Now())
	s.lines.wrote(rec.Function, seq)
	s.poke(rec.Function)
	return nil
}

func (s *Service) emit(kind string, rec *record, reason, detail string) {
	s.deps.Events.Emit(hearth.Event{Kind: kind, Function: rec.Function, Reason: reason,
		Detail: "request " + rec.ID + suffix(clip(detail, 200))})
}

func suffix(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

// storeError words a failure of the store for people.
func storeError(err error, what string) error {
	var known *hearth.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrFull):
		return hearth.Errorf(hearth.ErrCapacity, "Cannot %s: the disk is full, and nothing was stored. Free some space, then try again.", what).WithCause(err)
	case errors.Is(err, store.ErrTooLarge):
		return hearth.Errorf(hearth.ErrTooLarge, "Cannot %s: it is larger than the message broker takes. Raise its max_payload.", what).WithCause(err)
	case errors.Is(err, store.ErrClosed):
		return hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down").WithCause(err)
	}
	return hearth.Errorf(hearth.ErrInternal, "Cannot %s: the store did not answer as it should.", what).WithCause(err)
}
