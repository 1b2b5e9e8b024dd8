package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/pool"
)

// call is an invocation's place in the queue and the timer it waits by. Calls are
// reused: a warm invocation allocates nothing here.
type call struct {
	waiter  pool.Waiter
	granted chan grant // holds the one answer that a queued waiter gets
	timer   *time.Timer
}

// grant is the answer to a queued waiter.
type grant struct {
	lease pool.Lease
	err   error
}

var calls = sync.Pool{New: func() any {
	c := &call{granted: make(chan grant, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	c.waiter.Value = c
	return c
}}

func answer(w *pool.Waiter, g grant) { w.Value.(*call).granted <- g }

// Invoke serves one invocation. It blocks until the result is there, the invocation
// is refused, or ctx ends while it queues; once it runs, the function's time-out is
// the only limit. It does not use the payload after it has returned.
//
// Errors: hearth.ErrMoved, hearth.ErrCapacity, hearth.ErrShuttingDown,
// hearth.ErrInternal, or the context's. A function that fails, also in its init, is a
// Result.
func (w *Worker) Invoke(ctx context.Context, inv *hearth.Invocation) (*hearth.Result, error) {
	c := calls.Get().(*call)
	now := time.Now()
	lease, waited, err := w.acquireLive(ctx, c, inv, now)
	if err != nil {
		calls.Put(c)
		return w.refused(inv, err)
	}
	began := now
	if waited {
		began = lease.Instance.Value.(*instance).chargedFrom(lease, now, time.Now())
	}
	res := w.run(c, inv, lease, began)
	res.Report.Queued = began.Sub(now)
	calls.Put(c)
	return res, nil
}

// acquire takes a slot, and tells whether the invocation had to wait for it.
// acquireLive takes a slot of an instance that lives, as far as can be seen: one that
// has just ended by itself may not have been taken out of the pool yet.
func (w *Worker) acquireLive(ctx context.Context, c *call, inv *hearth.Invocation, now time.Time) (pool.Lease, bool, error) {
	for waited := false; ; waited = true {
		lease, queued, err := w.acquire(ctx, c, inv, now)
		if err != nil {
			return lease, queued, err
		}
		inst := lease.Instance.Value.(*instance)
		if !inst.conn.Leaving() {
			return lease, waited || queued, nil
		}
		now = time.Now()
		w.apply(inst.pooled, inst.pooled.Retire(now, hearth.EndCrashed))
		w.releaseAt(lease, now)
	}
}

func (w *Worker) acquire(ctx context.Context, c *call, inv *hearth.Invocation, now time.Time) (lease pool.Lease, waited bool, err error) {
	group := w.pool.Group(inv.Version)
	lease, start, err := group.Acquire(now, &c.waiter)
	if lease.Thaw {
		w.thaw(lease.Instance)
	}
	if lease.Instance != nil || err != nil {
		return lease, false, err
	}
	if start {
		w.start(group)
	}
	select {
	case g := <-c.granted:
		return g.lease, true, g.err
	case <-ctx.Done():
	}
	if c.waiter.Abandon() {
		return pool.Lease{}, true, ctx.Err()
	}
	if g := <-c.granted; g.err == nil {
		w.release(g.lease)
	}
	return pool.Lease{}, true, ctx.Err()
}

// refused turns a pool's refusal into what the caller is told. A failed init is the
// function's failure, not the platform's.
func (w *Worker) refused(inv *hearth.Invocation, err error) (*hearth.Result, error) {
	var failed *pool.StartError
	switch {
	case errors.As(err, &failed) && failed.Doc != nil:
		return &hearth.Result{
			Payload: failed.Doc, FunctionError: hearth.Unhandled, Cold: true, Version: inv.Version.Number, LogTail: failed.Log,
			Report: hearth.Report{MemoryMB: inv.Version.Config.MemoryMB},
		}, nil
	case errors.As(err, &failed) && hearth.CodeOf(failed.Err) == hearth.ErrCapacity:
		return nil, failed.Err
	case errors.As(err, &failed):
		return nil, hearth.Errorf(hearth.ErrInternal, "no instance of %s could be started: %v", inv.Version.Function, failed.Err).WithCause(err)
	case errors.Is(err, pool.ErrClosed) && w.closing.Load():
		return nil, hearth.Errorf(hearth.ErrShuttingDown, "the platform is shutting down")
	case errors.Is(err, pool.ErrClosed):
		if w.cfg.InUse != nil && w.cfg.InUse(inv.Version) {
			w.pool.Group(inv.Version).Reopen() // it was gone and is back: a restore
		}
		return nil, errMoved
	}
	return nil, err
}

// run sends the invocation over the link and waits for what comes of it.
func (w *Worker) run(c *call, inv *hearth.Invocation, lease pool.Lease, began time.Time) *hearth.Result {
	inst := lease.Instance.Value.(*instance)
	timeout := inv.Version.Config.Timeout
	lc := link.NewCall()
	lc.ID, lc.ARN, lc.TraceID = inv.ID, inv.InvokedARN, inv.TraceID
	lc.ClientContext, lc.Payload, lc.HTTP = inv.ClientContext, inv.Payload, inv.HTTP
	lc.Deadline = began.Add(timeout)
	res := &hearth.Result{Instance: inst.id, Seq: lease.Seq, Cold: lease.Cold, Version: inv.Version.Number}
	res.Report.MemoryMB = inv.Version.Config.MemoryMB
	left := timeout
	if lease.Seq == 1 {
		res.Report.Init, left = inst.initReport(), time.Until(lc.Deadline)
	}
	inst.log.Start(began, inv.ID, inv.Version.Number)
	if inv.Started != nil {
		inv.Started(inst.id)
	}
	status := w.exchange(c, inst, lc, left, inv, res)
	if status == statusStreaming {
		return w.stream(inst, lc, inv, lease, began, res)
	}
	w.finish(inst, inv, lease, began, res, status)
	return res
}

// finish records an invocation that has ended and gives its slot back.
func (w *Worker) finish(inst *instance, inv *hearth.Invocation, lease pool.Lease, began time.Time, res *hearth.Result, status string) {
	ended := time.Now()
	res.Report.Duration = ended.Sub(began)
	res.Report.MaxMemoryMB = inst.peakMB(ended, memoryAge(res))
	inst.log.Finish(ended, inv.ID, res.Report, status)
	if inv.WantLog {
		res.LogTail = inst.log.Tail(inv.ID, hearth.MaxLogTailBytes)
	}
	w.releaseAt(lease, ended)
}

// memoryAge is how old the memory figure of an invocation's REPORT line may be: quick
// ones are many, and memory is sized by what the long ones and the first need.
func memoryAge(res *hearth.Result) time.Duration {
	switch took := res.Report.Duration; {
	case res.Seq == 1:
		return 0
	case took < quick:
		return sampleEvery
	default:
		return min(max(took/10, sampleLeast), sampleEvery)
	}
}

// Words of a REPORT line for an invocation that the handler did not end (Lambda API).
const (
	statusTimeout = "timeout"
	statusError   = "error"
	// statusStreaming is for no line: the response has begun and is not complete.
	statusStreaming = "streaming"
)

// exchange fills res with the instance's answer, or with the failure that stands in
// for it, and returns the REPORT line's status.
func (w *Worker) exchange(c *call, inst *instance, lc *link.Call, timeout time.Duration, inv *hearth.Invocation, res *hearth.Result) string {
	if err := inst.conn.Send(lc); err != nil {
		lc.Release()
		var broken *link.ProtocolError
		if !errors.Is(err, link.ErrClosed) && !errors.As(err, &broken) { // nobody died
			res.Payload, res.FunctionError = encode(unsendable(inv.ID, err)), hearth.Unhandled
			return statusError
		}
		return inst.crashed(inv.ID, res)
	}
	c.timer.Reset(timeout)
	select {
	case <-lc.Done():
		c.timer.Stop()
	case <-c.timer.C:
		if !w.overran(inst, lc, inv, res) {
			return statusTimeout
		}
	}
	if lc.Stream != nil {
		c.timer.Stop()
		return statusStreaming
	}
	return inst.conclude(lc, inv, res)
}

// conclude fills res with the result of a call that is done, which it releases.
func (inst *instance) conclude(lc *link.Call, inv *hearth.Invocation, res *hearth.Result) string {
	err := lc.Err
	res.Payload = lc.Response
	if lc.Failed {
		res.FunctionError = hearth.Unhandled
	}
	lc.Release()
	switch {
	case err == nil:
		return ""
	case errors.Is(err, link.ErrResponseTooLarge):
		res.Payload, res.FunctionError = encode(tooLarge(inv.ID)), hearth.Unhandled
		return statusError
	}
	return inst.crashed(inv.ID, res)
}

// overran answers an invocation whose time is up, and retires its instance: the
// others there may finish (design 9). It returns true if the answer came after all.
func (w *Worker) overran(inst *instance, lc *link.Call, inv *hearth.Invocation, res *hearth.Result) bool {
	select {
	case <-lc.Done():
		return true
	default:
	}
	res.Payload, res.FunctionError = encode(timedOut(inv.ID, inv.Version.Config.Timeout)), hearth.Unhandled
	inst.conn.Cancel(lc)
	w.apply(inst.pooled, inst.pooled.Retire(time.Now(), hearth.EndTimedOut))
	return false
}

// crashed waits until it is known how the instance died and says so.
func (inst *instance) crashed(request string, res *hearth.Result) string {
	res.Payload, res.FunctionError = encode(inst.verdict().failure(request)), hearth.Unhandled
	return statusError
}

func (w *Worker) release(lease pool.Lease) { w.releaseAt(lease, time.Now()) }

func (w *Worker) releaseAt(lease pool.Lease, now time.Time) {
	next, destroy := lease.Release(now)
	if next.Waiter != nil {
		answer(next.Waiter, grant{lease: next.Lease})
	}
	if destroy {
		w.destroy(lease.Instance)
	}
}

// apply carries out what the pool decided about an instance.
func (w *Worker) apply(inst *pool.Instance, out pool.Outcome) {
	for _, g := range out.Grants {
		answer(g.Waiter, grant{lease: g.Lease})
	}
	for _, waiter := range out.Fail {
		answer(waiter, grant{err: out.Err})
	}
	for range out.Start {
		w.start(inst.Group())
	}
	if out.Destroy {
		w.destroy(inst)
	}
}
