package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
)

// meaning is what an error code is over HTTP.
type meaning struct {
	status    int
	exception string // Lambda's name for it, in x-amzn-ErrorType
	capital   bool   // Lambda writes "Message" here, not "message"
	service   bool   // Lambda's Type is "Service", not "User"
	reason    string
}

// meaningOf is the one place where errors become statuses (Lambda API).
func meaningOf(code hearth.ErrorCode) meaning {
	switch code {
	case hearth.ErrNotFound:
		return meaning{status: 404, exception: "ResourceNotFoundException", capital: true}
	case hearth.ErrNoProvisioned:
		return meaning{status: 404, exception: "ProvisionedConcurrencyConfigNotFoundException"}
	case hearth.ErrInvalid, hearth.ErrInvalidZip:
		return meaning{status: 400, exception: "InvalidParameterValueException"}
	case hearth.ErrInvalidRequest:
		return meaning{status: 400, exception: "InvalidRequestContentException"}
	case hearth.ErrCodeStorage:
		return meaning{status: 400, exception: "CodeStorageExceededException"}
	case hearth.ErrForbidden:
		return meaning{status: 403, exception: "AccessDeniedException", capital: true}
	case hearth.ErrMethodNotAllowed:
		return meaning{status: 405, exception: "MethodNotAllowedException"}
	case hearth.ErrConflict:
		return meaning{status: 409, exception: "ResourceConflictException"}
	case hearth.ErrPrecondition:
		return meaning{status: 412, exception: "PreconditionFailedException"}
	case hearth.ErrTooLarge:
		return meaning{status: 413, exception: "RequestTooLargeException"}
	case hearth.ErrUnsupportedMedia:
		return meaning{status: 415, exception: "UnsupportedMediaTypeException"}
	case hearth.ErrReservedLimit:
		return meaning{status: 429, exception: "TooManyRequestsException", reason: "ReservedFunctionConcurrentInvocationLimitExceeded"}
	case hearth.ErrAccountLimit:
		return meaning{status: 429, exception: "TooManyRequestsException", reason: "ConcurrentInvocationLimitExceeded"}
	case hearth.ErrNotImplemented:
		return meaning{status: 501, exception: "NotImplementedException"}
	case hearth.ErrCapacity, hearth.ErrShuttingDown, hearth.ErrMoved:
		return meaning{status: 503, exception: "ServiceUnavailableException", service: true}
	}
	return meaning{status: 500, exception: "ServiceException", capital: true, service: true}
}

// lambdaBody is Lambda's error document. Whether the message's key begins with a
// capital depends on the exception (recorded behaviour of the service).
type lambdaBody struct {
	Capital string `json:"Message,omitempty"`
	Reason  string `json:"Reason,omitempty"`
	Type    string `json:"Type"`
	Message string `json:"message,omitempty"`
}

// explain turns any error into one for the caller. Causes that are the platform's
// own business are logged under the request id and not shown.
func (s *Server) explain(id string, err error) *hearth.Error {
	var e *hearth.Error
	known := errors.As(err, &e)
	switch {
	case known && e.Code != hearth.ErrInternal:
		return e
	case !known && errors.Is(err, context.Canceled):
		return hearth.Errorf(hearth.ErrShuttingDown, "The platform is stopping; try again when it is back.")
	}
	s.log.Error("request failed", slog.String("request", id), slog.Any("error", err))
	if known && e.Message != "" {
		return e
	}
	return hearth.Errorf(hearth.ErrInternal, "The platform failed in a way it did not foresee. Its log has the reason under request id %s.", id)
}

// failLambda answers with err the way Lambda's API does, and returns what it said.
func (s *Server) failLambda(ctx *fasthttp.RequestCtx, id string, err error) *hearth.Error {
	e := s.explain(id, err)
	m := meaningOf(e.Code)
	body := lambdaBody{Type: "User", Reason: m.reason}
	if m.service {
		body.Type = "Service"
	}
	if m.capital {
		body.Capital = e.Message
	} else {
		body.Message = e.Message
	}
	h := &ctx.Response.Header
	h.Set("X-Amzn-Errortype", m.exception)
	h.Set("X-Amzn-Requestid", id)
	s.writeJSON(ctx, m.status, body)
	retryLater(ctx, e.Code)
	return e
}

// hearthBody is the error document under /hearth/v1.
type hearthBody struct {
	Error hearthError `json:"error"`
}

type hearthError struct {
	Code    hearth.ErrorCode `json:"code"`
	Message string           `json:"message"`
}

// failHearth answers with err the way /hearth/v1 does.
func (s *Server) failHearth(ctx *fasthttp.RequestCtx, id string, err error) {
	e := s.explain(id, err)
	ctx.Response.Header.Set("X-Amzn-Requestid", id)
	s.writeLine(ctx, meaningOf(e.Code).status, hearthBody{hearthError{e.Code, e.Message}})
	retryLater(ctx, e.Code)
}

// fail answers with err in the form that the path's family uses.
func (s *Server) fail(ctx *fasthttp.RequestCtx, path, id string, err error) {
	if isDated(path) {
		s.failLambda(ctx, id, err)
		return
	}
	if strings.HasPrefix(path, urlPrefix) {
		s.failURL(ctx, id, err)
		return
	}
	s.failHearth(ctx, id, err)
}

// failUnknown answers a request of which not even the path is known, so that both
// Lambda's clients and Hearth's own understand.
func (s *Server) failUnknown(ctx *fasthttp.RequestCtx, id string, code hearth.ErrorCode, format string, args ...any) {
	m, message := meaningOf(code), fmt.Sprintf(format, args...)
	ctx.Response.Header.Set("X-Amzn-Errortype", m.exception)
	ctx.Response.Header.Set("X-Amzn-Requestid", id)
	s.writeLine(ctx, m.status, struct {
		hearthBody
		lambdaBody
	}{hearthBody{hearthError{code, message}}, lambdaBody{Type: "User", Message: message}})
}

func retryLater(ctx *fasthttp.RequestCtx, code hearth.ErrorCode) {
	if code == hearth.ErrCapacity || code == hearth.ErrShuttingDown {
		ctx.Response.Header.Set("Retry-After", "1")
	}
}

const typeJSON = "application/json"

// writeJSON answers with v as JSON.
func (s *Server) writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	s.write(ctx, status, v, "")
}

// writeLine does too, and ends the line: /hearth/v1 is often read on a terminal.
func (s *Server) writeLine(ctx *fasthttp.RequestCtx, status int, v any) {
	s.write(ctx, status, v, "\n")
}

func (s *Server) write(ctx *fasthttp.RequestCtx, status int, v any, end string) {
	text, err := json.Marshal(v)
	if err != nil {
		panic("api: an answer cannot be written as JSON: " + err.Error())
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(typeJSON)
	ctx.Response.SetBodyRaw(append(text, end...))
}
