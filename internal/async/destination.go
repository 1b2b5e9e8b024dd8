package async

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// destinationRecord is Lambda's JSON for the destinations of an asynchronous
// invocation.
type destinationRecord struct {
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	RequestContext  requestContext   `json:"requestContext"`
	RequestPayload  json.RawMessage  `json:"requestPayload"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage  `json:"responsePayload,omitempty"`
}

type requestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"`
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// maxRecordPayload bounds a response in a destination record. A larger one is left
// out: the record must fit where an event fits.
const maxRecordPayload = hearth.MaxAsyncPayloadBytes

// ending is how an event came to its end.
type ending struct {
	rec       *record
	now       time.Time
	condition string
	result    *hearth.Result // of the last attempt, nil if it reached no instance
}

func (s *Service) encodeEnding(e *ending) []byte {
	qualifier := e.rec.Qualifier
	if qualifier == "" {
		qualifier = hearth.Latest
	}
	d := destinationRecord{
		Version:   "1.0",
		Timestamp: e.now.UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext: requestContext{
			RequestID:   e.rec.ID,
			FunctionARN: hearth.FunctionARN(s.cfg.Region, s.cfg.Account, e.rec.Function, qualifier),
			Condition:   e.condition, ApproximateInvokeCount: e.rec.Attempts,
		},
		RequestPayload: asJSON(e.rec.Payload),
	}
	if r := e.result; r != nil {
		d.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: r.Version, FunctionError: r.FunctionError}
		if len(r.Payload) <= maxRecordPayload {
			d.ResponsePayload = asJSON(r.Payload)
		}
	}
	text, err := json.Marshal(&d)
	if err != nil { // asJSON has seen to it
		panic("async: encode a destination record: " + err.Error())
	}
	return text
}

// asJSON embeds a payload: as it is if it is JSON, as a string if it is not.
func asJSON(payload []byte) json.RawMessage {
	switch {
	case len(payload) == 0:
		return json.RawMessage("null")
	case json.Valid(payload):
		return payload
	}
	text, err := json.Marshal(string(payload))
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// role is what a destination is to a function. One destination may have several.
type role string

const (
	roleSuccess    role = "success"
	roleFailure    role = "failure"
	roleDeadLetter role = "deadletter"
)

// conclude takes an event's end to where it must go. When it returns nil that is
// durable, and the event may leave the queue. Doing it again does little harm: within
// two minutes none.
func (s *Service) conclude(ctx context.Context, cfg *hearth.AsyncConfig, e *ending) error {
	if cfg == nil {
		cfg = &hearth.AsyncConfig{}
	}
	if e.condition == hearth.ConditionSuccess {
		return s.deliver(ctx, cfg.OnSuccess, e, roleSuccess)
	}
	if cfg.OnFailure == "" && cfg.DeadLetter == "" {
		return s.bury(ctx, e)
	}
	if err := s.deliver(ctx, cfg.OnFailure, e, roleFailure); err != nil {
		return err
	}
	return s.deliver(ctx, cfg.DeadLetter, e, roleDeadLetter)
}

// deliver hands the end over to one destination. A dead-letter destination gets the
// event as it came, the others get the record. What can never be delivered is buried,
// and so is a failure that a subject took which no stream keeps.
func (s *Service) deliver(ctx context.Context, destination string, e *ending, as role) error {
	dest, err := hearth.ParseDestination(destination)
	if err != nil {
		return s.undeliverable(ctx, destination, e, err)
	}
	data, headers := e.rec.Payload, e.attributes()
	if as != roleDeadLetter {
		data, headers = s.encodeEnding(e), nil
	}
	switch dest.Kind {
	case hearth.ToFunction:
		err = s.forward(ctx, dest.Function, data, e.rec, e.rec.onceName("to/"+string(as)+"/"+destination))
	case hearth.ToSubject:
		var stored bool
		stored, err = s.store.Send(ctx, dest.Subject, data, headers)
		if err == nil && !stored && e.condition != hearth.ConditionSuccess {
			return s.bury(ctx, e) // no stream kept it, and perhaps nobody listened
		}
	case hearth.ToDeadLetter:
		return s.bury(ctx, e)
	}
	if permanent(err) {
		return s.undeliverable(ctx, destination, e, err)
	}
	return err
}

// attributes of a dead letter (Lambda: RequestID, ErrorCode, ErrorMessage).
func (e *ending) attributes() map[string]string {
	code := 200 // the function was reached
	if e.result == nil {
		code = 500
		if e.condition == hearth.ConditionZeroReserved || e.rec.Refusals > 0 {
			code = 429
		}
	}
	return map[string]string{"RequestID": e.rec.ID, "ErrorCode": strconv.Itoa(code), "ErrorMessage": e.rec.Error}
}

var errTooManyHops = errors.New("the functions are each other's destinations, and it went round 16 times")

// idOf is a request id that follows from a name: a UUID of version 8 (RFC 9562).
func idOf(name string) string {
	b := sha256.Sum256([]byte(name))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// forward submits an event of another function. Once names this delivery, so that
// doing it twice is noticed; the new event's id follows from it, so that both are one
// event also when the engine has forgotten the name.
func (s *Service) forward(ctx context.Context, to hearth.FunctionRef, payload []byte, from *record, once string) error {
	if from.Hops >= maxHops {
		return errTooManyHops
	}
	if _, _, err := s.deps.Functions.Resolve(to.Name, to.Qualifier); err != nil {
		return err
	}
	rec := record{
		Event: Event{ID: idOf(once), Function: to.Name, Qualifier: to.Qualifier, Payload: payload,
			TraceID: from.TraceID, InvokedARN: hearth.FunctionARN(s.cfg.Region, s.cfg.Account, to.Name, to.Qualifier)},
		Progress: Progress{Accepted: time.Now()},
		Hops:     from.Hops + 1,
	}
	return s.enqueue(ctx, &rec, once, true)
}

// permanent tells errors that trying again does not cure.
func permanent(err error) bool {
	if err == nil {
		return false
	}
	var e *hearth.Error
	return errors.Is(err, errTooManyHops) || errors.Is(err, store.ErrTooLarge) ||
		errors.As(err, &e) && e.Code == hearth.ErrNotFound
}

// undeliverable buries an event whose destination does not take it: nobody else would
// know of its end.
func (s *Service) undeliverable(ctx context.Context, destination string, e *ending, why error) error {
	s.cfg.Log.Warn("async: destination not reached, the event goes to the dead-letter store",
		"function", e.rec.Function, "request", e.rec.ID, "destination", destination, "error", why)
	s.emit("async.undeliverable", e.rec, destination, why.Error())
	if e.condition != hearth.ConditionSuccess {
		return s.bury(ctx, e)
	}
	// What is dead is not the event but the news of its success.
	rec := *e.rec
	rec.ErrorType = typeUndelivered
	rec.Error = clip("The function has succeeded, but its destination "+destination+" was not reached: "+why.Error()+
		". A replay executes the function once more.", maxErrorBytes)
	return s.bury(ctx, &ending{rec: &rec, now: e.now, condition: hearth.ConditionUndelivered, result: e.result})
}

// typeUndelivered is the error of a success whose destination was not reached.
const typeUndelivered = "Hearth.DestinationNotReached"
