package worker

import (
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
	"hearth/internal/pool"
)

// response is a streamed response. Whoever invoked reads it; the invocation itself is
// looked after by a task of the worker's, so that the slot is free when the function
// has ended, however slow the reader is.
type response struct {
	stream *link.Stream
	ended  chan struct{} // closed when result is set
	result *hearth.Result

	mu    sync.Mutex
	onEnd func(*hearth.Result)
}

var _ hearth.ResponseStream = (*response)(nil)

func (r *response) ContentType() string   { return r.stream.ContentType }
func (r *response) Next() ([]byte, error) { return r.stream.Next() }
func (r *response) Close() error          { return r.stream.Close() }

func (r *response) Result() *hearth.Result {
	<-r.ended
	return r.result
}

func (r *response) OnEnd(f func(*hearth.Result)) {
	r.mu.Lock()
	select {
	case <-r.ended:
		r.mu.Unlock()
		f(r.result)
		return
	default:
	}
	r.onEnd = f
	r.mu.Unlock()
}

func (r *response) end(res *hearth.Result) {
	r.mu.Lock()
	r.result = res
	close(r.ended)
	f := r.onEnd
	r.mu.Unlock()
	if f != nil {
		f(res)
	}
}

// stream goes on with an invocation whose response has begun: it returns the response
// to a caller who wants it in parts, and collects it for all others.
func (w *Worker) stream(inst *instance, lc *link.Call, inv *hearth.Invocation, lease pool.Lease, began time.Time, res *hearth.Result) *hearth.Result {
	out := &response{stream: lc.Stream, ended: make(chan struct{})}
	kept, end := *inv, *res
	kept.Payload = nil // the caller's
	deadline := lc.Deadline
	w.tasks.Go(func() {
		status := w.await(inst, lc, &kept, deadline, &end)
		w.finish(inst, &kept, lease, began, &end, status)
		out.end(&end)
	})
	if !inv.WantStream {
		return collect(out, inv.ID)
	}
	res.Stream = out
	return res
}

// await waits for the end of an invocation that streams, and returns the status for
// its REPORT line.
func (w *Worker) await(inst *instance, lc *link.Call, inv *hearth.Invocation, deadline time.Time, end *hearth.Result) string {
	stream := lc.Stream
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-lc.Done():
	case <-timer.C:
		if !w.overran(inst, lc, inv, end) {
			stream.End()
			return statusTimeout
		}
	}
	return inst.conclude(lc, inv, end)
}

// collect gathers a streamed response for a caller who wants it whole.
func collect(out *response, request string) *hearth.Result {
	var body []byte
	whole := true
	for {
		part, err := out.Next()
		if err != nil {
			break
		}
		if len(body)+len(part) > hearth.MaxPayloadBytes {
			whole = false
			out.Close()
			break
		}
		body = append(body, part...)
	}
	res := out.Result()
	switch {
	case res.FunctionError != "":
	case whole:
		res.Payload = body
	default:
		res.Payload, res.FunctionError = encode(tooLarge(request)), hearth.Unhandled
	}
	return res
}
