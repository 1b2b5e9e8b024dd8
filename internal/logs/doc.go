// Package logs keeps what functions and the platform say, in bounded space. An
// instance is a log stream; a function's log is all its streams in the order in which
// they spoke.
//
// Writing is on the path of every invocation (START, END and REPORT lines), so a
// writer only copies a small binary record into memory under its function's own lock:
// no text is formatted, nothing is allocated for a record, no reader or disk is waited
// for. Text is made when somebody reads.
//
// A function's newest records are in memory, in chunks that are only ever appended to
// and dropped whole; readers therefore parse them without a lock. Every second a
// flusher hands what is new to a Sink, so that at most a memory's worth is written per
// second, however much is logged; what is dropped before that is lost, and a line says
// so. Dir is the Sink that the platform uses: plain append-only files. Log text is no
// metadata: after kill -9 the last second may be missing, the rest is there.
//
// Sequence numbers grow within a function. A process starts them at the time of the
// first record, in microseconds, so that they also grow over restarts without reading
// old logs; only a clock that was set back can break that.
package logs
