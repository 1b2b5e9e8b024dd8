package api

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
	"hearth/internal/hearth/jsontext"
	"hearth/internal/hearth/packed"
	"hearth/internal/sigv4"
)

// urlTarget is what a request to a function URL names.
type urlTarget struct {
	segment []byte // NAME or NAME:QUALIFIER, as it was sent
	prefix  []byte // /fn/NAME; nothing when the host says the name
	path    []byte // what the function sees
	query   []byte
	byHost  bool // NAME.localhost instead of /fn/NAME
}

// serveURL serves a function URL: the request becomes an event of payload format
// 2.0, the result an answer (Lambda function URLs).
func (s *Server) serveURL(ctx *fasthttp.RequestCtx, u urlTarget) {
	id := s.newID()
	c := s.getCall()
	defer s.putCall(c)
	t, err := s.target(u.segment, nil)
	if err != nil {
		s.failURL(ctx, id, err)
		return
	}
	result, err := s.invokeURL(ctx, c, t, u, id)
	if err != nil && u.byHost && hearth.CodeOf(err) == hearth.ErrNotFound {
		// Host names know no case, and browsers send them in lower case.
		if same := s.foldedTarget(t.name); same != nil {
			result, err = s.invokeURL(ctx, c, same, u, id)
		}
	}
	if err != nil {
		if refusal := (*sigv4.Error)(nil); errors.As(err, &refusal) {
			s.refuse(ctx, "", id, err)
			return
		}
		s.failURL(ctx, id, t.explainURL(err))
		return
	}
	s.targets.learn(t, u.segment, nil)
	s.answerURL(ctx, c, id, result)
}

func (s *Server) invokeURL(ctx *fasthttp.RequestCtx, c *call, t *functionTarget, u urlTarget, id string) (*hearth.Result, error) {
	if err := s.admitURL(ctx, t); err != nil {
		return nil, err
	}
	in := s.eventInput(ctx, t.name, u.prefix, u.path, u.query, id)
	c.buildEvent(&in)
	c.req.WantStream = true
	return s.invokeEvent(c, t, id)
}

// eventInput is the request that ctx holds, for the function name.
func (s *Server) eventInput(ctx *fasthttp.RequestCtx, name string, prefix, path, query []byte, id string) eventInput {
	h := &ctx.Request.Header
	return eventInput{
		name: name, prefix: prefix, method: h.Method(), path: path, query: query, protocol: h.Protocol(),
		host: h.Host(), remote: remoteAddr(ctx.RemoteAddr()), headers: h.RawHeaders(),
		body: ctx.Request.Body(), requestID: id, now: s.now(), secure: secure(ctx),
	}
}

// invokeEvent calls the function with the event that c holds.
func (s *Server) invokeEvent(c *call, t *functionTarget, id string) (*hearth.Result, error) {
	if err := c.eventFits(id); err != nil {
		return nil, err
	}
	c.req.ID, c.req.Function, c.req.Qualifier, c.req.InvokedARN = id, t.name, t.qualifier, t.arn
	c.req.Payload = c.event
	if trace := c.header("x-amzn-trace-id"); trace != nil {
		c.req.TraceID = string(trace)
	}
	return s.deps.Invoker.Invoke(s.work, &c.req)
}

// eventFits refuses an event that as JSON, which is what functions are promised, would be
// too large.
func (c *call) eventFits(id string) error {
	e := &c.req.HTTP
	if len(c.event)+len(e.Body) < hearth.MaxPayloadBytes/8 { // a byte becomes at most six of JSON
		return nil // like nearly all; counting costs more
	}
	head := c.event
	if e.Form == hearth.EventPacked {
		head, _ = packed.AppendJSON(nil, c.event, id)
	}
	size := len(head) + len(`,"body":"","isBase64Encoded":false}`)
	switch e.Kind {
	case hearth.BodyBinary:
		size += base64.StdEncoding.EncodedLen(len(e.Body))
	case hearth.BodyASCII, hearth.BodyText:
		size += jsontext.Size(e.Body)
	}
	if size <= hearth.MaxPayloadBytes {
		return nil
	}
	return hearth.Errorf(hearth.ErrTooLarge, "The request makes an event of %d bytes; a function takes %d. Binary bodies grow by a third.", size, hearth.MaxPayloadBytes)
}

// foldedTarget is the only function whose name is the same but for the case of its
// letters, nil when there is none.
func (s *Server) foldedTarget(name string) *functionTarget {
	var found *functionTarget
	for _, f := range s.deps.Functions.List() {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		if found != nil {
			return nil
		}
		found = &functionTarget{name: f.Name, arn: s.arn(f.Name, "")}
	}
	return found
}

func (t *functionTarget) explainURL(err error) error {
	if hearth.CodeOf(err) != hearth.ErrNotFound {
		return err
	}
	what := t.name
	if t.qualifier != "" {
		what += ":" + t.qualifier
	}
	return hearth.Errorf(hearth.ErrNotFound, "There is no function %s. GET /hearth/v1/functions lists those that exist.", what)
}

func remoteAddr(addr net.Addr) netip.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.IPv4Unspecified()
}

// failURL answers for the platform: the function has not run, or has failed.
func (s *Server) failURL(ctx *fasthttp.RequestCtx, id string, err error) {
	e := s.failLambda(ctx, id, err)
	ctx.Response.Header.Set("X-Hearth-Error", oneLine(e.Message))
}

// failureBody is what callers of a function URL get when the function fails. Lambda
// says the message alone; the rest is for the owner of the machine.
type failureBody struct {
	Message   string        `json:"Message"`
	Error     *failureCause `json:"error,omitempty"`
	RequestID string        `json:"requestId"`
}

type failureCause struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// failedURL answers 502: the function failed, or its result cannot be an answer.
func (s *Server) failedURL(ctx *fasthttp.RequestCtx, id string, cause failureCause) {
	ctx.Response.Reset()
	ctx.Response.Header.Set("X-Amzn-Requestid", id)
	body := failureBody{Message: "Internal Server Error", RequestID: id}
	if !s.cfg.HideErrors {
		body.Error = &cause
		ctx.Response.Header.Set("X-Hearth-Error", oneLine(cause.Type+": "+cause.Message))
	}
	s.writeJSON(ctx, fasthttp.StatusBadGateway, body)
}

// oneLine makes s fit for a header.
func oneLine(s string) string {
	const most = 512
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
