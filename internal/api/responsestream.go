package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/api/eventstream"
	"hearth/internal/hearth"
)

const (
	streamingPath = "/2021-11-15/functions/"
	typeBytes     = "application/octet-stream"
	// maxPrelude bounds the status, headers and cookies before a streamed body, in bytes.
	maxPrelude = 64 << 10
)

// errCut ends the connection of a stream that cannot be completed, so that the client
// can tell it from one that ended well.
var errCut = errors.New("the streamed response was cut off")

// streamBody is a function's streamed response as the body of an answer. fasthttp reads
// it in the connection's goroutine, sends each piece at once, and closes it when it
// has ended or the client has gone: the function goes on then (Lambda API).
type streamBody struct {
	stream  hearth.ResponseStream
	conn    net.Conn
	timeout time.Duration // to write one piece

	rest []byte // that has not been sent yet
	// wrap, when set, frames each part; last makes what follows the last one.
	wrap func(part []byte) []byte
	last func(*hearth.Result) ([]byte, error)

	ended   bool
	abandon atomic.Bool // the server gives up
	stop    func() bool
}

// newStreamBody reads stream until it ends or the server gives up.
func (s *Server) newStreamBody(ctx *fasthttp.RequestCtx, stream hearth.ResponseStream) *streamBody {
	b := &streamBody{stream: stream, conn: ctx.Conn(), timeout: s.cfg.WriteTimeout, last: failsCut}
	b.stop = context.AfterFunc(s.work, b.hangUp)
	return b
}

// hangUp ends the body, at any time: nobody reads it any more.
func (b *streamBody) hangUp() {
	b.abandon.Store(true)
	b.stream.Close()
}

// failsCut ends an answer well if the function did.
func failsCut(res *hearth.Result) ([]byte, error) {
	if res.FunctionError != "" {
		return nil, errCut
	}
	return nil, nil
}

// Read blocks until the function has written something.
func (b *streamBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if err := b.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, b.conn.SetWriteDeadline(time.Now().Add(b.timeout))
}

// more fills rest.
func (b *streamBody) more() error {
	if b.ended {
		return io.EOF
	}
	part, err := b.stream.Next()
	switch {
	case b.abandon.Load():
		return errCut
	case err == nil:
		if b.wrap != nil {
			part = b.wrap(part)
		}
		b.rest = part
		return nil
	}
	b.ended = true
	if b.rest, err = b.last(b.stream.Result()); err == nil && len(b.rest) == 0 {
		err = io.EOF
	}
	return err
}

// Close is called once, by fasthttp.
func (b *streamBody) Close() error {
	b.stop()
	return b.stream.Close()
}

// send makes b the answer's body. Its head leaves at once.
func (b *streamBody) send(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("X-Accel-Buffering", "no") // a proxy in front should pass parts on
	ctx.Response.ImmediateHeaderFlush = true
	ctx.SetBodyStream(b, -1)
}

// streamURL answers a function URL with a streamed response. One that says so begins
// with status, headers and cookies.
func (s *Server) streamURL(ctx *fasthttp.RequestCtx, c *call, id string, result *hearth.Result) {
	body := s.newStreamBody(ctx, result.Stream)
	contentType := result.Stream.ContentType()
	if contentType == hearth.TypeHTTPIntegration {
		if cause := s.readPrelude(ctx, c, body); cause != nil {
			body.Close()
			s.failedURL(ctx, id, *cause)
			return
		}
	} else if contentType != "" && !bytes.ContainsAny([]byte(contentType), "\r\n\x00") {
		ctx.SetContentType(contentType)
	}
	if len(ctx.Response.Header.ContentType()) == 0 {
		ctx.SetContentType(typeBytes)
	}
	ctx.Response.Header.Set("X-Amzn-Requestid", id)
	writeInstance(ctx, result)
	if ctx.IsHead() {
		body.Close()
		return
	}
	body.send(ctx)
}

// readPrelude takes status, headers and cookies off the beginning of body. What is
// wrong with them is told in words for the function's owner.
func (s *Server) readPrelude(ctx *fasthttp.RequestCtx, c *call, body *streamBody) *failureCause {
	var text []byte
	for {
		part, err := body.stream.Next()
		if err != nil {
			if res := body.stream.Result(); res.FunctionError != "" {
				cause := causeOf(res)
				return &cause
			}
			return &failureCause{typeMalformed, "the response ended before its prelude did: eight NUL bytes must follow the JSON"}
		}
		text = append(text, part...)
		if i := bytes.Index(text, []byte(hearth.PreludeEnd)); i >= 0 {
			body.rest = text[i+len(hearth.PreludeEnd):]
			text = text[:i]
			break
		}
		if len(text) > maxPrelude {
			return &failureCause{typeMalformed, fmt.Sprintf("the response has no prelude in its first %d bytes: JSON, then eight NUL bytes", maxPrelude)}
		}
	}
	if err := writePrelude(ctx, c, text); err != nil {
		return &failureCause{typeMalformed, err.Error()}
	}
	return nil
}

func writePrelude(ctx *fasthttp.RequestCtx, c *call, text []byte) error {
	value := bytes.TrimSpace(text)
	if !validJSON(value) || value[0] != '{' {
		return fmt.Errorf("the prelude of the response is not a JSON object")
	}
	c.scratch = c.scratch[:0]
	a, given := readAnswer(value)
	if given {
		status, err := a.statusCode()
		if err != nil {
			return err
		}
		ctx.SetStatusCode(status)
	}
	return a.writeHeaders(ctx, c)
}

// invokeStreaming serves Lambda's InvokeWithResponseStream: the response as a stream of
// events.
func (s *Server) invokeStreaming(r *request) error {
	ctx := r.ctx
	c := s.getCall()
	defer s.putCall(c)
	t, err := s.prepare(ctx, &c.req, []byte(r.args[0]), r.rawQuery)
	if err != nil {
		return err
	}
	switch kind := string(ctx.Request.Header.Peek("X-Amz-Invocation-Type")); kind {
	case "", "RequestResponse":
	case "DryRun":
		if _, _, err := s.deps.Functions.Resolve(t.name, t.qualifier); err != nil {
			return t.explain(err)
		}
		return s.reply(r, fasthttp.StatusNoContent, nil)
	default:
		return hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [RequestResponse, DryRun]", clip(kind))
	}
	c.req.ID, c.req.WantStream = r.id, true
	wantLog := c.req.WantLog
	result, err := s.deps.Invoker.Invoke(s.work, &c.req)
	if err != nil {
		return t.explain(err)
	}
	h := &ctx.Response.Header
	h.Set("X-Amz-Executed-Version", result.Version)
	h.Set("Content-Type", eventstream.ContentType)
	writeInstance(ctx, result)
	if result.Stream == nil {
		ctx.Response.SetBodyRaw(wholeStream(result, wantLog))
		return nil
	}
	body := s.newStreamBody(ctx, result.Stream)
	var frame []byte
	body.wrap = func(part []byte) []byte {
		frame = eventstream.Append(frame[:0], "PayloadChunk", typeBytes, part)
		return frame
	}
	body.last = func(end *hearth.Result) ([]byte, error) { return appendComplete(nil, end, wantLog), nil }
	body.send(ctx)
	return nil
}

// wholeStream is the stream of a response that came whole: one part.
func wholeStream(result *hearth.Result, wantLog bool) []byte {
	var text []byte
	if result.FunctionError == "" {
		text = eventstream.Append(nil, "PayloadChunk", typeBytes, result.Payload)
	}
	return appendComplete(text, result, wantLog)
}

// completeEvent is Lambda's InvokeWithResponseStreamCompleteEvent.
type completeEvent struct {
	ErrorCode    string `json:",omitempty"`
	ErrorDetails string `json:",omitempty"`
	LogResult    string `json:",omitempty"`
}

// appendComplete appends the last event. A failure's code is its type, its details are
// the failure document.
func appendComplete(dst []byte, end *hearth.Result, wantLog bool) []byte {
	var e completeEvent
	if end.FunctionError != "" {
		e.ErrorCode, e.ErrorDetails = causeOf(end).Type, string(end.Payload)
	}
	if wantLog {
		e.LogResult = base64.StdEncoding.EncodeToString(end.LogTail)
	}
	text, err := json.Marshal(e)
	if err != nil { // strings always encode
		panic("api: an event cannot be written as JSON: " + err.Error())
	}
	return eventstream.Append(dst, "InvokeComplete", typeJSON, text)
}
