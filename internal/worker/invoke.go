package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/pool"
)

// call is one invocation on its way through the worker. Nobody waits for it: each step
// is taken by whoever makes it possible, be it the releaser of a slot, the reader of the
// instance's socket or a timer. Calls are reused: a warm invocation allocates little
// here.
type call struct {
	w      *Worker
	waiter pool.Waiter
	timer  *time.Timer // runs while the invocation does
	stage  atomic.Uint32

	inv      *hearth.Invocation
	done     hearth.Completion
	since    time.Time // when it came
	patience *patience // of a caller who may give up; such a call is not reused

	// From stageRunning on:
	own    hearth.Invocation // a copy: inv is the caller's, who may have been told already
	inst   *instance
	lease  pool.Lease
	began  time.Time
	sent   *link.Call
	result *hearth.Result

	out *response // from stageStreaming on
}

// Stages of a call. The end of the invocation and the end of its time compete for the
// way out of the second and third.
const (
	stageWaiting uint32 = iota
	stageRunning
	stageStreaming
	stageOver
)

// grant is the answer to a queued waiter.
type grant struct {
	lease pool.Lease
	err   error
}

func answer(w *pool.Waiter, g grant) { w.Value.(*call).granted(g) }

func (w *Worker) newCall(inv *hearth.Invocation) *call {
	impatient := inv.Context != nil && inv.Context.Done() != nil
	c, ok := w.calls.Get().(*call)
	if impatient || !ok {
		c = &call{w: w}
		c.waiter.Value = c
		c.timer = time.AfterFunc(time.Hour, c.overran)
		c.timer.Stop()
	}
	if impatient {
		c.patience = &patience{}
	}
	return c
}

// reuse gives a call back that nobody else can come across any more.
func (c *call) reuse() {
	if c.patience != nil {
		return
	}
	c.inv, c.done, c.inst, c.sent, c.result, c.lease = nil, nil, nil, nil, nil, pool.Lease{}
	c.own = hearth.Invocation{}
	c.stage.Store(stageWaiting)
	c.w.calls.Put(c)
}

// Start serves one invocation and tells done what came of it, perhaps before it returns.
// It does not block. The invocation and its payload must stay as they are until then.
//
// Errors: hearth.ErrMoved, hearth.ErrCapacity, hearth.ErrShuttingDown,
// hearth.ErrInternal, or the context's. A function that fails, also in its init, is a
// Result.
func (w *Worker) Start(inv *hearth.Invocation, done hearth.Completion) {
	c := w.newCall(inv)
	c.inv, c.done, c.since = inv, done, time.Now()
	c.acquire(c.since)
}

// acquire takes a slot of an instance that lives, as far as can be seen: one that has
// just ended by itself may not have been taken out of the pool yet. Else the call queues,
// and whoever grants it a slot goes on with it: it must not be touched any more.
func (c *call) acquire(now time.Time) {
	w, group, patience, ctx := c.w, c.w.pool.Group(c.inv.Version), c.patience, c.inv.Context
	for {
		lease, start, err := group.Acquire(now, &c.waiter)
		if lease.Thaw {
			w.thaw(lease.Instance)
		}
		switch {
		case err != nil:
			c.refused(err)
			return
		case lease.Instance == nil:
			if start {
				w.start(group)
			}
			if patience != nil {
				patience.watch(ctx, c)
			}
			return
		case w.usable(lease, now):
			c.run(lease, now)
			return
		}
		now = time.Now()
	}
}

// usable tells whether a lease is of an instance that still takes invocations; if not,
// it is given back.
func (w *Worker) usable(lease pool.Lease, now time.Time) bool {
	inst := lease.Instance.Value.(*instance)
	if !inst.conn.Leaving() {
		return true
	}
	w.apply(inst.pooled, inst.pooled.Retire(now, hearth.EndCrashed))
	w.releaseAt(lease, now)
	return false
}

// granted is called when a queued call gets its answer.
func (c *call) granted(g grant) {
	now := time.Now()
	switch {
	case g.err != nil:
		c.refused(g.err)
	case c.w.usable(g.lease, now):
		c.run(g.lease, g.lease.Instance.Value.(*instance).chargedFrom(g.lease, c.since, now))
	default:
		c.acquire(now)
	}
}

// abandon is called when the caller does not want to wait any longer. It is too late once
// the call has a slot.
func (c *call) abandon() {
	if c.waiter.Abandon() {
		c.refused(c.inv.Context.Err())
	}
}

// patience is the watch over a context that may end while the call queues.
type patience struct {
	mu   sync.Mutex
	stop func() bool
	over bool // the call queues no more
}

// watch begins the watch, unless it has begun or is over.
func (p *patience) watch(ctx context.Context, c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && p.stop == nil {
		p.stop = context.AfterFunc(ctx, c.abandon)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.stop != nil {
		p.stop()
	}
}

// refused tells the caller why there is no slot. A failed init is the function's
// failure, not the platform's.
func (c *call) refused(err error) {
	inv, done := c.inv, c.done
	res, err := c.w.refusal(inv, err)
	if c.patience != nil {
		c.patience.end()
	}
	c.reuse()
	done.Complete(res, err)
}

func (w *Worker) refusal(inv *hearth.Invocation, err error) (*hearth.Result, error) {
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

func (w *Worker) releaseAt(lease pool.Lease, now time.Time) {
	next, destroy := lease.Release(now)
	if destroy {
		w.destroy(lease.Instance)
	}
	switch {
	case next.Waiter != nil:
		answer(next.Waiter, grant{lease: next.Lease})
	case w.pool.Awaited():
		w.poke() // for the room of one that is idle now
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
