// Package pool decides about one worker's instances: which one serves an invocation,
// when another is started, which are destroyed, and who gets memory and disk.
//
// It is a passive state machine. Every method takes the time, changes the state and
// returns what the caller must now do; the pool itself starts nothing, waits for
// nothing, and knows neither clock nor chance. So the daemon and the simulator drive
// the same code. All methods may be called from many goroutines and none blocks for
// longer than a short lock.
//
// # The way of a slot
//
//	lease, start, err := group.Acquire(now, &call.Waiter)
//	    err != nil              refused: queue full, drained, or its init keeps failing
//	    lease.Instance != nil   a warm slot: go
//	    otherwise               queued: the answer comes later, as a Grant or a refusal
//	    start                   and the caller must start one more instance (below)
//	next, destroy := lease.Release(now)
//	    next.Waiter != nil      the slot has passed to this waiter: answer it
//	    destroy                 it was the last lease of a retired instance: destroy it
//
// # The way of an instance
//
// Whoever is told to start one calls
//
//	res, victims, err := pool.Reserve(group, disk)  destroy the victims, then go on
//	    err                     group.StartAborted(now, err)
//	inst := group.Starting(now, id, value, res)     then make the sandbox and initialise
//	    ready                   inst.Ready(now)
//	    failed                  inst.StartFailed(now, failure)
//	later                       inst.Retire(now), inst.Lost(now), or pool.Expire(now)
//	                            names it, or it is a victim
//	sandbox destroyed           res.Release()
//
// Room, memory and disk, is counted from Reserve until Release, so the ledger holds what
// really is in use, also while sandboxes are still being destroyed. Of the disk the pool
// knows only what its caller tells.
//
// # Too little room
//
// A start that is refused for lack of room fails those who wait for it, unless an
// instance of theirs lives, or what is just starting on the node holds enough: that may
// soon be idle. Then they stay in their queue, and the group stands in the pool's line
// and asks again by and by, and when an instance becomes idle or goes (see Awaited).
//
// # Freezing
//
// Expired.Frozen names instances that have been idle for a while: the caller stops
// their processes. A lease with Thaw is on such an instance: the caller lets them go on.
// Both may cross each other, so the caller asks inst.Frozen before every step and makes
// it so; the pool itself never waits for either. Ending an instance thaws it, too.
//
// # Provisioned instances
//
// group.Provision promises so many instances and says how many to start now; Expired and
// Outcome name later ones, and so does group.Refill, to be called whenever an instance
// of the group has gone. Whether an instance counts is known once it is Starting.
//
// # Promises
//
// An instance never holds more leases than it has slots, and none once it is draining
// or dead. Every queued waiter gets exactly one answer: a grant, a refusal, or its
// own Abandon. Waiters of a version are served first come, first served, and so are
// groups that wait for room, except that those pass for which there is enough. The sum of
// reservations never exceeds the node's memory, nor the disk as it was at the last of them.
//
// # Locks
//
// Acquire and Release of a warm slot take the lock of that version's group and nothing
// else. Lock order: Pool.mu, then Group.mu, then the expiry heap's and the line's, which
// are leaves.
package pool
