package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"hearth/internal/async"
	"hearth/internal/hearth"
	"hearth/internal/hearth/packed"
	"hearth/internal/invoke"
)

// call is the memory of one invocation; it is used again.
type call struct {
	req     invoke.Request
	event   []byte // of an HTTP request, without its body
	packing packed.Builder
	scratch []byte
	headers []entry
	pairs   []entry
}

// maxKeptEvent bounds the memory that a pooled call holds on to.
const maxKeptEvent = 256 << 10

func (s *Server) getCall() *call { return s.calls.Get().(*call) }

func (s *Server) putCall(c *call) {
	if cap(c.event)+c.packing.Size() > maxKeptEvent || cap(c.scratch) > maxKeptEvent {
		return
	}
	c.req = invoke.Request{}
	s.calls.Put(c)
}

// invoke serves Lambda's Invoke: POST …/functions/{segment}/invocations.
func (s *Server) invoke(ctx *fasthttp.RequestCtx, segment, query []byte) {
	id := s.newID()
	c := s.getCall()
	defer s.putCall(c)
	t, err := s.prepare(ctx, &c.req, segment, query)
	if err != nil {
		s.failLambda(ctx, id, err)
		return
	}
	c.req.ID = id
	if kind := ctx.Request.Header.Peek("X-Amz-Invocation-Type"); len(kind) > 0 && string(kind) != "RequestResponse" {
		s.invokeOtherwise(ctx, &c.req, string(kind), t)
		return
	}
	result, err := s.deps.Invoker.Invoke(s.work, &c.req)
	if err != nil {
		s.failLambda(ctx, id, t.explain(err))
		return
	}
	s.targets.learn(t, segment, query)
	writeResult(ctx, id, result, c.req.WantLog)
}

// invokeByTable is invoke for requests that do not look as most do.
func (s *Server) invokeByTable(r *request) error {
	s.invoke(r.ctx, []byte(r.args[0]), r.rawQuery)
	return nil
}

// prepare reads everything but the id from the request.
func (s *Server) prepare(ctx *fasthttp.RequestCtx, r *invoke.Request, segment, query []byte) (*functionTarget, error) {
	t, err := s.target(segment, query)
	if err != nil {
		return nil, err
	}
	h := &ctx.Request.Header
	r.Function, r.Qualifier, r.InvokedARN = t.name, t.qualifier, t.arn
	if r.Payload, err = payload(ctx.Request.Body()); err != nil {
		return nil, err
	}
	if encoded := h.Peek("X-Amz-Client-Context"); len(encoded) > 0 {
		if r.ClientContext, err = clientContext(encoded); err != nil {
			return nil, err
		}
	}
	if trace := h.Peek("X-Amzn-Trace-Id"); len(trace) > 0 {
		r.TraceID = string(trace)
	}
	switch kind := h.Peek("X-Amz-Log-Type"); string(kind) {
	case "Tail":
		r.WantLog = true
	case "", "None":
	default:
		return nil, hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]", clip(string(kind)))
	}
	return t, nil
}

// invokeOtherwise serves the invocation types that want no answer.
func (s *Server) invokeOtherwise(ctx *fasthttp.RequestCtx, r *invoke.Request, kind string, t *functionTarget) {
	var err error
	switch kind {
	case "DryRun":
		if _, _, err = s.deps.Functions.Resolve(t.name, t.qualifier); err == nil {
			ctx.Response.Header.Set("X-Amzn-Requestid", r.ID)
			ctx.SetStatusCode(fasthttp.StatusNoContent)
			return
		}
		err = t.explain(err)
	case "Event":
		if err = s.submit(r, t); err == nil {
			ctx.Response.Header.Set("X-Amzn-Requestid", r.ID)
			ctx.SetStatusCode(fasthttp.StatusAccepted)
			return
		}
	default:
		err = hearth.Errorf(hearth.ErrInvalid, "1 validation error detected: Value '%s' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]", clip(kind))
	}
	s.failLambda(ctx, r.ID, err)
}

// submit hands an event over to be invoked later. It returns once the event is on disk.
func (s *Server) submit(r *invoke.Request, t *functionTarget) error {
	if len(r.Payload) > hearth.MaxAsyncPayloadBytes {
		return hearth.Errorf(hearth.ErrTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation with InvocationType Event; it has %d.",
			hearth.MaxAsyncPayloadBytes, len(r.Payload))
	}
	if _, _, err := s.deps.Functions.Resolve(t.name, t.qualifier); err != nil {
		return t.explain(err)
	}
	return s.deps.Async.Submit(s.work, async.Event{
		ID: r.ID, Function: r.Function, Qualifier: r.Qualifier, Payload: r.Payload,
		ClientContext: r.ClientContext, TraceID: r.TraceID, InvokedARN: r.InvokedARN,
	})
}

func writeResult(ctx *fasthttp.RequestCtx, id string, result *hearth.Result, wantLog bool) {
	h := &ctx.Response.Header
	h.Set("X-Amzn-Requestid", id)
	if result.Version != "" {
		h.Set("X-Amz-Executed-Version", result.Version)
	} else {
		h.Set("X-Amz-Executed-Version", hearth.Latest)
	}
	if result.FunctionError != "" {
		h.Set("X-Amz-Function-Error", result.FunctionError)
	}
	if wantLog {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.LogTail))
	}
	writeInstance(ctx, result)
	ctx.SetContentType(typeJSON)
	ctx.Response.SetBodyRaw(result.Payload)
}

var (
	headerInstance   = []byte("X-Hearth-Instance")
	headerInvocation = []byte("X-Hearth-Invocation")
)

// writeInstance tells which instance has served, and how many it has now.
func writeInstance(ctx *fasthttp.RequestCtx, result *hearth.Result) {
	if result.Instance == "" {
		return
	}
	h := &ctx.Response.Header
	var room [24]byte
	h.SetCanonical(headerInstance, append(room[:0], result.Instance...))
	h.SetCanonical(headerInvocation, strconv.AppendUint(room[:0], result.Seq, 10))
	if result.Cold {
		h.Set("X-Hearth-Cold", "1")
	}
}

// payload checks an event. Lambda delivers an empty one as {}.
func payload(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	if validJSON(body) && utf8.Valid(body) {
		return body, nil
	}
	return nil, hearth.Errorf(hearth.ErrInvalidRequest, "Could not parse request body into json: Could not parse payload into json: %s", whyNotJSON(body))
}

// whyNotJSON says where body stops being JSON. Lines and columns count from 1, as
// they do in Lambda's words.
func whyNotJSON(body []byte) string {
	at, what := int64(len(body)), "unexpected end of JSON input"
	var syntax *json.SyntaxError
	var any json.RawMessage
	if err := json.Unmarshal(body, &any); errors.As(err, &syntax) {
		at, what = syntax.Offset, syntax.Error()
	} else if err == nil {
		at, what = firstInvalidUTF8(body)+1, "the text is not UTF-8"
	}
	before := body[:max(0, at-1)]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("%s; line: %d, column: %d", what, line, column)
}

func notJSON(body []byte) error {
	return hearth.Errorf(hearth.ErrInvalidRequest, "Could not parse request body into json: %s", whyNotJSON(body))
}

func firstInvalidUTF8(b []byte) int64 {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return int64(i)
		}
		i += size
	}
	return int64(len(b))
}

func clientContext(encoded []byte) ([]byte, error) {
	if len(encoded) > hearth.MaxClientContextBytes {
		return nil, hearth.Errorf(hearth.ErrInvalidRequest, "Client context must not be longer than %d bytes in base64; it has %d.", hearth.MaxClientContextBytes, len(encoded))
	}
	decoded, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || !json.Valid(decoded) || !utf8.Valid(decoded) {
		return nil, hearth.Errorf(hearth.ErrInvalidRequest, "Client context must be a valid Base64-encoded JSON object.")
	}
	return decoded, nil
}

// functionTarget is a parsed function reference of an invocation.
type functionTarget struct {
	name      string
	qualifier string // "" for the head
	arn       string // as the caller qualified it
	learnt    atomic.Bool
}

// explain words "not found" as Lambda does: with the ARN.
func (t *functionTarget) explain(err error) error {
	if hearth.CodeOf(err) != hearth.ErrNotFound {
		return err
	}
	arn := t.arn
	if t.qualifier == "" {
		arn += ":" + hearth.Latest
	}
	return hearth.Errorf(hearth.ErrNotFound, "Function not found: %s", arn)
}

// targets remembers the parsed references of functions that have been invoked, so
// that the hot paths allocate no strings for them.
type targets struct {
	byText atomic.Pointer[map[string]*functionTarget]
	mu     sync.Mutex // writers
}

const (
	maxTargets   = 1024 // beyond it the targets are forgotten and learnt anew
	maxTargetKey = 320
)

// target is what a path segment and a query string, both as they were sent, name.
func (s *Server) target(segment, query []byte) (*functionTarget, error) {
	var room [maxTargetKey]byte
	if known := s.targets.byText.Load(); known != nil {
		if found, ok := (*known)[string(targetKey(room[:0], segment, query))]; ok {
			return found, nil
		}
	}
	ref, err := parseRef(unescapePath(string(segment)), parseQuery(query).get("Qualifier"))
	if err != nil {
		return nil, err
	}
	return &functionTarget{name: ref.Name, qualifier: ref.Qualifier, arn: s.arn(ref.Name, ref.Qualifier)}, nil
}

func targetKey(dst, segment, query []byte) []byte {
	return append(append(append(dst, segment...), '?'), query...)
}

// learn remembers a target that target has parsed, if that is worth it. A target
// says nothing about whether the function still exists.
func (t *targets) learn(found *functionTarget, segment, query []byte) {
	plain := len(query) == 0 || bytes.HasPrefix(query, []byte("Qualifier=")) && bytes.IndexByte(query, '&') < 0
	if found.learnt.Load() || !plain || len(segment)+len(query) >= maxTargetKey {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[string]*functionTarget)
	if known := t.byText.Load(); known != nil && len(*known) < maxTargets {
		next = maps.Clone(*known)
	}
	found.learnt.Store(true)
	next[string(targetKey(nil, segment, query))] = found
	t.byText.Store(&next)
}

// parseRef reads a function reference and a Qualifier parameter that must agree.
func parseRef(text, qualifier string) (hearth.FunctionRef, error) {
	ref, err := hearth.ParseFunctionRef(text)
	if err != nil || qualifier == "" {
		return ref, err
	}
	if err := hearth.ValidateQualifier(qualifier); err != nil {
		return ref, err
	}
	if ref.Qualifier != "" && ref.Qualifier != qualifier {
		return ref, hearth.Errorf(hearth.ErrInvalid, "The derived qualifier from the function name does not match the specified qualifier.")
	}
	ref.Qualifier = qualifier
	return ref, nil
}

func (s *Server) arn(name, qualifier string) string {
	return hearth.FunctionARN(s.cfg.Region, s.cfg.Account, name, qualifier)
}
