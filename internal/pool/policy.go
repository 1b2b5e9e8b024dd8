package pool

import "time"

// Order says which of a version's idle instances serves next.
type Order int

const (
	// Stack serves from the instance that was freed last, so that surplus ones go idle
	// and expire when load drops (seed 004, IV.B).
	Stack Order = iota
	// Queue serves from the one that has been free longest, as the prototype of seed
	// 004 did. It exists to be compared with.
	Queue
)

const (
	// firstBackoff and maxBackoff bound the pause after failed inits.
	firstBackoff = time.Second
	maxBackoff   = time.Minute
	// busyLook is the least time after which a busy instance is looked at again, for
	// versions that do without a keep-alive.
	busyLook = 100 * time.Millisecond
	// shortRetry is the pause before a version that waits for room asks for it again.
	shortRetry = 250 * time.Millisecond
	// shortLeast is the same when there may be room.
	shortLeast = 10 * time.Millisecond
	// startsAtOnce bounds how many starts one decision asks for. The next decision
	// asks for more.
	startsAtOnce = 8
	// refillRetry bounds the pause before provisioned instances are tried again for
	// which there was no memory.
	refillRetry = 5 * time.Second
	// promiseLook is how often at least a provisioned instance is looked at.
	promiseLook = time.Minute
	// steady is how long a provisioned instance must have lived for its end to be
	// bad luck, and not a habit.
	steady = time.Minute
	// closedGrace is how long a drained version is remembered, so that invocations that
	// resolved it just before are turned away instead of starting old code again.
	closedGrace = time.Minute
)

// startMore says whether one more instance is needed: those that are starting have
// fewer slots than there are invocations waiting (late binding).
func startMore(queued, startingSlots int) bool { return queued > startingSlots }

// backoff is the pause after so many failed inits in a row: 1 s, 2 s, … 60 s.
func backoff(failures int) time.Duration {
	if failures > 6 {
		return maxBackoff
	}
	return min(firstBackoff<<(failures-1), maxBackoff)
}
