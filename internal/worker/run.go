package worker

import (
	"errors"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/pool"
)

// Words of a REPORT line for an invocation that the handler did not end (Lambda API).
const (
	statusTimeout = "timeout"
	statusError   = "error"
)

var _ link.Owner = (*call)(nil)

// run sends the invocation over the link. It is charged from began on.
func (c *call) run(lease pool.Lease, began time.Time) {
	inv, inst := c.inv, lease.Instance.Value.(*instance)
	if c.patience != nil {
		c.patience.end()
	}
	c.inst, c.lease, c.began, c.own = inst, lease, began, *inv
	c.own.Payload, c.own.HTTP.Body = nil, nil
	timeout := inv.Version.Config.Timeout
	left := timeout
	if lease.Seq == 1 {
		left -= time.Since(began)
	}
	c.result = c.begun()
	lc := link.NewCall()
	lc.ID, lc.ARN, lc.TraceID = inv.ID, inv.InvokedARN, inv.TraceID
	lc.ClientContext, lc.Payload, lc.HTTP = inv.ClientContext, inv.Payload, inv.HTTP
	lc.Deadline, lc.Owner = began.Add(timeout), c
	inst.log.Start(began, inv.ID, inv.Version.Number)
	if inv.Started != nil {
		inv.Started(inst.id)
	}
	c.sent = lc
	c.stage.Store(stageRunning)
	c.timer.Reset(left)
	if err := inst.conn.Send(lc); err != nil {
		c.unsent(lc, err)
	}
}

// begun is what is known of the result while the invocation runs.
func (c *call) begun() *hearth.Result {
	res := &hearth.Result{Instance: c.inst.id, Seq: c.lease.Seq, Cold: c.lease.Cold, Version: c.own.Version.Number}
	res.Report.MemoryMB = c.own.Version.Config.MemoryMB
	res.Report.Queued = c.began.Sub(c.since)
	if c.lease.Seq == 1 {
		res.Report.Init = c.inst.initReport()
	}
	return res
}

// unsent ends a call that the link has refused.
func (c *call) unsent(lc *link.Call, err error) {
	if !c.end(stageRunning) {
		return // its time was up
	}
	lc.Release()
	var broken *link.ProtocolError
	if errors.Is(err, link.ErrClosed) || errors.As(err, &broken) {
		c.crashed(false)
		return
	}
	c.result.Payload, c.result.FunctionError = encode(unsendable(c.own.ID, err)), hearth.Unhandled // nobody died
	c.finish(statusError, false)
}

// end takes the call out of a stage for good. It returns false if somebody was faster.
func (c *call) end(from uint32) bool { return c.stage.CompareAndSwap(from, stageOver) }

// leave takes the call out of whichever stage it is in, for good. It returns false if
// somebody was faster. A call that runs may begin to stream at this very moment, but none
// that streams runs again.
func (c *call) leave() (streaming, first bool) {
	if c.end(stageRunning) {
		return false, true
	}
	return true, c.end(stageStreaming)
}

// CallEnded is called by the link: the result is there, or the instance has died.
func (c *call) CallEnded(lc *link.Call) {
	streaming, first := c.leave()
	if !first {
		return // its time was up, and the timer may be cancelling lc at this moment
	}
	err := lc.Err
	c.result.Payload, c.result.Body, c.result.Memory = lc.Response, lc.Body, lc.Memory
	if lc.Failed {
		c.result.FunctionError = hearth.Unhandled
	}
	lc.Release()
	switch {
	case err == nil:
		c.finish("", streaming)
	case errors.Is(err, link.ErrResponseTooLarge):
		c.result.Payload, c.result.FunctionError = encode(tooLarge(c.own.ID)), hearth.Unhandled
		c.finish(statusError, streaming)
	default:
		c.crashed(streaming)
	}
}

// crashed finishes the call when it is known how the instance died.
func (c *call) crashed(streaming bool) {
	c.w.tasks.Go(func() {
		doc := c.inst.verdict().failure(c.own.ID)
		c.result.Payload, c.result.FunctionError = encode(doc), hearth.Unhandled
		ended := time.Now()
		c.conclude(ended, statusError, streaming, c.measured(ended))
	})
}

// overran is called when the invocation's time is up: it is answered, and its instance
// retires. The others there may finish (design 9).
func (c *call) overran() {
	streaming, first := c.leave()
	if !first {
		return
	}
	w, inst, inv := c.w, c.inst, &c.own
	c.result.Payload, c.result.FunctionError = encode(timedOut(inv.ID, inv.Version.Config.Timeout)), hearth.Unhandled
	inst.conn.Cancel(c.sent)
	w.apply(inst.pooled, inst.pooled.Retire(time.Now(), hearth.EndTimedOut))
	if streaming {
		c.out.stream.End()
	}
	ended := time.Now()
	c.conclude(ended, statusTimeout, streaming, c.measured(ended))
}

// finish concludes the call. What takes longer than a moment must not keep the reader of
// the socket, who calls this, from the other calls.
func (c *call) finish(status string, streaming bool) {
	ended := time.Now()
	measure := c.measured(ended)
	if c.own.WantLog || measure {
		c.w.tasks.Go(func() { c.conclude(ended, status, streaming, measure) })
		return
	}
	c.conclude(ended, status, streaming, false)
}

// measured tells whether the memory is to be read for the report of a call that ends.
func (c *call) measured(ended time.Time) bool {
	return c.inst.gauge.due(ended, c.lease.Seq, ended.Sub(c.began), &c.w.samples)
}

// conclude records an invocation that has ended, gives its slot back and tells the
// caller. If measure is set it reads the memory first, which takes a moment.
func (c *call) conclude(ended time.Time, status string, streaming, measure bool) {
	w, inst, inv, res, done := c.w, c.inst, &c.own, c.result, c.done
	res.Report.Duration = ended.Sub(c.began)
	if measure {
		inst.measure()
	}
	res.Report.MaxMemoryMB = inst.gauge.peakMB()
	inst.log.Finish(ended, inv.ID, res.Report, status)
	if inv.WantLog {
		res.LogTail = inst.log.Tail(inv.ID, hearth.MaxLogTailBytes)
	}
	w.releaseAt(c.lease, ended)
	stopped := c.timer.Stop()
	if streaming {
		c.out.end(res)
		return
	}
	// A timer that cannot be stopped looks at the call once more, and after a time-out
	// the link still knows it.
	if stopped && status != statusTimeout {
		c.reuse()
	}
	done.Complete(res, nil)
}
