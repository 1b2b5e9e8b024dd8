package async

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"hearth/internal/async/ledger"
	"hearth/internal/hearth"
	"hearth/internal/store"
)

// attemptSlack is how much longer than its function's time-out an attempt may take and
// still count as alive: it may wait for an instance, whose start may take long.
const attemptSlack = 5 * time.Minute

// Pauses between tries to write an outcome down when the store does not take it, for
// example because the disk is full.
const (
	minSettlePause = 100 * time.Millisecond
	maxSettlePause = 5 * time.Second
)

// job is an event that has been taken from the queue, with its turn at the gate.
type job struct {
	turn     Turn
	delivery *store.Delivery
	rec      record
	err      error // it cannot be read

	function *hearth.Function
	version  *hearth.Version
	errFind  error // it has none
}

// read finds out what a delivery is.
func (s *Service) read(turn Turn, d *store.Delivery) *job {
	j := &job{turn: turn, delivery: d}
	if j.rec, _, j.err = s.clock.decodeRecord(turn.Function, &d.Stored); j.err == nil {
		j.function, j.version, j.errFind = s.deps.Functions.Resolve(j.rec.Function, j.rec.Qualifier)
	}
	return j
}

// memoryMB is what an attempt holds: its share of an instance.
func (j *job) memoryMB() int {
	if j.err != nil || j.errFind != nil {
		return 0
	}
	return shareMB(&j.version.Config)
}

func shareMB(c *hearth.Config) int { return (c.MemoryMB + c.Slots() - 1) / c.Slots() }

// attempt makes one attempt at an event, or finds that it must not be made, and writes
// down what follows. Whatever it does not get to write leaves the event in the queue.
func (s *Service) attempt(j *job) {
	defer s.dispatch()
	defer func() { s.gate.Done(j.turn) }()
	if j.err != nil {
		s.unreadable(j.turn, j.delivery, j.err)
		return
	}
	rec, limit := &j.rec, attemptSlack
	var cfg *hearth.AsyncConfig
	if j.errFind == nil {
		limit += j.version.Config.Timeout
		cfg = j.function.Async
	} else if f, _, err := s.deps.Functions.Resolve(rec.Function, ""); err == nil {
		cfg = f.Async // only the version or alias is gone
	}
	now := time.Now()
	status := rec.status(hearth.EventRunning, now)
	status.Attempt++
	held := s.holds.take(j.delivery, takeLease(now, s.cfg.Lease, limit), status)
	defer s.holds.drop(held)

	policy, mark := PolicyOf(cfg), ledger.MarkOf(j.delivery.Seq, rec.ID)
	var result *hearth.Result
	var decision Decision
	if _, died := s.died.Load(mark); died {
		rec.ErrorType, rec.Error = typeDied, "The platform ended while this attempt was under way."
		rec.Progress, decision = policy.After(now, rec.Progress, Refused)
	} else if decision = policy.Before(now, rec.Progress); decision.Verdict == Run {
		var outcome Outcome
		result, outcome = s.run(j, held, mark)
		now = time.Now()
		rec.Progress, decision = policy.After(now, rec.Progress, outcome)
	}
	if s.settle(held, cfg, decision, &ending{rec: rec, now: now, condition: decision.Condition, result: result}) {
		s.died.Delete(mark)
		s.warn("cannot note that an attempt is over", s.begun.End(mark))
	}
}

// typeDied is the error of an attempt that the platform has not outlived.
const typeDied = "Hearth.PlatformEnded"

// run makes an attempt, unless it is clear beforehand what comes of it. It is noted
// before it begins: an event that brings the whole platform down is known by that at the
// next start, and then waits longer each time, as any event that is refused.
func (s *Service) run(j *job, held *hold, mark ledger.Mark) (*hearth.Result, Outcome) {
	rec := &j.rec
	switch {
	case j.errFind != nil:
		rec.ErrorType, rec.Error = string(hearth.CodeOf(j.errFind)), clip(j.errFind.Error(), maxErrorBytes)
		return nil, Impossible
	case j.function.Reserved != nil && *j.function.Reserved == 0:
		rec.ErrorType, rec.Error = string(hearth.ErrReservedLimit), "The function's reserved concurrency is 0."
		return nil, ZeroReserve
	}
	s.warn("cannot note that an attempt begins", s.begun.Begin(mark))
	return s.try(rec, held)
}

func (s *Service) warn(what string, err error) {
	if err != nil {
		s.cfg.Log.Warn("async: "+what, "error", err)
	}
}

// try calls the function and judges what comes back.
func (s *Service) try(rec *record, held *hold) (*hearth.Result, Outcome) {
	type reply struct {
		result *hearth.Result
		err    error
	}
	replies := make(chan reply, 1)
	event := rec.Event // the call may outlive the attempt
	s.orphans.Go(func() {
		result, err := s.deps.Invoker.Invoke(s.ctx, &event, func(instance string) {
			s.holds.change(held, func(h *hold) { h.status.Instance = instance })
		})
		replies <- reply{result, err}
	})
	select {
	case r := <-replies:
		outcome := judge(rec, r.result, r.err)
		if outcome == Impossible && s.isThere(rec, r.err) {
			outcome = Refused
		}
		if s.stopping.Load() && outcome != Succeeded && shutDown(rec, r.err) {
			outcome = Interrupted
		}
		return r.result, outcome
	case <-s.ctx.Done():
		return nil, Interrupted
	}
}

// isThere tells whether something was not found although the function is there: then it
// was lost under the attempt, for example the code of a version that was just replaced,
// and the next attempt finds another.
func (s *Service) isThere(rec *record, err error) bool {
	if hearth.CodeOf(err) != hearth.ErrNotFound {
		return false
	}
	_, _, err = s.deps.Functions.Resolve(rec.Function, rec.Qualifier)
	return err == nil
}

// shutDown tells whether an attempt failed because the platform is stopping.
func shutDown(rec *record, err error) bool {
	return errors.Is(err, context.Canceled) || err != nil && hearth.CodeOf(err) == hearth.ErrShuttingDown ||
		rec.ErrorType == hearth.TypeInstanceFailed
}

// judge reads an attempt's outcome and notes the error.
func judge(rec *record, result *hearth.Result, err error) Outcome {
	if err != nil {
		code := hearth.CodeOf(err)
		rec.ErrorType, rec.Error = string(code), clip(err.Error(), maxErrorBytes)
		switch code {
		case hearth.ErrNotFound, hearth.ErrInvalid, hearth.ErrInvalidRequest, hearth.ErrTooLarge,
			hearth.ErrForbidden, hearth.ErrNotImplemented:
			return Impossible
		}
		return Refused
	}
	if result.FunctionError == "" {
		rec.ErrorType, rec.Error = "", ""
		return Succeeded
	}
	var doc hearth.FailureDoc
	if json.Unmarshal(result.Payload, &doc) == nil && doc.ErrorType+doc.ErrorMessage != "" {
		rec.ErrorType, rec.Error = clip(doc.ErrorType, maxErrorTypeBytes), clip(doc.ErrorMessage, maxErrorBytes)
	} else {
		rec.ErrorType, rec.Error = result.FunctionError, clip(string(result.Payload), maxErrorBytes)
	}
	if doc.ErrorType == hearth.TypeInstanceFailed { // others, or the platform, took it down
		return Refused
	}
	return Failed
}

// settle writes a decision down, and then takes the event out of the queue. It tries
// until that has worked, keeping the lease, or until the service closes or the lease
// is lost: then it returns false, and the event is attempted again.
func (s *Service) settle(held *hold, cfg *hearth.AsyncConfig, decision Decision, end *ending) bool {
	s.holds.change(held, func(h *hold) { h.lease.settle() })
	if decision.Verdict == Restore {
		status := end.rec.status(hearth.EventQueued, end.now)
		s.note(&status)
		s.release(held.delivery)
		return true
	}
	for pause := minSettlePause; ; pause = min(2*pause, maxSettlePause) {
		if decision.Verdict != Finish && s.holds.lost(held, time.Now()) {
			return false // whoever has it now decides
		}
		err := s.write(cfg, decision, end)
		if err == nil {
			err = held.delivery.Ack(s.ctx)
		}
		if err == nil {
			break
		}
		if s.ctx.Err() != nil {
			return false
		}
		if errors.Is(err, store.ErrTooLarge) && lighten(end, &decision) {
			continue // to try the same again cures nothing
		}
		s.cfg.Log.Warn("async: cannot write down what came of an event, will try again",
			"function", end.rec.Function, "request", end.rec.ID, "error", err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return false
		}
	}
	s.queue.gone(held.delivery.Seq)
	s.settled(held, decision, end)
	return true
}

// lighten makes the outcome of an event smaller that is larger than the engine takes,
// one step at a time: the error's text goes first, then the next attempt, and at last
// all but the payload. It returns false when nothing is left to go. Events are accepted
// only with room to spare, so this is for those from before a smaller max_payload.
func lighten(end *ending, decision *Decision) bool {
	rec := end.rec
	switch {
	case rec.Error != "":
		rec.Error = ""
	case decision.Verdict == Retry:
		*decision = Decision{Verdict: Bury, Condition: hearth.ConditionRejected}
		end.condition = hearth.ConditionRejected
	case rec.ErrorType != "" || rec.ClientContext != nil || rec.TraceID != "" || rec.InvokedARN != "":
		rec.ErrorType, rec.ClientContext, rec.TraceID, rec.InvokedARN = "", nil, "", ""
	default:
		return false
	}
	return true
}

// write makes durable what follows from a decision.
func (s *Service) write(cfg *hearth.AsyncConfig, decision Decision, end *ending) error {
	if decision.Verdict == Retry {
		return s.waker.put(s.ctx, end.rec, end.now.Add(decision.Delay), decision.Delay)
	}
	return s.conclude(s.ctx, cfg, end)
}

// settled tells those who want to know.
func (s *Service) settled(held *hold, decision Decision, end *ending) {
	t := s.tally.of(end.rec.Function)
	status := end.rec.status(hearth.EventSucceeded, end.now)
	status.Condition = decision.Condition
	switch decision.Verdict {
	case Finish:
		t.finished.add(end.now)
		t.succeeded.Add(1)
	case Retry:
		t.retries.Add(1)
		status.State, status.NextAttempt = hearth.EventRetrying, end.rec.Due
		s.emit("async.retrying", end.rec, end.rec.ErrorType, "attempt "+itoa(end.rec.Attempts)+" failed; the next one in "+decision.Delay.String())
	case Bury:
		t.finished.add(end.now)
		t.dead.Add(1)
		status.State = hearth.EventDead
		s.emit("async.dead", end.rec, decision.Condition, end.rec.Error)
	}
	if end.result != nil {
		status.Instance = end.result.Instance
	}
	s.note(&status)
	s.holds.drop(held) // from here on the ledger speaks
}

// unreadable buries what is no event, so that it does not come back for ever.
func (s *Service) unreadable(turn Turn, d *store.Delivery, why error) {
	s.cfg.Log.Error("async: unreadable event, it goes to the dead-letter store", "function", turn.Function, "error", why)
	now := time.Now()
	rec := &record{
		Event:    Event{ID: "unreadable-" + itoa(int(d.Seq)), Function: turn.Function, Payload: d.Data},
		Progress: Progress{Accepted: d.Time}, Error: why.Error(),
	}
	err := s.bury(s.ctx, &ending{rec: rec, now: now, condition: hearth.ConditionRejected})
	if err == nil {
		err = d.Ack(s.ctx)
	}
	if err == nil {
		s.queue.gone(d.Seq)
	} else {
		s.cfg.Log.Warn("async: unreadable event stays in the queue", "error", err)
	}
}
