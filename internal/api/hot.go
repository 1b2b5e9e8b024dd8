package api

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/api/front"
	"hearth/internal/hearth"
	"hearth/internal/hearth/packed"
	"hearth/internal/invoke"
	"hearth/internal/loop"
)

const (
	// largeBytes is from what size on a payload or a result is dealt with beside the
	// loops: checking it would keep all other requests waiting. What is smaller takes some
	// microseconds, and a millisecond when somebody means harm.
	largeBytes = 128 << 10
	// largeHead is the same for what a function answers besides a body: headers without
	// number take far longer.
	largeHead = 4 << 10
	// joinBytes is up to what size a body is copied behind its head, so that both leave
	// in one write.
	joinBytes = 32 << 10
	// keptBytes bounds each buffer that an idle connection holds on to.
	keptBytes = 16 << 10
)

// hotPaths serves the two hot paths, function URLs and Invoke, as long as a request is
// like most others. It refuses nothing: what is out of the ordinary goes to the server
// that all other requests go to, and that one finds the words.
type hotPaths struct{ s *Server }

var _ front.Handler = hotPaths{}

// hot is one request on a hot path, and the connection's memory for the next.
type hot struct {
	s      *Server
	x      *front.Exchange
	call   call
	target *functionTarget

	url   bool      // else Invoke
	at    urlTarget // of Invoke: segment and query alone
	id    string
	began time.Time           // when requests are logged
	ctx   fasthttp.RequestCtx // of which only the response is used
	out   []byte

	result *hearth.Result
	err    error
	memory []byte // that the answer lies in
}

var _ hearth.Completion = (*hot)(nil)

// Takes implements front.Handler. A request that panics here goes to the other server,
// where it costs itself alone.
func (p hotPaths) Takes(x *front.Exchange) (takes bool) {
	defer func() {
		if recover() != nil {
			takes = false
		}
	}()
	h, _ := x.Memory.(*hot)
	if h == nil {
		h = &hot{s: p.s, x: x}
		x.Memory = h
	}
	return h.route()
}

// Begin implements front.Handler.
func (p hotPaths) Begin(x *front.Exchange) {
	h := x.Memory.(*hot)
	defer h.recovered()
	h.id = p.s.newID()
	if p.s.log.Enabled(p.s.work, slog.LevelDebug) {
		h.began = time.Now()
	}
	if len(x.Body) > largeBytes {
		p.s.beside.Go(h.start)
		return
	}
	h.start()
}

// Done implements front.Handler.
func (hotPaths) Done(x *front.Exchange) {
	h, _ := x.Memory.(*hot)
	if h == nil {
		return
	}
	clear(h.call.pairs) // which may be parts of the result
	if h.memory != nil {
		h.ctx.Response.ResetBody() // which lies there, too
		loop.GiveBuffer(h.memory)
		h.memory = nil
	}
}

// Late implements front.Handler.
func (p hotPaths) Late() []byte {
	var ctx fasthttp.RequestCtx
	p.s.tooLate(&ctx)
	ctx.SetConnectionClose()
	return appendResponse(nil, &ctx.Response)
}

// route finds out which function is called, and whether in an ordinary way.
func (h *hot) route() bool {
	x := h.x
	path, query, _ := bytes.Cut(x.Target, []byte("?"))
	if h.s.checkHost(x.Host) != nil {
		return false
	}
	if h.at, h.url = urlOf(x.Host, path, query); h.url {
		return h.find(nil) && h.open()
	}
	segment, ok := invocationsOf(path)
	if !ok || h.s.auth != nil || string(x.Method) != fasthttp.MethodPost || !h.ordinary() {
		return false
	}
	h.at = urlTarget{segment: segment, query: query}
	return h.find(query)
}

// find finds out what the segment names, with a qualifier that the query may have.
func (h *hot) find(query []byte) bool {
	t, err := h.s.target(h.at.segment, query)
	h.target = t
	return err == nil
}

// open tells whether the function's URL is there and wants no signature.
func (h *hot) open() bool {
	f, err := h.s.deps.Functions.Get(h.target.name)
	return err == nil && (f.URL == nil || f.URL.AuthType != authIAM)
}

var protocol11 = []byte("HTTP/1.1")

// ordinary tells whether an Invoke has no header that asks for something special.
func (h *hot) ordinary() bool {
	h.call.readHeaders(h.x.Headers)
	for i := range h.call.headers {
		switch string(h.call.headers[i].name) {
		case "x-amz-invocation-type":
			if string(h.call.headers[i].value) != "RequestResponse" {
				return false
			}
		case "x-amz-log-type":
			if string(h.call.headers[i].value) != "None" {
				return false
			}
		case "x-amz-client-context", "origin", "sec-fetch-site":
			return false
		}
	}
	return true
}

// start has the function invoked.
func (h *hot) start() {
	defer h.recovered()
	t, r := h.target, &h.call.req
	*r = invoke.Request{ID: h.id, Function: t.name, Qualifier: t.qualifier, InvokedARN: t.arn}
	var err error
	if h.url {
		r.Payload, err = h.event()
		r.WantStream = true
	} else {
		r.Payload, err = payload(h.x.Body)
	}
	if err != nil {
		h.Complete(nil, err)
		return
	}
	if trace := h.call.header("x-amzn-trace-id"); trace != nil {
		r.TraceID = string(trace)
	}
	h.s.deps.Invoker.Start(r, h)
}

// event is the event that the request to a function URL makes.
func (h *hot) event() ([]byte, error) {
	x, u := h.x, &h.at
	in := eventInput{
		name: h.target.name, prefix: u.prefix, method: x.Method, path: u.path, query: u.query, protocol: protocol11,
		host: x.Host, remote: x.Remote, headers: x.Headers, body: x.Body, now: h.s.now(), requestID: h.id,
	}
	h.call.buildEvent(&in)
	return h.call.event, h.call.eventFits(h.id)
}

// Complete is told what came of the invocation.
func (h *hot) Complete(result *hearth.Result, err error) {
	h.result, h.err = result, err
	switch {
	case err == nil && result.Stream != nil:
		h.s.beside.Go(h.stream)
	case err == nil && (len(result.Payload)+len(result.Body) > largeBytes || h.url && len(result.Payload) > largeHead):
		h.s.beside.Go(h.answer)
	default:
		h.answer()
	}
}

// answer writes what came of the invocation.
func (h *hot) answer() {
	defer h.recovered()
	s, ctx, result, err := h.s, &h.ctx, h.result, h.err
	h.result, h.err, h.call.req.HTTP.Body = nil, nil, nil
	if err == nil {
		h.memory = result.Memory
	}
	switch {
	case err != nil:
	case h.url:
		s.targets.learn(h.target, h.at.segment, nil)
		if h.quickURL(result) {
			return
		}
	default:
		s.targets.learn(h.target, h.at.segment, h.at.query)
		if h.quickResult(result) {
			return
		}
	}
	ctx.Response.Reset()
	ctx.Response.Header.SetNoDefaultContentType(true)
	switch {
	case h.url && err != nil:
		s.failURL(ctx, h.id, h.target.explainURL(err))
	case err != nil:
		s.failLambda(ctx, h.id, h.target.explain(err))
	case h.url:
		s.answerURL(ctx, &h.call, h.id, result)
	default:
		writeResult(ctx, h.id, result, false)
	}
	h.send()
}

// send writes the response that ctx holds. Afterwards the next request may have begun.
func (h *hot) send() {
	r, closing := &h.ctx.Response, h.x.Closing()
	if closing {
		r.SetConnectionClose()
	}
	h.logged(r.StatusCode())
	if body := r.Body(); len(body) > joinBytes && !bodiless(r.StatusCode()) {
		r.Header.SetContentLength(len(body))
		h.out = r.Header.AppendBytes(h.out[:0])
		h.x.Answer(h.out, body, closing)
		return
	}
	h.trim()
	h.out = appendResponse(h.out[:0], r)
	if bodiless(r.StatusCode()) {
		r.ResetBody() // which nobody gets, and the connection would keep
	}
	h.x.Answer(h.out, nil, closing)
}

func (h *hot) logged(status int) {
	if h.s.log.Enabled(h.s.work, slog.LevelDebug) {
		h.s.log.Debug("request", slog.String("method", string(h.x.Method)), slog.String("uri", string(h.x.Target)),
			slog.Int("status", status), slog.String("from", h.x.Remote.String()), slog.Duration("took", time.Since(h.began)))
	}
}

// trim gives up buffers that only an unusual request needed.
func (h *hot) trim() {
	if cap(h.out) > keptBytes {
		h.out = nil
	}
	if cap(h.call.event)+h.call.packing.Size() > keptBytes {
		h.call.event, h.call.packing = nil, packed.Builder{}
	}
	if cap(h.call.scratch) > keptBytes {
		h.call.scratch = nil
	}
}

// appendResponse appends a response that is whole.
func appendResponse(dst []byte, r *fasthttp.Response) []byte {
	body := r.Body()
	r.Header.SetContentLength(len(body))
	dst = r.Header.AppendBytes(dst)
	if bodiless(r.StatusCode()) {
		return dst
	}
	return append(dst, body...)
}

// bodiless tells whether an answer of that status ends with its head (RFC 9112, 6.3):
// a client would take a body for the next answer.
func bodiless(status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

// recovered answers a request that panicked: it costs that request alone.
func (h *hot) recovered() {
	p := recover()
	if p == nil {
		return
	}
	s := h.s
	id := s.newID()
	s.log.Error("panic while serving a request", slog.String("request", id), slog.Any("panic", p),
		slog.String("uri", string(h.x.Target)), slog.String("stack", string(debug.Stack())))
	h.ctx.Response.Reset()
	path, _, _ := bytes.Cut(h.x.Target, []byte("?"))
	s.fail(&h.ctx, string(path), id, unforeseen(id))
	h.send()
}

// stream takes the connection to answer in parts. Afterwards it goes to the server that
// all unusual ones go to.
func (h *hot) stream() {
	s, result := h.s, h.result
	closing := h.x.Closing()
	nc, rest, err := h.x.Detach()
	if err != nil {
		_ = result.Stream.Close()
		return
	}
	c := s.trackRead(nc, rest)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while answering in parts", slog.String("request", h.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			_ = c.Close()
		}
	}()
	var ctx fasthttp.RequestCtx
	ctx.Init2(c, quiet{s.log}, false)
	ctx.Response.Header.SetNoDefaultContentType(true)
	s.targets.learn(h.target, h.at.segment, nil)
	s.answerURL(&ctx, &h.call, h.id, result)
	if closing {
		ctx.SetConnectionClose()
	}
	w := bufio.NewWriter(c)
	if err = ctx.Response.Write(w); err == nil {
		err = w.Flush()
	}
	if err != nil || closing || ctx.Response.ConnectionClose() {
		_ = c.Close()
		return
	}
	s.handed.put(c)
}

// handOver gives a connection of which some has been read to the other server.
func (s *Server) handOver(c net.Conn, read []byte) { s.handed.put(s.trackRead(c, read)) }
