package subject

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
	"hearth/internal/trigger/batch"
)

// recoverTick is how often a reader looks whether it has got back all that an earlier
// one held when it died.
const recoverTick = 250 * time.Millisecond

// maxErrorBytes of a failure's message go with a dead letter (Lambda: 1 KB).
const maxErrorBytes = 1024

// pulled is the end of a pull.
type pulled struct {
	list []*store.Taken
	err  error
}

// ended is the end of an invocation.
type ended struct {
	batch              *batch.Batch
	verdict            batch.Verdict
	errorType, message string
}

// reading is the state of a reader at work. Its goroutine alone uses it.
type reading struct {
	*reader
	source  Source
	b       *batch.Batcher
	held    map[uint64]*store.Taken
	letters map[uint64]hearth.DeadLetter // given up, and not in the dead-letter store yet

	pulls   chan pulled // has room for one
	pulling bool
	stopped context.CancelFunc // ends the pull under way
	ends    chan ended
	running int
	// recovering: messages that an earlier reader held may still come, so nothing of a
	// partition may begin.
	recovering bool
	looked     time.Time // when that was last asked
	failure    error     // of the source
}

// read takes messages and invokes the function with them until the reader is stopped or
// the source fails. It returns when no invocation is under way.
func (r *reader) read(source Source) error {
	ctx, cancel := context.WithCancel(r.life)
	defer cancel()
	w := &reading{
		reader: r, source: source, b: r.batcher(), held: map[uint64]*store.Taken{}, letters: map[uint64]hearth.DeadLetter{},
		pulls: make(chan pulled, 1), stopped: cancel, ends: make(chan ended, r.window()), recovering: r.nats.PartitionToken > 0,
	}
	w.recover(ctx)
	beat := time.NewTicker(r.s.cfg.Lease / 3)
	defer beat.Stop()
	for ctx.Err() == nil || w.running > 0 || w.pulling {
		if ctx.Err() == nil {
			w.start(ctx)
		}
		w.show()
		if !w.wait(ctx, beat.C) {
			return nil // nobody waits for the invocations any more
		}
	}
	w.release()
	w.show()
	return w.failure
}

// start begins all that may begin now.
func (w *reading) start(ctx context.Context) {
	now := time.Now()
	for !w.recovering {
		next, ok := w.b.Next(now)
		if !ok {
			break
		}
		w.invoke(next)
	}
	n := w.b.Want(now)
	if w.recovering {
		n = min(w.b.Room(), w.nats.BatchSize)
	}
	if n == 0 || w.pulling {
		return
	}
	w.pulling = true
	w.s.tasks.Go(func() {
		list, err := w.source.Pull(ctx, n)
		w.pulls <- pulled{list, err}
	})
}

// wait waits for something to happen and takes note of it. It returns false when the
// service has given up its hold on invocations.
func (w *reading) wait(ctx context.Context, beat <-chan time.Time) bool {
	var later <-chan time.Time
	now := time.Now()
	wake := w.b.Wake(now)
	if w.recovering {
		wake = w.looked.Add(recoverTick)
	}
	if !wake.IsZero() && ctx.Err() == nil {
		timer := time.NewTimer(wake.Sub(now))
		defer timer.Stop()
		later = timer.C
	}
	done := ctx.Done()
	if ctx.Err() != nil {
		done = nil
	}
	select {
	case p := <-w.pulls:
		w.pulling = false
		w.take(ctx, p)
	case e := <-w.ends:
		w.running--
		w.end(e)
	case <-beat:
		w.extend()
	case <-later:
		w.recover(ctx)
	case <-done:
	case <-w.s.work.Done():
		return false
	}
	return true
}

// take holds what was pulled.
func (w *reading) take(ctx context.Context, p pulled) {
	if p.err != nil && ctx.Err() == nil {
		w.failure = p.err
		w.stopped()
	}
	for _, m := range p.list {
		w.b.Add(batch.Message{Seq: m.Seq, Key: keyOf(m.Subject, w.nats.PartitionToken), Size: sizeOf(m)})
		w.held[m.Seq] = m // the newer lease, if it was held already
	}
}

// recover looks whether messages that an earlier reader held are all here.
func (w *reading) recover(ctx context.Context) {
	if !w.recovering {
		return
	}
	w.looked = time.Now()
	p, err := w.source.Position(ctx, false)
	w.recovering = err != nil || p.Leased > len(w.held)
}

// invoke starts an invocation; its end comes by w.ends.
func (w *reading) invoke(next *batch.Batch) {
	records := make([]record, len(next.Seqs))
	for i, seq := range next.Seqs {
		records[i] = recordOf(w.consumer.Stream, w.held[seq], next.Tries[i]-1)
	}
	payload := encode(records)
	w.running++
	w.s.calls.Go(func() {
		e := ended{batch: next}
		if len(payload) > hearth.MaxPayloadBytes {
			err := hearth.Errorf(hearth.ErrTooLarge, "The event would have %d bytes; at most %d are allowed.", len(payload), hearth.MaxPayloadBytes)
			e.verdict, e.errorType, e.message = judge(nil, err, next.Seqs)
		} else {
			result, err := w.s.deps.Invoker.Invoke(w.s.work, w.function, hearth.NewRequestID(), payload)
			e.verdict, e.errorType, e.message = judge(result, err, next.Seqs)
		}
		w.ends <- e // has room for all
	})
}

// end settles a batch.
func (w *reading) end(e ended) {
	now := time.Now()
	settled := w.b.Done(now, e.batch, e.verdict)
	w.count(e, &settled)
	var acks []*store.Taken
	for _, seq := range settled.Ack {
		acks = append(acks, w.held[seq])
		delete(w.held, seq)
	}
	w.acknowledge(acks)
	for _, d := range settled.Dead {
		w.letters[d.Seq] = w.letter(w.held[d.Seq], d.Attempts, e, now)
	}
	w.bury()
}

// acknowledge tells the engine. If that fails the messages come again when their lease
// is over.
func (w *reading) acknowledge(list []*store.Taken) {
	if err := w.source.Ack(w.s.work, list); err != nil && w.s.work.Err() == nil {
		w.s.cfg.Log.Warn("trigger: messages are processed and cannot be acknowledged; they will come again", "trigger", w.key, "messages", len(list), "error", err)
	}
}

// bury puts what was given up into the dead-letter store. What does not get there is
// held, and tried again with the next beat.
func (w *reading) bury() {
	var acks []*store.Taken
	for seq, letter := range w.letters {
		if err := w.s.deps.DeadLetters.Bury(w.s.work, letter); err != nil {
			w.s.cfg.Log.Warn("trigger: a message cannot be put into the dead-letter store; it is tried again", "trigger", w.key, "sequence", seq, "error", err)
			continue
		}
		w.s.deps.Events.Emit(hearth.Event{Kind: "trigger.dead", Function: w.function, Reason: letter.ErrorType,
			Detail: fmt.Sprintf("trigger %s: message %d of stream %s: %s", w.trigger.Name, seq, w.consumer.Stream, clip(letter.Error, 200))})
		acks = append(acks, w.held[seq])
		delete(w.held, seq)
		delete(w.letters, seq)
	}
	w.acknowledge(acks)
}

// letter is a message as an event of its own, which can be replayed. Its id follows from
// the message, so that a letter that is written twice can be told.
func (w *reading) letter(m *store.Taken, attempts int, e ended, now time.Time) hearth.DeadLetter {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s/%d/%d", w.key, w.consumer.Created, w.consumer.Stream, m.Seq, m.Time.UnixNano()))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return hearth.DeadLetter{
		ID:       fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]),
		Function: w.function, Accepted: m.Time, Died: now, Attempts: attempts, Condition: hearth.ConditionExhausted,
		ErrorType: e.errorType, Error: clip(e.message, maxErrorBytes),
		Payload: encode([]record{recordOf(w.consumer.Stream, m, attempts)}),
	}
}

// extend keeps the leases of all that is held, and tries again what could not be buried.
func (w *reading) extend() {
	for _, m := range w.held {
		if err := w.source.Extend(m); err != nil {
			w.s.cfg.Log.Warn("trigger: a lease cannot be extended", "trigger", w.key, "error", err)
			break
		}
	}
	w.bury()
}

// release gives back what is held, in order, so that it comes again at once.
func (w *reading) release() {
	seqs := make([]uint64, 0, len(w.held))
	for seq := range w.held {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		if err := w.source.Release(w.held[seq]); err != nil {
			return // their leases will end
		}
	}
}

// clip shortens s to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
