package batch

import (
	"slices"
	"time"
)

// Config of a Batcher.
type Config struct {
	Size        int  // most messages in one batch; 1 or more
	Threshold   int  // most messages in flight when another batch starts
	Partitioned bool // messages of one key are processed in order
	MaxAttempts int  // at one message; 1 or more
	// Window is the most messages that are held, in flight or waiting; at least
	// Size+Threshold. It lets partitions go on while another one waits.
	Window int
	// BatchBytes bounds the sizes of a batch's messages together, WindowBytes those of
	// all that are held: above it nothing is fetched. A single message may be larger.
	BatchBytes, WindowBytes int
}

// Message is what the Batcher knows of one.
type Message struct {
	Seq  uint64 // in the stream; grows
	Key  string // of its partition
	Size int    // bytes in the event
}

// item is a message that is held.
type item struct {
	Message
	tries  int // batches that it was in
	failed int // attempts that have failed
	most   int // messages in its next batch
}

// line is an order of messages.
type line struct {
	key    string
	items  []*item // by Seq
	shared bool    // many batches at once
	busy   int     // batches under way
	due    time.Time
	pause  int // failures in a row, for the backoff
}

// Batch is one invocation.
type Batch struct {
	Seqs  []uint64
	Tries []int // of each message, with this one

	line  *line
	items []*item
}

// Verdict is what came of a batch.
type Verdict struct {
	// Refused: the function was not reached, or is not to blame. It counts as no attempt.
	Refused bool
	// Failed: all of the batch, or only the messages of FailedSeqs if there are any.
	Failed     bool
	FailedSeqs []uint64
}

// Settled is what Done says must be done with messages; the others are held.
type Settled struct {
	Ack  []uint64 // processed
	Dead []Dead   // given up
}

// Dead is a message that was given up.
type Dead struct {
	Seq      uint64
	Attempts int
}

// Batcher holds the messages of one trigger. Create it with New.
type Batcher struct {
	cfg   Config
	lines []*line // in the order of their turns
	byKey map[string]*line
	held  map[uint64]*item
	// inFlight are messages in invocations; bytes are those of all held.
	inFlight, bytes int
	refusals        int       // in a row
	pausedUntil     time.Time // after a refusal nothing starts before
}

// New makes an empty Batcher.
func New(cfg Config) *Batcher {
	cfg.Window = max(cfg.Window, cfg.Size+cfg.Threshold)
	return &Batcher{cfg: cfg, byKey: map[string]*line{}, held: map[uint64]*item{}}
}

// Want is how many messages to fetch now, 0 for none. What is here goes first: it is 0
// while Next would give a batch.
func (b *Batcher) Want(now time.Time) int {
	free := b.cfg.Window - len(b.held)
	if b.inFlight > b.cfg.Threshold || free < b.cfg.Size || b.bytes >= b.cfg.WindowBytes || now.Before(b.pausedUntil) || b.ready(now) != nil {
		return 0
	}
	return b.cfg.Size
}

// Room is how many more messages may be held at all.
func (b *Batcher) Room() int { return max(b.cfg.Window-len(b.held), 0) }

// Add takes a message that was fetched. It returns false for one that is held already.
func (b *Batcher) Add(m Message) bool {
	if b.held[m.Seq] != nil {
		return false
	}
	if !b.cfg.Partitioned {
		m.Key = ""
	}
	it := &item{Message: m, most: b.cfg.Size}
	it.limit(b.cfg.MaxAttempts)
	l := b.byKey[m.Key]
	if l == nil {
		l = &line{key: m.Key, shared: !b.cfg.Partitioned}
		b.byKey[m.Key] = l
		b.lines = append(b.lines, l)
	}
	l.insert(it)
	b.held[m.Seq] = it
	b.bytes += m.Size
	return true
}

// limit has the last attempt made alone.
func (it *item) limit(attempts int) {
	if attempts > 1 && it.failed >= attempts-1 {
		it.most = 1
	}
}

// insert keeps the order: after a restart, messages may come again after later ones.
func (l *line) insert(it *item) {
	at := len(l.items)
	for at > 0 && l.items[at-1].Seq > it.Seq {
		at--
	}
	l.items = slices.Insert(l.items, at, it)
}

// ready is the first line that may start a batch, but for what is in flight.
func (b *Batcher) ready(now time.Time) *line {
	for _, l := range b.lines {
		if len(l.items) > 0 && (l.shared || l.busy == 0) && !now.Before(l.due) {
			return l
		}
	}
	return nil
}

// Next starts a batch, if one may start now. The line's turn is over then.
func (b *Batcher) Next(now time.Time) (*Batch, bool) {
	if b.inFlight > b.cfg.Threshold || now.Before(b.pausedUntil) {
		return nil, false
	}
	l := b.ready(now)
	if l == nil {
		return nil, false
	}
	n := b.take(l)
	batch := &Batch{line: l, items: slices.Clone(l.items[:n])}
	l.items = slices.Delete(l.items, 0, n)
	for _, it := range batch.items {
		batch.Seqs = append(batch.Seqs, it.Seq)
		it.tries++
		batch.Tries = append(batch.Tries, it.tries)
	}
	l.busy++
	b.inFlight += n
	at := slices.Index(b.lines, l)
	b.lines = append(slices.Delete(b.lines, at, at+1), l)
	return batch, true
}

// take is how many of the line's first messages make the next batch.
func (b *Batcher) take(l *line) int {
	n, bytes, most := 0, 0, b.cfg.Size
	for _, it := range l.items {
		most = min(most, it.most)
		bytes += it.Size
		if n >= most || n > 0 && bytes > b.cfg.BatchBytes {
			break
		}
		n++
	}
	return n
}

// Wake is when a line or a pause ends that keeps a batch from starting; zero if time
// alone changes nothing.
func (b *Batcher) Wake(now time.Time) time.Time {
	var first time.Time
	for _, l := range b.lines {
		if len(l.items) == 0 || !l.shared && l.busy > 0 {
			continue
		}
		at := l.due
		if at.Before(b.pausedUntil) {
			at = b.pausedUntil
		}
		if at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() && b.pausedUntil.After(now) {
		return b.pausedUntil
	}
	return first
}

// Held lists the messages that are held, in no order.
func (b *Batcher) Held() []uint64 {
	list := make([]uint64, 0, len(b.held))
	for seq := range b.held {
		list = append(list, seq)
	}
	return list
}

// InFlight is how many messages are in invocations.
func (b *Batcher) InFlight() int { return b.inFlight }

// Waiting is how many messages are held and not in flight.
func (b *Batcher) Waiting() int { return len(b.held) - b.inFlight }

// BackingOff tells whether anything waits for its next attempt.
func (b *Batcher) BackingOff(now time.Time) bool {
	return now.Before(b.pausedUntil) || slices.ContainsFunc(b.lines, func(l *line) bool { return now.Before(l.due) })
}
