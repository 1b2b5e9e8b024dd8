// Package trigger invokes functions by the clock. A run that is due becomes a durable
// asynchronous event, and is never lost:
//
// For each trigger of each function a table keeps the next due time. When that has come,
// the event is submitted first, and then the next due time is written. Whoever dies in
// between submits it again, with the same id, since the id follows from the function,
// the trigger and the due time. So every due time is run at least once; what runs twice
// can be told by its id.
//
//	New(cfg, deps) *Service
//	Start(ctx) error    reads the table, begins to fire
//	Changed(function)   a function was created, changed or deleted
//	Close()             stops; waits
//
// One goroutine owns all entries. What it does at one moment is decided by plan, which
// has no clock.
package trigger
