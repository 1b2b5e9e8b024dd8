package async

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func TestEventSucceeds(t *testing.T) {
	w := up(t, function("f"))
	var got Event
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		got = *e
		return &hearth.Result{Instance: "i7"}, nil
	}
	sent := Event{ID: hearth.NewRequestID(), Function: "f", Qualifier: "prod", Payload: []byte(`{"a":"ü"}`),
		ClientContext: []byte(`{"c":1}`), TraceID: "Root=1", InvokedARN: "arn:f:prod"}
	if err := w.Submit(testContext(t), sent); err != nil {
		t.Fatal(err)
	}
	status := w.reaches(sent.ID, hearth.EventSucceeded)
	if status.Attempt != 1 || status.Instance != "i7" || status.Condition != hearth.ConditionSuccess || status.Qualifier != "prod" ||
		time.Since(status.Accepted) > testTime || status.Error != "" {
		t.Errorf("%+v", status)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", sent) {
		t.Errorf("got %+v, want %+v", got, sent)
	}
	if _, err := w.queue.Next(testContext(t), ">", 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the queue is not empty: %v", err)
	}
}

func TestSubmitRefuses(t *testing.T) {
	w := up(t, function("f"))
	for code, e := range map[hearth.ErrorCode]Event{
		hearth.ErrNotFound: {ID: "1", Function: "g"},
		hearth.ErrInvalid:  {Function: "f"},
		hearth.ErrTooLarge: {ID: "1", Function: "f", Payload: make([]byte, hearth.MaxAsyncPayloadBytes+1)},
	} {
		wantCode(t, w.Submit(testContext(t), e), code)
	}
	_, err := w.Status(testContext(t), "1")
	wantCode(t, err, hearth.ErrNotFound)
	payload := `"` + strings.Repeat("x", hearth.MaxAsyncPayloadBytes-2) + `"`
	w.reaches(w.submit("f", payload), hearth.EventSucceeded)
	if err := w.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.Submit(testContext(t), Event{ID: "1", Function: "f"}), hearth.ErrShuttingDown)
}
