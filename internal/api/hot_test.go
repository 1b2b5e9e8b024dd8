package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"runtime/debug"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
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
	for _, c := range []struct {
		name   string
		result hearth.Result
		beside bool
	}{
		{"small", hearth.Result{Payload: head, Body: []byte(base64.StdEncoding.EncodeToString(small))}, false},
		{"large body", hearth.Result{Payload: head, Body: []byte(base64.StdEncoding.EncodeToString(large))}, true},
		{"large result", hearth.Result{Payload: []byte(`"` + string(large) + `"`)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.deps.Invoker = &atOnce{c.result}
			resp := w.ask(t, "POST", "/fn/f/")
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || c.beside != (len(body) > largeBytes) {
				t.Fatalf("%d, %d bytes, %v", resp.StatusCode, len(body), err)
			}
			if stack := <-log.seen; bytes.Contains(stack, []byte("loop.(*Loop).run(")) == c.beside {
				t.Errorf("it was answered by\n%s", stack)
			}
		})
	}
}
