package hearth

import (
	"fmt"
	"strings"
	"time"
)

// Defaults and limits of a NATS trigger.
const (
	DefaultBatchSize   = 10 // Lambda's default for queues
	MaxBatchSize       = 1000
	DefaultMaxAttempts = 5
	MaxMaxAttempts     = 1000
	MaxPartitionToken  = 32
)

// StartFrom says where a trigger begins to read a stream that was there before it.
type StartFrom string

const (
	// FromNew begins with the messages that come after the trigger was declared.
	FromNew StartFrom = "new"
	// FromAll begins with the oldest message of the stream.
	FromAll StartFrom = "all"
)

// NATSTrigger invokes its function with batches of messages.
type NATSTrigger struct {
	// Subject is what is listened to; wildcards are allowed, but for the first word of a
	// plain subject. With a Stream it selects among that stream's messages, all if empty.
	Subject string `json:"subject,omitempty"`
	// Stream is an existing JetStream stream; when empty Hearth keeps the subject's
	// messages in a stream of its own.
	Stream string `json:"stream,omitempty"`
	// BatchSize is the most messages in one invocation; DefaultBatchSize when 0.
	BatchSize int `json:"batchSize,omitempty"`
	// NewBatchThreshold: a new batch begins when at most so many messages are in flight,
	// so BatchSize+NewBatchThreshold of them are the most ever (seed 001: Azure's
	// queues). Half of BatchSize when nil.
	NewBatchThreshold *int `json:"newBatchThreshold,omitempty"`
	// PartitionToken is the word of the subject, counted from 1, that is the messages'
	// key: those of one key are processed one batch at a time, in order. 0: no order.
	PartitionToken int `json:"partitionToken,omitempty"`
	// MaxAttempts at a message before it goes to the dead-letter store;
	// DefaultMaxAttempts when 0.
	MaxAttempts int `json:"maxAttempts,omitempty"`
	// From is FromNew when empty. A stream that deletes what is acknowledged is always
	// read from the beginning.
	From StartFrom `json:"from,omitempty"`
}

// Complete is t with its defaults filled in.
func (t NATSTrigger) Complete() NATSTrigger {
	if t.BatchSize == 0 {
		t.BatchSize = DefaultBatchSize
	}
	if t.NewBatchThreshold == nil {
		half := t.BatchSize / 2
		t.NewBatchThreshold = &half
	}
	if t.MaxAttempts == 0 {
		t.MaxAttempts = DefaultMaxAttempts
	}
	if t.From == "" {
		t.From = FromNew
	}
	return t
}

// Words are what people call its source.
func (t *NATSTrigger) Words() string {
	switch {
	case t.Stream == "":
		return "subject " + t.Subject
	case t.Subject == "":
		return "stream " + t.Stream
	}
	return "stream " + t.Stream + ", subject " + t.Subject
}

// Equal says whether two triggers mean the same. Either may be nil.
func (t *NATSTrigger) Equal(u *NATSTrigger) bool {
	if t == nil || u == nil {
		return t == u
	}
	a, b := t.Complete(), u.Complete()
	same := *a.NewBatchThreshold == *b.NewBatchThreshold
	a.NewBatchThreshold, b.NewBatchThreshold = nil, nil
	return same && a == b
}

// validate names the first thing that is wrong.
func (t *NATSTrigger) validate() error {
	switch {
	case t.Subject == "" && t.Stream == "":
		return fmt.Errorf("has neither a subject nor a stream; give it one such as orders.*")
	case strings.ContainsAny(t.Stream, ".*>/\\ \t\r\n") || len(t.Stream) > 255:
		return fmt.Errorf("has the stream %q, which is no name of a stream: no dots, spaces, wildcards", clip(t.Stream))
	case strings.HasPrefix(t.Stream, "hearth_") || strings.HasPrefix(t.Stream, "KV_") || strings.HasPrefix(t.Stream, "OBJ_"):
		return fmt.Errorf("has the stream %q; names that begin with hearth_, KV_ or OBJ_ are kept by Hearth and NATS", clip(t.Stream))
	}
	if t.Subject != "" {
		if err := checkFilter(t.Subject, t.Stream == ""); err != nil {
			return fmt.Errorf("cannot listen: %w", err)
		}
	}
	c := t.Complete()
	for _, n := range []struct {
		key              string
		value, low, high int
	}{
		{"batchSize", c.BatchSize, 1, MaxBatchSize},
		{"newBatchThreshold", *c.NewBatchThreshold, 0, MaxBatchSize},
		{"maxAttempts", c.MaxAttempts, 1, MaxMaxAttempts},
		{"partitionBy: token", c.PartitionToken, 0, MaxPartitionToken},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("has %s %d; it must be %d to %d", n.key, n.value, n.low, n.high)
		}
	}
	if c.From != FromNew && c.From != FromAll {
		return fmt.Errorf("has from: %q; it must be new or all", clip(string(c.From)))
	}
	return t.checkPartition()
}

// checkPartition finds a key that no message, or every message, would have.
func (t *NATSTrigger) checkPartition() error {
	if t.PartitionToken == 0 || t.Subject == "" {
		return nil
	}
	words := strings.Split(t.Subject, ".")
	last := words[len(words)-1]
	if t.PartitionToken > len(words) && last != ">" {
		return fmt.Errorf("is partitioned by token %d, and %s has only %d", t.PartitionToken, clip(t.Subject), len(words))
	}
	return nil
}

// checkFilter is checkSubject with wildcards. A plain subject may not begin with one: it
// would listen to the engine itself.
func checkFilter(s string, plain bool) error {
	words := strings.Split(s, ".")
	for i, w := range words {
		wild := w == "*" || w == ">" && i == len(words)-1
		if w == "" || !wild && strings.ContainsAny(w, "*> \t\r\n") || len(s) > 255 {
			return fmt.Errorf("%q is no NATS subject: write words with dots between them, * for any one word, > at the end for all that follow", clip(s))
		}
		if wild && i == 0 && plain {
			return fmt.Errorf("the subject %q begins with a wildcard; begin with a word, such as orders.>", clip(s))
		}
	}
	if s[0] == '$' || s[0] == '_' || words[0] == "hearth" {
		return fmt.Errorf("the subject %q is reserved: it may not begin with $, _ or hearth", clip(s))
	}
	return nil
}

// TriggerState is what a trigger is doing.
type TriggerState string

const (
	TriggerStarting TriggerState = "starting" // it does not listen yet
	TriggerActive   TriggerState = "active"
	TriggerDisabled TriggerState = "disabled"
	TriggerFailing  TriggerState = "failing" // it cannot read; Error says why
	TriggerBackoff  TriggerState = "backoff" // the function fails or is throttled; messages wait for their next attempt
)

// TriggerStatus is how one trigger is doing on this node. Counters are since the platform
// started, or the trigger was changed.
type TriggerStatus struct {
	Function string       `json:"function"`
	Trigger  string       `json:"trigger"`
	Kind     string       `json:"kind"` // schedule or nats
	Source   string       `json:"source"`
	State    TriggerState `json:"state"`
	Error    string       `json:"error,omitempty"` // of a failing trigger, or of the last attempt that failed
	// Next is when a schedule is due.
	Next time.Time `json:"next,omitzero"`
	// Pending messages have not been taken yet; Waiting are taken and wait for their
	// partition or their next attempt; InFlight are in invocations.
	Pending  uint64 `json:"pending"`
	Waiting  int    `json:"waiting"`
	InFlight int    `json:"inFlight"`
	// Oldest is when the oldest message came that is not done with.
	Oldest time.Time `json:"oldest,omitzero"`
	// Succeeded and Dead count messages, Invocations and Failures batches.
	Invocations uint64 `json:"invocations"`
	Failures    uint64 `json:"failures"`
	Succeeded   uint64 `json:"succeeded"`
	Dead        uint64 `json:"dead"`
}
