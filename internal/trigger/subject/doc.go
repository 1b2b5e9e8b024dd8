// Package subject invokes functions with the messages of NATS subjects, at least once:
// a message is acknowledged after its invocation has succeeded, or when it is in the
// dead-letter store.
//
//	New(cfg, deps) *Service
//	Start(ctx) error        reads what was there before, begins to read subjects
//	Changed(function)       a function was created, changed or deleted
//	Status(ctx, function)   how its triggers are doing
//	Close(ctx)              stops taking messages; waits for invocations under way
//	Wait()                  for those that Close did not wait for
//
// One goroutine owns the list of readers, and each reader's goroutine owns its messages.
// What it starts next is decided by package batch, which has no clock. A reader holds the
// lease of all that it has taken, also of what waits for its next attempt, so that the
// engine does not send later messages of a partition first. When a trigger is changed
// its new reader begins after the old one has ended: two never read one consumer.
//
// The table has an entry for every durable consumer that may exist. It is written before
// the consumer is made and removed after it is gone, so none is left behind.
package subject
