package async

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
)

func TestDestinations(t *testing.T) {
	f, g, sink := function("f"), function("g"), function("sink")
	f.Async = &hearth.AsyncConfig{Retries: new(int), OnSuccess: hearth.FunctionARN("eu-west-1", "123456789012", "sink", ""),
		OnFailure: "sink", DeadLetter: "dlq"}
	g.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "nobody"}
	w := up(t, f, g, sink)
	records := make(chan destinationRecord, 10)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		switch {
		case e.Function == "sink":
			var r destinationRecord
			if err := json.Unmarshal(e.Payload, &r); err != nil {
				t.Error(err)
			}
			records <- r
			return &hearth.Result{}, nil
		case string(e.Payload) == `"good"`:
			return &hearth.Result{Version: "3", Payload: []byte(`{"ok":true}`)}, nil
		}
		return failed("E", "no"), nil
	}
	good := w.submit("f", `"good"`)
	r := <-records
	if r.Version != "1.0" || r.RequestContext.RequestID != good || r.RequestContext.Condition != hearth.ConditionSuccess ||
		r.RequestContext.ApproximateInvokeCount != 1 || string(r.RequestPayload) != `"good"` || string(r.ResponsePayload) != `{"ok":true}` ||
		*r.ResponseContext != (responseContext{200, "3", ""}) || r.RequestContext.FunctionARN != "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST" {
		t.Errorf("%+v", r)
	}
	bad := w.submit("f", `not JSON`)
	r = <-records
	if r.RequestContext.RequestID != bad || r.RequestContext.Condition != hearth.ConditionExhausted || string(r.RequestPayload) != `"not JSON"` ||
		r.ResponseContext.FunctionError != hearth.Unhandled {
		t.Errorf("%+v", r)
	}
	w.reaches(bad, hearth.EventDead)
	if list := w.deadLetters("f"); len(list) != 1 || list[0].ID != bad {
		t.Errorf("%+v", list)
	}
	w.reaches(w.submit("g", `1`), hearth.EventDead) // its destination is not there
	if list := w.deadLetters("g"); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestFailuresAreKept: a failure sent to a subject that no stream keeps is a dead
// letter too, and a success is none.
func TestFailuresAreKept(t *testing.T) {
	sent, kept := function("sent"), function("kept")
	sent.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "nats:nobody.listens", OnSuccess: "nats:nobody.listens"}
	kept.Async = &hearth.AsyncConfig{Retries: new(int), DeadLetter: "nats:nobody.listens", OnFailure: "nats:nobody.else"}
	w := up(t, sent, kept)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if string(e.Payload) == "good" {
			return &hearth.Result{}, nil
		}
		return failed("E", "no"), nil
	}
	w.reaches(w.submit("sent", "good"), hearth.EventSucceeded)
	for _, name := range []string{"sent", "kept"} {
		id := w.submit(name, "bad")
		w.reaches(id, hearth.EventDead)
		if list := w.deadLetters(name); len(list) != 1 || list[0].ID != id {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// TestOneFunctionInTwoRoles: a function that is both destinations of a failure gets
// both, and so do two qualifiers of one function.
func TestOneFunctionInTwoRoles(t *testing.T) {
	f, g := function("f"), function("g")
	f.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "sink", DeadLetter: "sink"}
	g.Async = &hearth.AsyncConfig{Retries: new(int), OnFailure: "sink:prod", DeadLetter: "sink:dev"}
	w := up(t, f, g, function("sink"))
	got := make(chan string, 10)
	w.invoke = func(_ context.Context, e *Event) (*hearth.Result, error) {
		if e.Function != "sink" {
			return failed("E", "no"), nil
		}
		got <- e.Qualifier + " " + strconv.FormatBool(string(e.Payload) == "bad")
		return &hearth.Result{}, nil
	}
	for name, want := range map[string][]string{"f": {" false", " true"}, "g": {"dev true", "prod false"}} {
		w.submit(name, "bad")
		var list []string
		for range 2 {
			select {
			case what := <-got:
				list = append(list, what)
			case <-testContext(t).Done():
				t.Fatalf("%s: only %q came", name, list)
			}
		}
		if slices.Sort(list); !slices.Equal(list, want) {
			t.Errorf("%s: %q, want %q", name, list, want)
		}
	}
}

// TestForwardedTwice: an end that is delivered again, as after a crash, is one event
// with one status.
func TestForwardedTwice(t *testing.T) {
	w := up(t, function("f"), function("sink"))
	rec := record{Event: Event{ID: "first", Function: "f", Payload: []byte("1")}, Progress: Progress{Accepted: time.Now(), Attempts: 1}}
	end := &ending{rec: &rec, now: time.Now(), condition: hearth.ConditionSuccess, result: &hearth.Result{}}
	id := idOf(rec.onceName("to/success/sink"))
	for range 3 {
		if err := w.deliver(testContext(t), "sink", end, roleSuccess); err != nil {
			t.Fatal(err)
		}
		w.reaches(id, hearth.EventSucceeded)
	}
	if b, err := w.Backlog(testContext(t), "sink"); err != nil || b.Accepted != 1 || w.count(id) != 1 {
		t.Errorf("%+v, %v; %d attempts", b, err, w.count(id))
	}
	if n := w.count(id); n != len(w.order) || len(id) != len(hearth.NewRequestID()) {
		t.Errorf("%d attempts of %s, %d in all", n, id, len(w.order))
	}
	for range 2 {
		if err := w.SubmitOnce(testContext(t), Event{ID: "beat", Function: "f"}); err != nil {
			t.Fatal(err)
		}
		w.reaches("beat", hearth.EventSucceeded)
	}
	if b, err := w.Backlog(testContext(t), "f"); err != nil || b.Accepted != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestRoundAndRound: functions that are each other's destinations come to an end.
func TestRoundAndRound(t *testing.T) {
	f, g := function("f"), function("g")
	f.Async, g.Async = &hearth.AsyncConfig{OnSuccess: "g"}, &hearth.AsyncConfig{OnSuccess: "f"}
	w := up(t, f, g)
	w.submit("f", "1")
	eventually(t, "the round ends", func() bool { return len(w.deadLetters("")) == 1 })
	if n := len(w.order); n != maxHops+1 {
		t.Errorf("%d invocations", n)
	}
}

// TestSuccessNotDelivered: a success whose destination is not there has succeeded; the
// dead letter says what it is.
func TestSuccessNotDelivered(t *testing.T) {
	f := function("f")
	f.Async = &hearth.AsyncConfig{OnSuccess: "nobody"}
	w := up(t, f)
	id := w.submit("f", "1")
	if status := w.reaches(id, hearth.EventSucceeded); status.Error != "" || status.Condition != hearth.ConditionSuccess {
		t.Errorf("%+v", status)
	}
	list := w.deadLetters("f")
	if len(list) != 1 || list[0].ID != id || list[0].Condition != hearth.ConditionUndelivered ||
		list[0].ErrorType != typeUndelivered || !strings.Contains(list[0].Error, "has succeeded, but its destination nobody") {
		t.Errorf("%+v", list)
	}
}
