package subject

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func TestEvent(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	got := string(encode([]record{
		recordOf("S", &store.Taken{Subject: "a.b", Data: []byte(`{ "x": "<1>" }`), Seq: 7, Time: at, Deliveries: 1, Headers: map[string][]string{"K": {"v", "w"}}}, 0),
		recordOf("S", &store.Taken{Subject: "a.c", Data: []byte("text"), Seq: 8, Time: at, Deliveries: 2}, 1),
	}))
	want := `{"Records":[{"eventSource":"hearth:nats","itemIdentifier":"7","stream":"S","sequence":7,"subject":"a.b","headers":{"K":["v","w"]},` +
		`"timestamp":"2026-03-01T12:00:00.005Z","attempt":1,"encoding":"json","data":{"x":"<1>"}},` +
		`{"eventSource":"hearth:nats","itemIdentifier":"8","stream":"S","sequence":8,"subject":"a.c","headers":{},` +
		`"timestamp":"2026-03-01T12:00:00.005Z","attempt":3,"encoding":"base64","data":"dGV4dA=="}]}`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if keyOf("a.b.c", 2) != "b" || keyOf("a.b.c", 4) != "" || keyOf("a", 0) != "" {
		t.Error("keys of partitions")
	}
}

func TestJudge(t *testing.T) {
	throttled, tooLarge := hearth.Errorf(hearth.ErrCapacity, "x"), hearth.Errorf(hearth.ErrTooLarge, "x")
	for _, c := range []struct {
		result *hearth.Result
		err    error
		want   string
	}{
		{nil, throttled, "{true false []} capacity"},
		{nil, tooLarge, "{false true []} too_large"},
		{&hearth.Result{Payload: []byte(`null`)}, nil, "{false false []} "},
		{&hearth.Result{Payload: []byte(`not JSON`)}, nil, "{false false []} "},
		{&hearth.Result{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":3}]}`)}, nil, "{false true [2 3]} BatchItemFailures"},
		{&hearth.Result{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"9"}]}`)}, nil, "{false true []} BatchItemFailures"},
		{&hearth.Result{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":""}]}`)}, nil, "{false true []} BatchItemFailures"},
		{&hearth.Result{Payload: []byte(`{"batchItemFailures":null}`)}, nil, "{false false []} "},
		{&hearth.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"E"}`)}, nil, "{false true []} E"},
		{&hearth.Result{FunctionError: "Unhandled", Payload: []byte(`x`)}, nil, "{false true []} Unhandled"},
		{&hearth.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"Hearth.InstanceFailed"}`)}, nil, "{true false []} Hearth.InstanceFailed"},
	} {
		v, errorType, _ := judge(c.result, c.err, []uint64{1, 2, 3})
		if got := fmt.Sprint(v, " ", errorType); strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%+v, %v: %s, want %s", c.result, c.err, got, c.want)
		}
	}
}

// FuzzFailures: whatever a function returns names messages of its batch, or fails all.
func FuzzFailures(f *testing.F) {
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":"2"}]}`))
	f.Add([]byte(`{"batchItemFailures":[{"itemIdentifier":""},{}]}`))
	f.Add([]byte(`{"batchItemFailures":{}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		failed, whole := failures(payload, []uint64{1, 2, 3})
		if whole && len(failed) > 0 {
			t.Errorf("all, and %v", failed)
		}
		for _, seq := range failed {
			if seq < 1 || seq > 3 {
				t.Errorf("%d is not in the batch", seq)
			}
		}
	})
}
