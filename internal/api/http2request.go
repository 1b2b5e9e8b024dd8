package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// http2Call is the memory of one request of HTTP/2; it is used again.
type http2Call struct {
	ctx  fasthttp.RequestCtx
	head []byte // the request as one of HTTP/1.1
	text bytes.Reader
	read *bufio.Reader
	buf  [32 << 10]byte
}

// headRoom is what names and separators may add to a head that the client wrote small.
const headRoom = 4 << 10

func newHTTP2Call(maxHead int) *http2Call {
	c := new(http2Call)
	c.read = bufio.NewReaderSize(&c.text, maxHead+headRoom)
	return c
}

// http2Stream stands for the connection in the RequestCtx of one request.
type http2Stream struct{ *http2Conn }

// SetWriteDeadline does nothing: writeHTTP2 sets that of its stream.
func (http2Stream) SetWriteDeadline(time.Time) error { return nil }

// serveStream serves one request of HTTP/2: as one of HTTP/1.1, by the same handlers and
// within the same limits.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(http2ConnKey{}).(*http2Conn)
	if !ok || !conn.enter() {
		panic(http.ErrAbortHandler) // nobody is left to be answered
	}
	defer conn.leave()
	c := s.http2.calls.Get().(*http2Call)
	ctx := &c.ctx
	ctx.Init2(http2Stream{conn}, quiet{s.log}, true)
	ctx.Response.Header.SetNoDefaultContentType(true)
	if err := s.readHTTP2(c, http.NewResponseController(w), r); err != nil {
		s.badRequest(ctx, err)
	} else {
		s.handle(ctx)
	}
	err := s.writeHTTP2(c, w, r)
	ctx.Request.Reset()
	ctx.Response.Reset()
	ctx.ResetUserValues()
	if cap(c.head) <= maxKeptEvent {
		s.http2.calls.Put(c)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way to reset a stream
	}
}

// errTarget is for targets and hosts with what no request line could hold.
var errTarget = errors.New("the method, target or host has a character that it cannot have")

// readHTTP2 makes r the request of c. Errors are for badRequest.
func (s *Server) readHTTP2(c *http2Call, rc *http.ResponseController, r *http.Request) error {
	if err := c.readHead(r, s.cfg.MaxHeaderBytes); err != nil {
		return err
	}
	h := &c.ctx.Request.Header
	config := s.admitBody(h)
	if r.ContentLength > int64(config.MaxRequestBodySize) {
		return fasthttp.ErrBodyTooLarge // before the client is asked to go on with it
	}
	if r.ContentLength != 0 {
		if err := s.readHTTP2Body(c, rc, r.Body, config); err != nil {
			return err
		}
	}
	if announced := h.Peek("Content-Length"); len(announced) > 0 && string(announced) != strconv.Itoa(len(c.ctx.Request.Body())) {
		return errors.New("the body is not as long as it was announced")
	}
	return nil
}

// readHead writes the head of r as HTTP/1.1 and has fasthttp read it, so that whatever
// looks at a request sees the same, whichever way it came.
func (c *http2Call) readHead(r *http.Request, most int) error {
	b := append(append(append(c.head[:0], r.Method...), ' '), r.RequestURI...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	if !isToken([]byte(r.Method)) || !printable(r.RequestURI) || !printable(r.Host) {
		return errTarget
	}
	for name, values := range r.Header {
		if name == "Host" {
			continue
		}
		for _, value := range values {
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	c.head = append(b, "\r\n"...)
	if len(c.head) > most {
		return &fasthttp.ErrSmallBuffer{}
	}
	c.text.Reset(c.head)
	c.read.Reset(&c.text)
	if err := c.ctx.Request.Header.Read(c.read); err != nil {
		return err
	}
	c.ctx.Request.Header.SetProtocol(r.Proto)
	if r.ContentLength < 0 {
		c.ctx.Request.Header.SetContentLength(-1) // nobody knows yet
	}
	return nil
}

// printable tells what can stand between the blanks of a request line.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// readHTTP2Body reads a body within the limits of config. A server that drains waits for
// it no longer than for half a request of HTTP/1.1.
func (s *Server) readHTTP2Body(c *http2Call, rc *http.ResponseController, body io.Reader, config fasthttp.RequestConfig) error {
	if err := rc.SetReadDeadline(time.Now().Add(config.ReadTimeout)); err != nil {
		return err
	}
	hurried := make(chan struct{})
	stop := context.AfterFunc(s.streaming, func() {
		defer close(hurried)
		_ = rc.SetReadDeadline(time.Now().Add(s.cfg.DrainGrace))
	})
	defer func() {
		if !stop() {
			<-hurried // rc is not to be used after the request
		}
	}()
	for size := 0; ; {
		n, err := body.Read(c.buf[:])
		if size += n; size > config.MaxRequestBodySize {
			return fasthttp.ErrBodyTooLarge
		}
		c.ctx.Request.AppendBody(c.buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return os.ErrDeadlineExceeded
		case err != nil:
			return err
		}
	}
}

// hangsUp is a body whose reader can be told that nobody listens any more.
type hangsUp interface{ hangUp() }

// writeHTTP2 sends the answer that c holds. An error means that it could not be sent
// whole.
func (s *Server) writeHTTP2(c *http2Call, w http.ResponseWriter, r *http.Request) error {
	resp := &c.ctx.Response
	h := w.Header()
	h["Content-Type"] = nil // else net/http guesses one
	for name, value := range resp.Header.All() {
		switch {
		case isFraming(name):
		case equalFold(name, "content-type"):
			h["Content-Type"] = []string{string(value)}
		default:
			h.Add(string(name), string(value))
		}
	}
	rc := http.NewResponseController(w)
	if err := rc.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
		return err
	}
	status := resp.StatusCode()
	if resp.IsBodyStream() {
		defer resp.CloseBodyStream()
		if size := resp.Header.ContentLength(); size >= 0 {
			h.Set("Content-Length", strconv.Itoa(size))
		}
		w.WriteHeader(status)
		if r.Method == http.MethodHead {
			return nil
		}
		return s.sendHTTP2(c, w, rc, r)
	}
	body := resp.Body()
	if status != fasthttp.StatusNoContent && status != fasthttp.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead || len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	if errors.Is(err, http.ErrBodyNotAllowed) {
		return nil
	}
	return err
}

// sendHTTP2 sends a body as it comes. Each piece has the time that an answer has.
func (s *Server) sendHTTP2(c *http2Call, w io.Writer, rc *http.ResponseController, r *http.Request) error {
	body := c.ctx.Response.BodyStream()
	if b, ok := body.(hangsUp); ok {
		stop := context.AfterFunc(r.Context(), b.hangUp)
		defer stop()
	}
	flush := c.ctx.Response.ImmediateHeaderFlush
	for {
		if flush {
			if err := rc.Flush(); err != nil {
				return err
			}
		}
		n, err := body.Read(c.buf[:])
		if n > 0 {
			if err := rc.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
				return err
			}
			if _, err := w.Write(c.buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// secure tells whether the client of a request came over TLS.
func secure(ctx *fasthttp.RequestCtx) bool {
	c, ok := ctx.Conn().(interface{ secure() bool })
	return ok && c.secure()
}

func (c *http2Conn) secure() bool {
	below, ok := c.Conn.(interface{ secure() bool })
	return ok && below.secure()
}

var _ net.Conn = http2Stream{}
