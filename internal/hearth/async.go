package hearth

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits of asynchronous invocation; they are Lambda's. MaxAsyncPayloadBytes bounds
// an event's payload (1 MB).
const (
	MaxAsyncPayloadBytes = 1 << 20
	MaxAsyncRetries      = 2
	DefaultAsyncRetries  = 2
	MinEventAge          = 60 * time.Second
	MaxEventAge          = 6 * time.Hour
	DefaultEventAge      = MaxEventAge
)

// MaxDestinationLen is Lambda's limit for a destination's ARN.
const MaxDestinationLen = 350

// AsyncConfig says what becomes of a function's asynchronous invocations (Lambda API:
// EventInvokeConfig, and DeadLetterConfig's TargetArn). A nil AsyncConfig has all the
// defaults. The destinations are as ParseDestination reads them; an empty one is not
// set. What fails for good and has neither OnFailure nor DeadLetter goes to the
// built-in dead-letter store: Hearth never drops an event in silence.
type AsyncConfig struct {
	// Retries after a function error, 0 to 2; nil means DefaultAsyncRetries.
	Retries *int `json:"retries,omitempty"`
	// MaxAge of an event that may still be tried; 0 means DefaultEventAge.
	MaxAge time.Duration `json:"maxAge,omitempty"`
	// OnSuccess and OnFailure get the record of the invocation (Lambda's destinations).
	OnSuccess string `json:"onSuccess,omitempty"`
	OnFailure string `json:"onFailure,omitempty"`
	// DeadLetter gets the payload as it came, with attributes that say what was wrong.
	DeadLetter   string    `json:"deadLetter,omitempty"`
	LastModified time.Time `json:"lastModified,omitzero"`
}

// RetryLimit is how often a function error is retried. c may be nil.
func (c *AsyncConfig) RetryLimit() int {
	if c == nil || c.Retries == nil {
		return DefaultAsyncRetries
	}
	return *c.Retries
}

// AgeLimit is how old an event may become and still be tried. c may be nil.
func (c *AsyncConfig) AgeLimit() time.Duration {
	if c == nil || c.MaxAge == 0 {
		return DefaultEventAge
	}
	return c.MaxAge
}

// Clone returns a copy that shares nothing with c, which may be nil.
func (c *AsyncConfig) Clone() *AsyncConfig {
	if c == nil {
		return nil
	}
	d := *c
	if c.Retries != nil {
		n := *c.Retries
		d.Retries = &n
	}
	return &d
}

// Equal tells whether c and d, which may be nil, say the same.
func (c *AsyncConfig) Equal(d *AsyncConfig) bool {
	if c == nil || d == nil {
		return c == d
	}
	return (c.Retries == nil) == (d.Retries == nil) && c.RetryLimit() == d.RetryLimit() &&
		c.MaxAge == d.MaxAge && c.OnSuccess == d.OnSuccess && c.OnFailure == d.OnFailure &&
		c.DeadLetter == d.DeadLetter && c.LastModified.Equal(d.LastModified)
}

// Validate checks the limits and the form of the destinations. c may be nil. The
// error is an *Error with ErrInvalid that names every field that is wrong.
func (c *AsyncConfig) Validate() error {
	if c == nil {
		return nil
	}
	var v violations
	if c.Retries != nil {
		v.between("maximumRetryAttempts", int64(*c.Retries), 0, MaxAsyncRetries, "retries")
	}
	if c.MaxAge != 0 {
		seconds := strconv.FormatFloat(c.MaxAge.Seconds(), 'f', -1, 64)
		if c.MaxAge < MinEventAge || c.MaxAge > MaxEventAge {
			v.add("maximumEventAgeInSeconds", seconds, "Member must be between %d and %d (seconds)",
				int(MinEventAge.Seconds()), int(MaxEventAge.Seconds()))
		}
	}
	for _, d := range []struct{ field, value string }{
		{"destinationConfig.onSuccess.destination", c.OnSuccess},
		{"destinationConfig.onFailure.destination", c.OnFailure},
		{"deadLetterConfig.targetArn", c.DeadLetter},
	} {
		if _, err := ParseDestination(d.value); err != nil {
			v.add(d.field, d.value, "%s", err.Error())
		}
	}
	return v.err()
}

// DestinationKind is where a destination leads.
type DestinationKind string

const (
	ToNowhere    DestinationKind = ""
	ToFunction   DestinationKind = "function" // invoked asynchronously
	ToSubject    DestinationKind = "nats"     // a NATS subject
	ToDeadLetter DestinationKind = "dlq"      // the built-in dead-letter store
)

// Destination is what ParseDestination has read.
type Destination struct {
	Kind     DestinationKind
	Function FunctionRef // of ToFunction
	Subject  string      // of ToSubject
}

// subjectPrefix introduces a NATS subject as a destination.
const subjectPrefix = "nats:"

// ParseDestination reads one of
//
//	""                            nowhere
//	dlq                           the built-in dead-letter store
//	nats:SUBJECT                  a NATS subject
//	NAME, NAME:QUALIFIER or ARN   a function, as ParseFunctionRef has it
//
// The error says in words what is wrong.
func ParseDestination(s string) (Destination, error) {
	switch {
	case s == "":
		return Destination{}, nil
	case len(s) > MaxDestinationLen:
		return Destination{}, fmt.Errorf("it has %d characters, at most %d are allowed", len(s), MaxDestinationLen)
	case s == string(ToDeadLetter):
		return Destination{Kind: ToDeadLetter}, nil
	case strings.HasPrefix(s, subjectPrefix):
		subject := s[len(subjectPrefix):]
		if err := checkSubject(subject); err != nil {
			return Destination{}, err
		}
		return Destination{Kind: ToSubject, Subject: subject}, nil
	case strings.HasPrefix(s, "arn:") && !strings.Contains(s, ":lambda:"):
		return Destination{}, fmt.Errorf("only functions can be named by an ARN here; write a function's name or ARN, nats:SUBJECT or dlq")
	}
	ref, err := ParseFunctionRef(s)
	if err != nil {
		return Destination{}, fmt.Errorf("it is no function; write a function's name or ARN, nats:SUBJECT or dlq")
	}
	return Destination{Kind: ToFunction, Function: ref}, nil
}

// checkSubject refuses what cannot be published to, and what the engine and Hearth
// keep for themselves.
func checkSubject(s string) error {
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") {
			return fmt.Errorf("%q is no NATS subject: write words with dots between them, no spaces, no wildcards", clip(s))
		}
	}
	if s[0] == '$' || s[0] == '_' || s == "hearth" || strings.HasPrefix(s, "hearth.") {
		return fmt.Errorf("the subject %q is reserved: it may not begin with $, _ or hearth", clip(s))
	}
	return nil
}

// EventState is where an asynchronous invocation stands.
type EventState string

const (
	EventQueued    EventState = "queued"
	EventRunning   EventState = "running"
	EventRetrying  EventState = "retrying" // waits for its next attempt
	EventSucceeded EventState = "succeeded"
	EventDead      EventState = "dead" // given up; see Condition and Error
)

// Why an event came to its end (Lambda's destination record). Two are Hearth's own:
// ConditionRejected, when the event can never run, for example because its function is
// gone; and ConditionUndelivered, of a dead letter only: the function has succeeded, but
// its OnSuccess destination did not take the record.
const (
	ConditionSuccess      = "Success"
	ConditionExhausted    = "RetriesExhausted"
	ConditionAge          = "EventAgeExceeded"
	ConditionZeroReserved = "ZeroReservedConcurrency"
	ConditionRejected     = "Rejected"
	ConditionUndelivered  = "SuccessNotDelivered"
)

// EventStatus is what is known of one asynchronous invocation.
type EventStatus struct {
	ID        string     `json:"id"` // the request id
	Function  string     `json:"function"`
	Qualifier string     `json:"qualifier,omitempty"`
	State     EventState `json:"state"`
	// Attempt counts from 1: the one that runs, ran last, or 0 before the first.
	// Attempts that were throttled before they reached an instance count too.
	Attempt  int    `json:"attempt"`
	Instance string `json:"instance,omitempty"` // that ran the last attempt
	// Accepted is when the event was synced to disk; Changed when its state last
	// changed; NextAttempt when a retrying event is tried again.
	Accepted    time.Time `json:"accepted"`
	Changed     time.Time `json:"changed"`
	NextAttempt time.Time `json:"nextAttempt,omitzero"`
	Condition   string    `json:"condition,omitempty"` // of an event that has ended
	ErrorType   string    `json:"errorType,omitempty"`
	Error       string    `json:"error,omitempty"` // of the last attempt, shortened
}

// DeadLetter is an event that was given up.
type DeadLetter struct {
	Key       uint64    `json:"key"` // its name in the dead-letter store; never used twice
	ID        string    `json:"id"`  // the request id
	Function  string    `json:"function"`
	Qualifier string    `json:"qualifier,omitempty"`
	Accepted  time.Time `json:"accepted"`
	Died      time.Time `json:"died"`
	Attempts  int       `json:"attempts"`
	Condition string    `json:"condition"`
	ErrorType string    `json:"errorType,omitempty"` // dead-letter attribute ErrorCode, in words
	Error     string    `json:"error,omitempty"`     // ErrorMessage: the first 1 KB
	Size      int       `json:"size"`                // bytes of the payload
	// Payload and ClientContext are there when one dead letter is read, not in lists.
	Payload       []byte `json:"payload,omitempty"`
	ClientContext []byte `json:"clientContext,omitempty"`
}

// Backlog is the state of one function's asynchronous invocations on this node.
type Backlog struct {
	Function string `json:"function"`
	Queued   uint64 `json:"queued"`   // accepted, waiting for a slot
	Running  int    `json:"running"`  // attempts under way
	Retrying uint64 `json:"retrying"` // waiting for their next attempt
	// Oldest is when the event that waits longest was accepted, in line or for a retry;
	// zero when none waits. Of events with the same delay the first is looked at.
	Oldest time.Time `json:"oldest,omitzero"`
	// AcceptedPerSecond and FinishedPerSecond are over the last minute.
	AcceptedPerSecond float64 `json:"acceptedPerSecond"`
	FinishedPerSecond float64 `json:"finishedPerSecond"`
	// Totals since the platform started.
	Accepted  uint64 `json:"accepted"`
	Succeeded uint64 `json:"succeeded"`
	Retries   uint64 `json:"retries"`
	Dead      uint64 `json:"dead"`
	// DeadLetters are in the store now.
	DeadLetters uint64 `json:"deadLetters"`
}
