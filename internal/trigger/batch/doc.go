// Package batch decides which messages of a subject are invoked together, and when. It
// is passive: it starts nothing, reads no clock and does no I/O. Whoever owns a Batcher
// calls it from one goroutine:
//
//	n := b.Want()          how many messages to fetch now
//	b.Add(message)         one has been fetched
//	batch, ok := b.Next(now)   an invocation to start now
//	b.Done(now, batch, verdict)  it has ended: what to acknowledge, what to bury
//	b.Wake(now)            when to look again, if nothing happens before
//
// # The rules
//
// In flight are the messages of invocations under way. A batch starts, and a new one is
// fetched, only while at most Threshold messages are in flight; so Size+Threshold of
// them are the most ever (seed 001: batchSize + newBatchThreshold).
//
// Messages wait in lines. Without partitions there is one line for what is new, from which
// many batches may be under way at once, and a line of its own for every batch that has
// failed. With partitions each key has a line, and one batch of it is under way at a
// time: what has failed goes back to its head, and nothing overtakes it.
//
// A batch that failed as a whole is tried again in halves, and the last attempt at a
// message is made with that message alone. So nothing is buried because of its neighbours.
package batch
