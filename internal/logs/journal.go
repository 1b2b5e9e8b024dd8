package logs

import (
	"sync"
	"time"
)

const (
	firstChunk = 4 << 10
	fullChunk  = 64 << 10
)

// chunk is a piece of a journal. Bytes before len(buf) never change, so that a reader
// who got the slice under the lock may use it without.
type chunk struct {
	buf   []byte
	first uint64 // sequence number of its first record
}

// journal is one function's log in memory.
type journal struct {
	logs     *Logs
	function string

	flushMu sync.Mutex // held while flushing; before mu
	flushed cursor     // guarded by flushMu
	failing bool       // guarded by flushMu: the last flush failed

	mu        sync.Mutex
	dropped   bool // with its function: takes and flushes nothing any more
	chunks    []chunk
	evicted   int // chunks dropped so far
	bytes     int // of the chunks' capacity
	firstSeq  uint64
	nextSeq   uint64 // 0 until the first record
	lastWrite int64  // Unix ns
}

// append gives the record its sequence number and keeps it. The record does not escape.
func (j *journal) append(r *record) {
	j.mu.Lock()
	if j.dropped {
		j.mu.Unlock()
		return
	}
	if j.nextSeq == 0 {
		j.nextSeq = max(uint64(max(r.time, 0)/int64(time.Microsecond)), 1)
		j.firstSeq = j.nextSeq
	}
	r.seq = j.nextSeq
	j.nextSeq += r.entries()
	j.lastWrite = r.time
	if n := len(j.chunks); n == 0 || cap(j.chunks[n-1].buf)-len(j.chunks[n-1].buf) < r.size() {
		j.growLocked(r)
	}
	last := &j.chunks[len(j.chunks)-1]
	last.buf = r.append(last.buf)
	j.mu.Unlock()
	j.logs.wake(j.function)
}

// growLocked adds a chunk that r fits in, and drops the oldest ones if that makes too
// many. A function that says little costs little: chunks grow with the journal.
func (j *journal) growLocked(r *record) {
	size := max(min(max(j.bytes, firstChunk), fullChunk), r.size())
	j.chunks = append(j.chunks, chunk{buf: make([]byte, 0, size), first: r.seq})
	j.bytes += size
	total := j.logs.bytes.Add(int64(size))
	for len(j.chunks) > 1 && (j.bytes > j.logs.cfg.PerFunctionBytes || total > int64(j.logs.cfg.TotalBytes)) {
		total = j.evictLocked()
	}
}

// evictLocked drops the oldest chunk and returns the memory then in use by all.
func (j *journal) evictLocked() int64 {
	size := cap(j.chunks[0].buf)
	j.chunks[0] = chunk{}
	j.chunks = j.chunks[1:]
	j.evicted++
	j.bytes -= size
	return j.logs.bytes.Add(-int64(size))
}

// cursor is a place between two records of a journal. The zero cursor is before the
// oldest one that is kept.
type cursor struct {
	seq   uint64 // of the next record; 0 = whatever comes
	chunk int    // counted from the journal's very first
	off   int
}

// snapshot is what a journal holds from a cursor on.
type snapshot struct {
	bufs  [][]byte // records, oldest first; not to be changed
	next  cursor   // after them
	lost  uint64   // lines between the cursor and the first of them that are not in memory any more
	first uint64   // sequence number of the first record, or the next one to come
	older bool     // older records than these have been in memory
}

// since takes a snapshot of everything after cur.
func (j *journal) since(cur cursor) (s snapshot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dropped {
		return snapshot{next: cur}
	}
	s.first = j.nextSeq
	if len(j.chunks) > 0 {
		s.first = j.chunks[0].first
	}
	s.older = s.first > j.firstSeq
	if cur.chunk < j.evicted {
		if cur.seq > 0 && s.first > cur.seq {
			s.lost = s.first - cur.seq
		}
		cur.chunk, cur.off = j.evicted, 0
	}
	for i := cur.chunk - j.evicted; i < len(j.chunks); i++ {
		if b := j.chunks[i].buf[cur.off:]; len(b) > 0 {
			s.bufs = append(s.bufs, b[:len(b):len(b)])
		}
		cur.off = 0
	}
	s.next = cursor{seq: j.nextSeq, chunk: j.evicted + len(j.chunks)}
	if n := len(j.chunks); n > 0 {
		s.next.chunk, s.next.off = j.evicted+n-1, len(j.chunks[n-1].buf)
	}
	return s
}

// release gives the memory back if all of it is in the sink and nothing has been
// written for a while.
func (j *journal) release(now time.Time) {
	j.flushMu.Lock()
	defer j.flushMu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.nextSeq != j.flushed.seq || now.UnixNano()-j.lastWrite < int64(idleAfter) {
		return
	}
	for len(j.chunks) > 0 {
		j.evictLocked()
	}
}

// drop forgets everything. When it returns nothing is flushed any more.
func (j *journal) drop() {
	j.flushMu.Lock()
	defer j.flushMu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropped = true
	for len(j.chunks) > 0 {
		j.evictLocked()
	}
}
