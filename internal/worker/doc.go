// Package worker owns this node's instances. It carries out what the pool decides:
// it makes and destroys sandboxes, initialises them, sends invocations over their
// links, and turns every way of failing into words. It knows versions, not names or
// aliases.
//
// Read worker.go for what a Worker is, invoke.go for the way of an invocation,
// start.go for the life of an instance, outcome.go for the words.
package worker
