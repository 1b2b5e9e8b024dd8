package api

import (
	"context"
	"io"
	"iter"

	"hearth/internal/async"
	"hearth/internal/events"
	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/logs"
	"hearth/internal/registry"
)

// Functions is where functions are kept. Errors are *hearth.Error. Functions and
// versions handed out are never changed afterwards, by either side.
type Functions interface {
	// Create stores a new function and its archive. It returns once they are durable.
	Create(ctx context.Context, f *hearth.Function, zip []byte) (*hearth.Function, error)
	// Update changes a function, its code, or both, in one step.
	Update(ctx context.Context, name string, u registry.Update) (*hearth.Function, error)
	Delete(ctx context.Context, name string) error
	// Publish makes a version of what the function is now, or returns the last one if
	// nothing has changed since.
	Publish(ctx context.Context, name string, p registry.Publish) (*hearth.Function, *hearth.Version, error)
	DeleteVersion(ctx context.Context, name, number string) error
	CreateAlias(ctx context.Context, name string, a hearth.Alias) (hearth.Alias, error)
	UpdateAlias(ctx context.Context, name, alias string, u registry.AliasUpdate) (hearth.Alias, error)
	DeleteAlias(ctx context.Context, name, alias string) error
	// Get, List (sorted by name), Resolve and State read memory only.
	Get(name string) (*hearth.Function, error)
	List() []*hearth.Function
	Resolve(name, qualifier string) (*hearth.Function, *hearth.Version, error)
	State(name string) hearth.FunctionState
	// Generation is another number after every change of any function.
	Generation() uint64
	// OpenCode opens an archive by its digest. The caller closes it.
	OpenCode(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Invoker serves one synchronous invocation. It blocks until there is a result or
// ctx ends. It keeps neither r nor r.Payload after it has returned: both are the
// caller's and are used again. The Result is the caller's from then on.
type Invoker interface {
	Invoke(ctx context.Context, r *invoke.Request) (*hearth.Result, error)
	// Start does the same without blocking: done is told, perhaps before Start returns.
	// Until then the request stays as it is.
	Start(r *invoke.Request, done hearth.Completion)
}

// Async takes events that are invoked later, at least once. Errors are *hearth.Error.
type Async interface {
	// Submit returns once the event is on disk. It does not use e.Payload afterwards.
	Submit(ctx context.Context, e async.Event) error
	// Status tells of one event by its request id.
	Status(ctx context.Context, id string) (hearth.EventStatus, error)
	// Backlogs lists the functions that have, or had, something queued.
	Backlogs(ctx context.Context) ([]hearth.Backlog, error)
	Backlog(ctx context.Context, function string) (hearth.Backlog, error)
	// DeadLetters lists those after a key, without payloads; of all functions if
	// function is "".
	DeadLetters(ctx context.Context, function string, after uint64, limit int) ([]hearth.DeadLetter, error)
	// DeadLetter reads one, with its payload.
	DeadLetter(ctx context.Context, key uint64) (hearth.DeadLetter, error)
	// Replay submits it again, under the same request id, and then removes it.
	Replay(ctx context.Context, key uint64) (id string, err error)
	DeleteDeadLetter(ctx context.Context, key uint64) error
	PurgeDeadLetters(ctx context.Context, function string) (n int, err error)
}

// Platform tells how the node is doing.
type Platform interface {
	Status() hearth.Status
	// Instances lists the instances of one function, of all if function is "".
	Instances(function string) []hearth.InstanceInfo
	// Provisioned tells how far this node is with a version's provisioned instances.
	Provisioned(v *hearth.Version) hearth.ProvisionState
}

// Triggers tell how they are doing.
type Triggers interface {
	// Status lists those of one function, of all if function is "".
	Status(ctx context.Context, function string) []hearth.TriggerStatus
}

// Logs keeps what functions print.
type Logs interface {
	// Query returns the entries that filter selects, oldest first.
	Query(filter hearth.LogFilter) ([]hearth.LogEntry, error)
	// Follow yields those and then new ones until ctx is done. It runs in the
	// caller's goroutine.
	Follow(ctx context.Context, filter hearth.LogFilter) iter.Seq[hearth.LogEntry]
}

// Events keeps what happened to functions and instances.
type Events interface {
	// Since returns the kept events after seq that filter selects, oldest first.
	Since(seq uint64, filter events.Filter) []hearth.Event
	// Follow yields those and then new ones until ctx is done. It runs in the
	// caller's goroutine.
	Follow(ctx context.Context, seq uint64, filter events.Filter) iter.Seq[hearth.Event]
}

// Deps is what a Server stands on. All of it but Async is needed, and outlives the
// Server. Without Async there are no asynchronous invocations, and it says so.
type Deps struct {
	Functions Functions
	Invoker   Invoker
	Async     Async
	Platform  Platform
	Logs      Logs
	Events    Events
	Triggers  Triggers // nil: none are told of
	Backups   Backups  // nil: there are none, and it says so
}

var (
	_ Functions = (*registry.Registry)(nil)
	_ Invoker   = (*invoke.Service)(nil)
	_ Async     = (*async.Service)(nil)
	_ Logs      = (*logs.Logs)(nil)
	_ Events    = (*events.Ring)(nil)
)
