package runtimeapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"hearth/internal/hearth"
)

const (
	runtimePath   = "/2018-06-01/runtime/"
	extensionPath = "/2020-01-01/extension/"
	telemetryPath = "/2022-07-01/telemetry"
	logsPath      = "/2020-08-15/logs"
)

// routes are the Runtime API and the Extensions API.
func (a *adapter) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePath+"invocation/next", a.next)
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/response", a.response)
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/error", a.failure)
	mux.HandleFunc("POST "+runtimePath+"init/error", a.initFailure)
	mux.HandleFunc("POST "+extensionPath+"register", a.registerExtension)
	mux.HandleFunc("GET "+extensionPath+"event/next", a.nextEvent)
	mux.HandleFunc("POST "+extensionPath+"init/error", a.extensionFailed)
	mux.HandleFunc("POST "+extensionPath+"exit/error", a.extensionFailed)
	mux.HandleFunc("PUT "+telemetryPath, noTelemetry("Telemetry"))
	mux.HandleFunc("PUT "+logsPath, noTelemetry("Logs"))
	return mux
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // gone already
}

// accepted is the answer to every post. Some clients exit on any other.
func accepted(w http.ResponseWriter) {
	answer(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

// refuse answers with an error as the Runtime API words it.
func refuse(w http.ResponseWriter, status int, errorType, format string, args ...any) {
	answer(w, status, map[string]string{"errorMessage": fmt.Sprintf(format, args...), "errorType": errorType})
}

// next waits for an invocation. The first call says that the runtime has initialised.
func (a *adapter) next(w http.ResponseWriter, r *http.Request) {
	a.held.release(0) // the runtime has lived on
	if !a.runtimePolled() {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "State transition from InitError to Ready failed: init/error was posted before.")
		return
	}
	c, ok := a.table.poll()
	if !ok {
		a.impatient.Do(func() {
			a.tell("The runtime polls although it has not answered its invocation: the poll is refused, with status 403.")
		})
		refuse(w, http.StatusForbidden, "InvalidStateTransition",
			"The runtime has an invocation, or polls for one, already: answer it before you poll again. Functions that serve many at once have the concurrent execution model.")
		return
	}
	select {
	case inv := <-c:
		if r.Context().Err() != nil { // both have come
			a.table.again(inv)
			return
		}
		writeInvocation(w, inv)
	case <-r.Context().Done():
		a.table.leave(c)
	}
}

func writeInvocation(w http.ResponseWriter, inv *invocation) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.arn)
	h.Set("Lambda-Runtime-Trace-Id", inv.traceID())
	if inv.client != "" {
		var line bytes.Buffer
		if json.Compact(&line, []byte(inv.client)) == nil { // a header has one line
			h.Set("Lambda-Runtime-Client-Context", line.String())
		}
	}
	_, _ = w.Write(inv.payload) // a runtime that has gone is found by the end of its process
	inv.payload = nil
}

// claim finds the invocation that a post is about; it answers and returns nil if there
// is none.
func (a *adapter) claim(w http.ResponseWriter, r *http.Request) *invocation {
	inv, known := a.table.claim(r.PathValue("id"))
	switch {
	case inv != nil:
		return inv
	case known:
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "The invocation has been answered already.")
	default:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	}
	return nil
}

// response takes the answer to an invocation.
func (a *adapter) response(w http.ResponseWriter, r *http.Request) {
	if mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode"); mode != "" && mode != "streaming" {
		refuse(w, http.StatusBadRequest, "InvalidFunctionResponseMode", "Lambda-Runtime-Function-Response-Mode is streaming or absent, not %q.", mode)
		return
	}
	inv := a.claim(w, r)
	if inv == nil {
		return
	}
	if streams(r) {
		a.stream(w, r, inv)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(a.init.MaxResponseBytes)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		a.finish(inv, flagFailed, encode(tooLarge(inv.id, a.init.MaxResponseBytes)))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (%d bytes).", a.init.MaxResponseBytes)
	case err != nil:
		a.table.unclaim(inv)
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", "The response did not come whole: %v.", err)
	default:
		if failure := trailing(r); failure != nil {
			a.finish(inv, flagFailed, failure)
		} else {
			a.finish(inv, 0, body)
		}
		accepted(w)
	}
}

// streams tells responses that are passed on while they come. Some clients say so; the
// one for Go does not, and sends JSON, too, in chunks.
func streams(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return r.Header.Get("Lambda-Runtime-Function-Response-Mode") == "streaming" ||
		r.ContentLength < 0 && strings.TrimSpace(kind) != "application/json"
}

// trailing is the failure that a response's trailers tell of, nil if there is none.
func trailing(r *http.Request) []byte {
	kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return nil
	}
	body, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err != nil {
		body = nil
	}
	return asDoc(body, kind)
}

func tooLarge(id string, most int) hearth.FailureDoc {
	return hearth.FailureDoc{ErrorType: hearth.TypeResponseTooLarge, ErrorMessage: fmt.Sprintf(
		"RequestId: %s Error: Response payload size exceeded maximum allowed payload size (%d bytes). Return less, or store the result and return where it is.", id, most)}
}

// failure takes the failure of an invocation.
func (a *adapter) failure(w http.ResponseWriter, r *http.Request) {
	inv := a.claim(w, r)
	if inv == nil {
		return
	}
	body, err := readDoc(w, r)
	if err != nil {
		a.table.unclaim(inv)
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", "The failure did not come whole: %v.", err)
		return
	}
	a.finishLater(inv, flagFailed, body)
	accepted(w)
}

// initFailure takes the failure of the runtime's init.
func (a *adapter) initFailure(w http.ResponseWriter, r *http.Request) {
	body, err := readDoc(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestFormat", "The failure did not come whole: %v.", err)
		return
	}
	if !a.failInit(body) {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "The runtime has initialised already: it has polled for an invocation, or has posted an error.")
		return
	}
	accepted(w)
}

// errorType is what Lambda-Runtime-Function-Error-Type must look like.
var errorType = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][A-Za-z]+$`)

// readDoc reads a failure document.
func readDoc(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8*maxDoc))
	if err != nil {
		return nil, err
	}
	return asDoc(body, r.Header.Get("Lambda-Runtime-Function-Error-Type")), nil
}

// asDoc makes a failure document of whatever a runtime posts as one: JSON objects with
// an errorType stay as they are.
func asDoc(body []byte, kind string) []byte {
	var doc hearth.FailureDoc
	if json.Unmarshal(body, &doc) == nil && doc.ErrorType != "" && len(body) <= maxDoc {
		return body
	}
	if doc.ErrorType == "" {
		doc.ErrorType = "Function.Unknown"
		if errorType.MatchString(kind) {
			doc.ErrorType = kind
		}
	}
	if doc.ErrorMessage == "" && len(body) > 0 {
		doc.ErrorMessage = string(body[:min(len(body), 1024)])
	}
	doc.ErrorMessage = doc.ErrorMessage[:min(len(doc.ErrorMessage), 10_000)]
	doc.Trace, doc.StackTrace = nil, nil
	return encode(doc)
}
