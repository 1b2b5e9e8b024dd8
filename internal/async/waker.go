package async

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// wakeBatch is how many events of one lane are brought back before it is the next
// lane's turn.
const wakeBatch = 32

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
	seq, err := w.s.later.Publish(ctx, rec.message(key, true))
	if err != nil {
		return err
	}
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

// lane brings back what is due in a lane, and says when to look again: at its next
// event, or now if there was more than a batch.
func (w *waker) lane(entry *laneEntry) (at time.Time, more bool, err error) {
	function, delay, err := parseLaneKey(entry.key)
	if err != nil {
		return at, false, err
	}
	ctx, brought := w.s.ctx, 0
	defer func() {
		if brought > 0 {
			w.s.poke(function)
		}
	}()
	last := func() (uint64, error) { return w.s.later.Last(ctx, entry.key) }
	for after := uint64(0); brought < wakeBatch; brought++ {
		m, err := w.s.later.Next(ctx, entry.key, after+1)
		if errors.Is(err, store.ErrNotFound) {
			return at, false, nil
		}
		if err != nil {
			return at, true, err
		}
		rec, _, errRead := decodeRecord(function, &m)
		if errRead == nil {
			now := time.Now()
			left, err := entry.sight.wait(now, m.Seq, rec.Due.Sub(now), delay, last)
			if err != nil {
				return at, true, err
			}
			if left > 0 {
				return now.Add(left), true, nil
			}
		}
		if err := w.bring(ctx, function, &m, &rec, errRead); err != nil {
			return at, true, err
		}
		after = m.Seq
	}
	return time.Now(), true, nil
}

// bring moves one event back to the queue of its function. An event that was brought
// back just before a crash is recognised by its name.
func (w *waker) bring(ctx context.Context, function string, m *store.Stored, rec *record, errRead error) error {
	if errRead != nil {
		// Whoever reads it from the queue will bury it.
		if _, err := w.s.queue.Publish(ctx, store.Message{Key: function, Meta: m.Meta, Data: m.Data}); err != nil {
			return err
		}
		return w.s.later.Delete(ctx, m.Seq)
	}
	rec.Due = time.Time{}
	status := rec.status(hearth.EventQueued, time.Now())
	w.s.note(&status)
	if _, err := w.s.queue.Publish(ctx, rec.message(rec.Function, true)); err != nil {
		return err
	}
	return w.s.later.Delete(ctx, m.Seq)
}
