package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/loop"
)

// atOnce is an Invoker that tells the outcome before Start returns, as the link's reader
// does: on a loop's goroutine.
type atOnce struct{ result hearth.Result }

func (a *atOnce) Invoke(context.Context, *invoke.Request) (*hearth.Result, error) {
	result := a.result
	return &result, nil
}

func (a *atOnce) Start(r *invoke.Request, done hearth.Completion) {
	done.Complete(a.Invoke(context.Background(), r))
}

// stacks is a log that notes the stack of whoever logs a request.
type stacks struct {
	slog.Handler
	seen chan []byte
}

func (s stacks) Enabled(context.Context, slog.Level) bool { return true }

func (s stacks) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "request" {
		s.seen <- debug.Stack()
	}
	return nil
}

// A large answer is made beside the loop, all of whose connections would have to wait: also
// when most of it is a body that came beside the result, and may be base64.
func TestLargeAnswersLeaveTheLoop(t *testing.T) {
	log := stacks{slog.DiscardHandler, make(chan []byte, 1)}
	w := start(t, Config{Log: slog.New(log)})
	w.deploy(t, "f", "say", "1")
	small, large := bytes.Repeat([]byte("x"), 1<<10), bytes.Repeat([]byte("x"), largeBytes+1)
	head := []byte(`{"statusCode":200,"body":"","isBase64Encoded":true}`)
	var headers strings.Builder
	for i := range 500 {
		fmt.Fprintf(&headers, `"x-%d":"",`, i)
	}
	for _, c := range []struct {
		name   string
		result hearth.Result
		size   int // of the body
		beside bool
	}{
		{"small", hearth.Result{Payload: head, Body: []byte(base64.StdEncoding.EncodeToString(small))}, len(small), false},
		{"large body", hearth.Result{Payload: head, Body: []byte(base64.StdEncoding.EncodeToString(large))}, len(large), true},
		{"large result", hearth.Result{Payload: []byte(`"` + string(large) + `"`)}, len(large), true},
		{"many headers", hearth.Result{Payload: []byte(`{"statusCode":200,"headers":{` + headers.String() + `"x":""},"body":"x"}`)}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.deps.Invoker = &atOnce{c.result}
			resp := w.ask(t, "POST", "/fn/f/")
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || len(body) != c.size {
				t.Fatalf("%d, %d bytes, %v", resp.StatusCode, len(body), err)
			}
			if stack := <-log.seen; bytes.Contains(stack, []byte("loop.(*Loop).run(")) == c.beside {
				t.Errorf("it was answered by\n%s", stack)
			}
		})
	}
}

// The memory that an answer lies in is used again when the client has all of it, not while
// some of it waits for a client who reads late.
func TestLateReadersAnswerStays(t *testing.T) {
	const size = 8 << 20 // more than sockets hold
	w := start(t, Config{})
	w.deploy(t, "f", "say", "1")
	fill := func(b []byte, c byte) []byte {
		b = b[:cap(b)]
		for i := range b {
			b[i] = c
		}
		return b
	}
	memory := fill(loop.TakeBuffer(size), 'a')
	w.deps.Invoker = &atOnce{hearth.Result{Payload: []byte(`{"statusCode":200,"body":""}`), Body: memory[:size], Memory: memory}}
	resp := w.ask(t, "POST", "/fn/f/")
	for range 16 {
		fill(loop.TakeBuffer(size), 'b')
	}
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) != size || bytes.Count(body, []byte("a")) != size {
		t.Errorf("%d bytes came, of which %d are right: %v", len(body), bytes.Count(body, []byte("a")), err)
	}
}
