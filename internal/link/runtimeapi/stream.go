package runtimeapi

import (
	"errors"
	"io"
	"net/http"

	"hearth/internal/hearth"
)

// stream passes a response on as the runtime sends it. It reads on only when the host
// has room: that is the back-pressure. Errors come as trailers of the request, which is
// answered with 202 all the same (Runtime API).
func (a *adapter) stream(w http.ResponseWriter, r *http.Request, inv *invocation) {
	s := sender{a: a, inv: inv, contentType: r.Header.Get("Content-Type")}
	buf := make([]byte, chunk)
	var err error
	for err == nil {
		var n int
		if n, err = r.Body.Read(buf); n > 0 && !s.send(buf[:n]) {
			s.end(nil)
			panic(http.ErrAbortHandler) // the runtime sees its connection closed
		}
	}
	if !errors.Is(err, io.EOF) {
		s.end(encode(hearth.FailureDoc{ErrorType: "Runtime.TruncatedResponse",
			ErrorMessage: "The runtime broke off in the middle of a streamed response."}))
		return
	}
	s.end(trailing(r))
	accepted(w)
}

// sender turns a streamed response into frames.
type sender struct {
	a           *adapter
	inv         *invocation
	contentType string
	begun       bool
}

// send sends part, and waits for room as it must. It is false when nobody waits for
// the response any more.
func (s *sender) send(part []byte) bool {
	for len(part) > 0 {
		n := s.a.table.take(s.inv, len(part))
		if n == 0 {
			select {
			case <-s.inv.room:
				continue
			case <-s.inv.cancelled:
				return false
			}
		}
		s.write(flagMore, part[:n])
		part = part[n:]
	}
	return true
}

func (s *sender) write(flags byte, part []byte) {
	if s.begun {
		s.a.host.write(kindResultData, flags, s.inv.stream, "", part)
		return
	}
	s.begun = true
	kind := s.contentType[:min(len(s.contentType), 255)]
	s.a.host.write(kindResult, flags|flagStreamed, s.inv.stream, string([]byte{byte(len(kind))})+kind, part)
}

// end ends the response: with a failure document, if there is one.
func (s *sender) end(failure []byte) {
	switch {
	case failure == nil:
		s.a.finishWith(s.inv, func() { s.write(0, nil) })
	case s.begun:
		s.a.finishWith(s.inv, func() { s.write(flagFailed, failure) })
	default:
		s.a.finish(s.inv, flagFailed, failure)
	}
}
