package worker

import (
	"sync"

	"hearth/internal/hearth"
	"hearth/internal/link"
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

// CallStreams is called by the link when a streamed response begins: a caller who wants
// it in parts gets it, and for all others it is collected.
func (c *call) CallStreams(lc *link.Call) {
	w, inv, done := c.w, &c.own, c.done
	begun := c.begun() // the other one is for the end
	c.out = &response{stream: lc.Stream, ended: make(chan struct{})}
	out := c.out
	if !c.stage.CompareAndSwap(stageRunning, stageStreaming) {
		return // its time was up
	}
	if !inv.WantStream {
		w.tasks.Go(func() { done.Complete(collect(out, inv.ID), nil) })
		return
	}
	begun.Stream = out
	done.Complete(begun, nil)
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
