// Package async invokes functions asynchronously and at least once: an event that
// Submit has accepted is executed, retried, and in the end succeeds, goes to its
// destination or to the dead-letter store, whatever dies in between.
//
// # For callers
//
//	New(ctx, store, cfg, deps) (*Service, error)     opens the queues
//	Start()                                          begins to execute
//	Close(ctx) error                                 drains, then stops
//
//	Submit(ctx, Event) error                         returns once the event is on disk
//	Status(ctx, id) (hearth.EventStatus, error)      of all that waits, and of what ended lately
//	Reindex()                                        after others have filled the queues
//	Backlog(ctx, function) (hearth.Backlog, error)
//	Backlogs(ctx) ([]hearth.Backlog, error)          functions that have or had something
//	Stats() Stats                                    of the node
//
//	DeadLetters(ctx, function, after, limit) ([]hearth.DeadLetter, error)
//	DeadLetter(ctx, key) (hearth.DeadLetter, error)  with its payload
//	Replay(ctx, key) (id string, err error)          submits it again, then removes it
//	DeleteDeadLetter(ctx, key) error
//	PurgeDeadLetters(ctx, function) (n int, err error)  "" purges all
//
// Errors are *hearth.Error: ErrNotFound, ErrTooLarge (payload over 1 MB), ErrCapacity
// (the disk is full; nothing was accepted), ErrShuttingDown, ErrInternal.
//
// # The way of an event
//
// Submit writes the event to the queue of its function. A feed per function with a
// backlog asks the gate for a permit, and only then takes an event from the queue,
// under a lease that is kept alive while the attempt runs. What comes of the attempt
// is decided by Policy, and written down before the lease is given up: success removes
// the event; a failure moves it to a lane of events that wait for the same time, from
// where the waker brings it back to the queue when it is due; the last failure moves
// it to its destination. So at any moment a kill leaves the event in the queue, in a
// lane, or at its destination, and at worst in two of them: then it runs twice.
//
// An event ages while the platform is up (see clock), and an attempt that the platform
// does not outlive counts as one that was refused, so that an event which takes the
// platform down comes back later each time.
//
// # Fairness
//
// The gate is the rule by which asynchronous work never starves synchronous work, and
// one function never starves another: see Gate.
package async
