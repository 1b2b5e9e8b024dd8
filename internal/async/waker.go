package async

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// A batch of one lane is brought back at once, before it is the next lane's turn: at
// most so many events, and no more once so many bytes have come together.
const (
	wakeBatch = 256
	wakeBytes = 4 << 20
)

// wakeParallel is how many events of a batch are written at the same time.
const wakeParallel = 32

// wakePause is between two tries when the store does not answer, or its disk is full.
const wakePause = time.Second

// waker brings events that are due back to the queues of their functions.
type waker struct {
	s    *Service
	wake chan struct{}

	mu     sync.Mutex
	agenda *agenda
}

func newWaker(s *Service) *waker {
	return &waker{s: s, wake: make(chan struct{}, 1), agenda: newAgenda()}
}

// put makes durable that rec is to be attempted again, at due.
func (w *waker) put(ctx context.Context, rec *record, due time.Time, delay time.Duration) error {
	rec.Due = fromMillis(millis(due))
	key := laneKey(rec.Function, delay)
	seq, _, err := w.s.later.PublishOnce(ctx, rec.message(w.s.clock, key, true))
	if err != nil {
		return err
	}
	_ = w.s.later.index.Put(seq, rec.ID) // a courtesy
	at := time.Now().Add(delay)
	w.mu.Lock()
	w.agenda.see(key, at, horizon{seq, at}) // the events before it came before it
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// run looks at lanes when their time has come, until Close.
func (w *waker) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	w.scan()
	for {
		select {
		case <-w.s.stop:
			return
		case <-scan.C:
			w.scan()
		case <-w.wake:
		case <-timer.C:
		}
		for w.step() {
			if w.s.stopping.Load() {
				return
			}
		}
		timer.Reset(w.rest(time.Now()))
	}
}

func (w *waker) rest(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.agenda.next(); ok {
		return max(at.Sub(now), 0)
	}
	return time.Hour
}

// scan finds the lanes that nobody has told of: those from before the start, and those
// of other nodes.
func (w *waker) scan() {
	counts, err := w.s.later.Counts(w.s.ctx, ">")
	if err != nil {
		if w.s.ctx.Err() == nil {
			w.s.cfg.Log.Warn("async: cannot look at what waits for a retry, will try again", "error", err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range counts {
		w.agenda.see(key, time.Now(), horizon{})
	}
}

// step looks at one lane; false when none is due.
func (w *waker) step() bool {
	w.mu.Lock()
	entry, ok := w.agenda.take(time.Now())
	w.mu.Unlock()
	if !ok {
		return false
	}
	at, more, err := w.lane(&entry)
	if err != nil {
		if w.s.ctx.Err() == nil {
			w.s.cfg.Log.Warn("async: cannot bring back events that are due, will try again", "lane", entry.key, "error", err)
		}
		at, more = time.Now().Add(wakePause), true
	}
	if more {
		w.mu.Lock()
		w.agenda.put(entry.key, at, entry.sight)
		w.mu.Unlock()
	}
	return true
}

// waiting is an event of a lane that is to be brought back.
type waiting struct {
	stored store.Stored
	rec    record
	err    error // it cannot be read
}

// lane brings back what is due in a lane, a batch of it, and says when to look again: at
// its next event, or now if there was more than a batch.
func (w *waker) lane(entry *laneEntry) (at time.Time, more bool, err error) {
	function, delay, err := parseLaneKey(entry.key)
	if err != nil {
		return at, false, err
	}
	due, at, more, err := w.due(entry, function, delay)
	if len(due) > 0 {
		err = errors.Join(err, w.bringAll(entry.key, function, due))
		w.s.poke(function)
	}
	return at, more, err
}

// due reads what is due in a lane, in the order of the lane, and says when to look again.
func (w *waker) due(entry *laneEntry, function string, delay time.Duration) (due []waiting, at time.Time, more bool, err error) {
	ctx, after := w.s.ctx, uint64(0)
	last := func() (uint64, error) { return w.s.later.Last(ctx, entry.key) }
	for size := 0; len(due) < wakeBatch && size < wakeBytes; {
		m, err := w.s.later.Next(ctx, entry.key, after+1)
		if errors.Is(err, store.ErrNotFound) {
			return due, at, false, nil
		}
		if err != nil {
			return due, at, true, err
		}
		rec, _, errRead := w.s.clock.decodeRecord(function, &m)
		if errRead == nil {
			now := time.Now()
			left, err := entry.sight.wait(now, m.Seq, rec.Due.Sub(now), delay, last)
			if err != nil {
				return due, at, true, err
			}
			if left > 0 {
				return due, now.Add(left), true, nil
			}
		}
		due = append(due, waiting{m, rec, errRead})
		after, size = m.Seq, size+len(m.Data)
	}
	return due, time.Now(), true, nil
}

// bringAll moves events, the first ones of a lane, back to the queue of their function:
// they are written there side by side, and then leave the lane in one step. If some
// cannot be written, those that can leave one by one.
func (w *waker) bringAll(key, function string, due []waiting) error {
	errs := make([]error, len(due))
	var writers sync.WaitGroup
	for i := range min(wakeParallel, len(due)) {
		writers.Go(func() {
			for j := i; j < len(due); j += wakeParallel {
				errs[j] = w.bring(w.s.ctx, function, &due[j])
			}
		})
	}
	writers.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = w.s.later.Purge(w.s.ctx, key, due[len(due)-1].stored.Seq+1)
	} else {
		for i := range due {
			if errs[i] == nil {
				errs[i] = w.s.later.Delete(w.s.ctx, due[i].stored.Seq)
			}
		}
	}
	if err == nil {
		for i := range due {
			w.s.later.gone(due[i].stored.Seq)
		}
	}
	return err
}

// bring writes one event to the queue of its function. An event that was brought back
// just before a crash is recognised by its name.
func (w *waker) bring(ctx context.Context, function string, e *waiting) error {
	if e.err != nil {
		// Whoever reads it from the queue will bury it.
		seq, err := w.s.queue.Publish(ctx, store.Message{Key: function, Meta: e.stored.Meta, Data: e.stored.Data})
		w.s.lines.wrote(function, seq)
		return err
	}
	e.rec.Due = time.Time{}
	status := e.rec.status(hearth.EventQueued, time.Now())
	w.s.note(&status)
	seq, _, err := w.s.queue.put(ctx, e.rec.message(w.s.clock, function, true), e.rec.ID)
	w.s.lines.wrote(function, seq) // 0 after an error: that says nothing
	return err
}
