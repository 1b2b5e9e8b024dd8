package async

import (
	"context"
	"log/slog"
	"time"

	"hearth/internal/hearth"
)

// Event is one asynchronous invocation to be.
type Event struct {
	ID            string // request id; the same on every attempt
	Function      string
	Qualifier     string // "" means hearth.Latest
	Payload       []byte // at most hearth.MaxAsyncPayloadBytes; not used after Submit has returned
	ClientContext []byte // decoded JSON, or nil
	TraceID       string
	InvokedARN    string // as the caller qualified it
}

// Functions are looked up in memory; both methods are called often.
type Functions interface {
	// Resolve returns the function and the version that the qualifier stands for, or a
	// *hearth.Error with ErrNotFound.
	Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error)
}

// Invoker makes one attempt. It blocks until the result is there or the attempt was
// refused; a function that failed is a Result. ctx ends the wait for an instance, not
// the function. started, if the attempt gets that far, is called once with the
// instance that runs it. The payload is not changed, nor used after it has returned.
type Invoker interface {
	Invoke(ctx context.Context, e *Event, started func(instance string)) (*hearth.Result, error)
}

// Events is told what happens; it never blocks.
type Events interface {
	Emit(hearth.Event)
}

// Deps are what a Service needs of other rooms.
type Deps struct {
	Functions Functions
	Invoker   Invoker
	Events    Events
}

// Config of a Service.
type Config struct {
	Region, Account string // for ARNs in destination records
	// Attempts bounds the attempts under way on this node; DefaultAttempts when 0.
	Attempts int
	// MemoryMB bounds the memory that attempts under way may hold in instances. The
	// daemon gives half of what the node has; 0 means no bound.
	MemoryMB int
	// StatusFile is where the status of recent events is kept; it can be deleted.
	StatusFile string
	Log        *slog.Logger
	// Lease is how long an event stays with a node that gives no sign of life;
	// DefaultLease when 0.
	Lease time.Duration
}

// Defaults of a Config.
const (
	DefaultAttempts = 128
	DefaultLease    = 15 * time.Second
)

// Stats of the node, since it started.
type Stats struct {
	Accepted  uint64
	Succeeded uint64
	Retries   uint64
	Dead      uint64
	Running   int
}
