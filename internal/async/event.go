package async

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// maxErrorBytes of a failed attempt's message stay with the event (Lambda: the first
// 1 KB of it is a dead letter's ErrorMessage).
const maxErrorBytes = 1024

// metaRoom is how much an event may grow after it was accepted: by the last error's
// text and type, whose characters may take six bytes each as JSON, and by numbers.
const metaRoom = 6*(maxErrorBytes+maxErrorTypeBytes) + 512

// maxErrorTypeBytes of the last error's type stay with the event.
const maxErrorTypeBytes = 128

// maxHops bounds how often one event's end may be another one's beginning: functions
// that are each other's destination would go round for ever (Lambda stops at 16 too).
const maxHops = 16

// record is an event as it is stored: what was submitted and how far it has come.
type record struct {
	Event
	Progress
	Due       time.Time // in a lane: when it goes back to the queue
	Hops      int       // destinations that led here
	ErrorType string    // of the last attempt that failed
	Error     string
}

// recordMeta is the JSON of a record, but for its payload. It is the format on disk:
// fields may be added, none may change its meaning.
type recordMeta struct {
	ID        string `json:"id"`
	Function  string `json:"f,omitempty"` // only where the key does not tell it
	Qualifier string `json:"q,omitempty"`
	Context   []byte `json:"ctx,omitempty"`
	Trace     string `json:"trace,omitempty"`
	ARN       string `json:"arn,omitempty"`
	Accepted  int64  `json:"at"` // Unix milliseconds
	stamp
	Attempts  int    `json:"n,omitempty"`
	Failures  int    `json:"nf,omitempty"`
	Refusals  int    `json:"nr,omitempty"`
	Due       int64  `json:"due,omitempty"`
	Hops      int    `json:"hops,omitempty"`
	ErrorType string `json:"et,omitempty"`
	Error     string `json:"e,omitempty"`
	// Of dead letters.
	Died      int64  `json:"died,omitempty"`
	Condition string `json:"why,omitempty"`
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (r *record) meta(c *clock) recordMeta {
	now := time.Now()
	if r.Born.IsZero() {
		r.Born = now
	}
	return recordMeta{
		ID: r.ID, Qualifier: r.Qualifier, Context: r.ClientContext, Trace: r.TraceID, ARN: r.InvokedARN,
		Accepted: millis(r.Accepted), stamp: c.stamp(r.Born, now), Attempts: r.Attempts, Failures: r.Failures, Refusals: r.Refusals,
		Due: millis(r.Due), Hops: r.Hops, ErrorType: r.ErrorType, Error: r.Error,
	}
}

func encodeMeta(m recordMeta) []byte {
	text, err := json.Marshal(m)
	if err != nil { // strings and numbers only
		panic(fmt.Sprintf("async: encode an event: %v", err))
	}
	return text
}

// message is the record for a line; once names this state of it, so that writing it
// again after a crash in between does no harm.
func (r *record) message(c *clock, key string, once bool) store.Message {
	m := store.Message{Key: key, Meta: encodeMeta(r.meta(c)), Data: r.Payload}
	if once {
		m.Once = r.onceName("attempt")
	}
	return m
}

// onceName names a state of the event: its id, its acceptance (a replayed event has
// the same id), and how far it has come.
func (r *record) onceName(what string) string {
	return r.ID + "/" + strconv.FormatInt(millis(r.Accepted), 36) + "/" + what + "/" + strconv.Itoa(r.Attempts)
}

// decodeRecord reads a message of a function's line.
func (c *clock) decodeRecord(function string, m *store.Stored) (record, recordMeta, error) {
	var meta recordMeta
	if err := json.Unmarshal(m.Meta, &meta); err != nil || meta.ID == "" {
		return record{}, meta, fmt.Errorf("async: message %d of %s is no event: %v", m.Seq, function, err)
	}
	now, accepted := time.Now(), fromMillis(meta.Accepted)
	return record{
		Event: Event{
			ID: meta.ID, Function: function, Qualifier: meta.Qualifier, Payload: m.Data,
			ClientContext: meta.Context, TraceID: meta.Trace, InvokedARN: meta.ARN,
		},
		Progress: Progress{
			Accepted: accepted, Born: c.born(meta.stamp, accepted, now, now.Round(0)), Attempts: meta.Attempts, Failures: meta.Failures, Refusals: meta.Refusals,
		},
		Due: fromMillis(meta.Due), Hops: meta.Hops, ErrorType: meta.ErrorType, Error: meta.Error,
	}, meta, nil
}

// status is what people are told about the record in a state.
func (r *record) status(state hearth.EventState, now time.Time) hearth.EventStatus {
	return hearth.EventStatus{
		ID: r.ID, Function: r.Function, Qualifier: r.Qualifier, State: state, Attempt: r.Attempts,
		Accepted: r.Accepted, Changed: now.UTC(), ErrorType: r.ErrorType, Error: r.Error,
	}
}

// clip shortens s to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
