package batch

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is a stream with its reader: what is fetched, runs, and ends in any order.
type model struct {
	cfg     Config
	b       *Batcher
	now     time.Time
	next    uint64 // not fetched yet
	last    uint64 // of the stream
	keys    map[uint64]string
	open    map[uint64]bool // fetched, not settled
	runs    map[uint64]int  // invocations that had it
	counted map[uint64]int  // of those, that count as attempts
	failed  bool            // anything has failed
	running []*Batch
}

// TestRules: whatever comes and ends when: never two batches of one key at once, and
// those in order; never more in flight than the rule allows; every message is settled
// exactly once, and runs once if nothing fails; nothing is buried before its attempts
// are used up, nor because of its neighbours.
func TestRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			cfg: Config{
				Size: rapid.IntRange(1, 6).Draw(t, "size"), Threshold: rapid.IntRange(0, 6).Draw(t, "threshold"),
				Partitioned: rapid.Bool().Draw(t, "partitioned"), MaxAttempts: rapid.IntRange(1, 4).Draw(t, "attempts"),
				Window: rapid.IntRange(0, 20).Draw(t, "window"), BatchBytes: 1000, WindowBytes: 10000,
			},
			now: time.Unix(0, 0), next: 1, last: rapid.Uint64Range(1, 40).Draw(t, "messages"),
			keys: map[uint64]string{}, open: map[uint64]bool{}, runs: map[uint64]int{}, counted: map[uint64]int{},
		}
		m.b = New(m.cfg)
		faulty := rapid.Bool().Draw(t, "faulty")
		for m.next <= m.last || len(m.open) > 0 {
			m.step(t, faulty)
		}
		if m.b.Waiting() != 0 || m.b.InFlight() != 0 || len(m.b.lines) != 0 || len(m.b.byKey) > 1 || m.b.bytes != 0 {
			t.Fatalf("something is left: %+v", m.b)
		}
		for seq, n := range m.runs {
			if n != 1 && !m.failed {
				t.Fatalf("message %d ran %d times without a failure", seq, n)
			}
		}
	})
}

// step does one of the things that can happen now.
func (m *model) step(t *rapid.T, faulty bool) {
	for {
		batch, ok := m.b.Next(m.now)
		if !ok {
			break
		}
		m.started(t, batch)
	}
	want := m.b.Want(m.now)
	var can []string
	if want > 0 && m.next <= m.last {
		can = append(can, "fetch")
	}
	if len(m.running) > 0 {
		can = append(can, "end")
	}
	wake := m.b.Wake(m.now)
	if !wake.IsZero() {
		can = append(can, "wait")
	}
	if len(can) == 0 {
		t.Fatalf("stuck with %d open: %+v", len(m.open), m.b)
	}
	switch rapid.SampledFrom(can).Draw(t, "what") {
	case "fetch":
		for range rapid.IntRange(1, want).Draw(t, "fetched") {
			if m.next <= m.last {
				m.fetch(t)
			}
		}
	case "end":
		at := rapid.IntRange(0, len(m.running)-1).Draw(t, "which")
		batch := m.running[at]
		m.running = slices.Delete(m.running, at, at+1)
		m.ended(t, batch, faulty)
	case "wait":
		m.now = wake
	}
}

func (m *model) fetch(t *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	m.keys[m.next], m.open[m.next] = key, true
	size := rapid.IntRange(1, 600).Draw(t, "size")
	for _, want := range []bool{true, false} {
		if m.b.Add(Message{Seq: m.next, Key: key, Size: size}) != want {
			t.Fatalf("add %d: not %v", m.next, want)
		}
	}
	m.next++
}

func (m *model) started(t *rapid.T, batch *Batch) {
	inFlight := len(batch.Seqs)
	for _, other := range m.running {
		inFlight += len(other.Seqs)
		if m.cfg.Partitioned && m.keys[other.Seqs[0]] == m.keys[batch.Seqs[0]] {
			t.Fatalf("%v and %v run at once", other.Seqs, batch.Seqs)
		}
	}
	if most := m.cfg.Size + m.cfg.Threshold; inFlight > most || inFlight != m.b.InFlight() {
		t.Fatalf("%d in flight, %d by its own count, and %d are allowed", inFlight, m.b.InFlight(), most)
	}
	if len(batch.Seqs) == 0 || len(batch.Seqs) > m.cfg.Size {
		t.Fatalf("a batch of %d", len(batch.Seqs))
	}
	for i, seq := range batch.Seqs {
		m.runs[seq]++
		if !m.open[seq] {
			t.Fatalf("%d was settled before", seq)
		}
		if !m.cfg.Partitioned {
			continue
		}
		if m.keys[seq] != m.keys[batch.Seqs[0]] || i > 0 && seq < batch.Seqs[i-1] {
			t.Fatalf("%v of several keys, or out of order", batch.Seqs)
		}
		for other := range m.open {
			if other < seq && m.keys[other] == m.keys[seq] && !slices.Contains(batch.Seqs[:i], other) {
				t.Fatalf("%d overtakes %d", seq, other)
			}
		}
	}
	m.running = append(m.running, batch)
}

func (m *model) ended(t *rapid.T, batch *Batch, faulty bool) {
	var v Verdict
	if faulty {
		switch rapid.SampledFrom([]string{"ok", "failed", "partly", "refused"}).Draw(t, "verdict") {
		case "failed":
			v.Failed = true
		case "partly":
			v.Failed = true
			v.FailedSeqs = []uint64{rapid.SampledFrom(batch.Seqs).Draw(t, "bad")}
		case "refused":
			v.Refused = true
		}
	}
	m.failed = m.failed || v.Failed || v.Refused
	for _, seq := range batch.Seqs {
		if v.Failed && (len(v.FailedSeqs) == 0 || slices.Contains(v.FailedSeqs, seq)) {
			m.counted[seq]++
		}
	}
	s := m.b.Done(m.now, batch, v)
	gone := map[uint64]bool{}
	for _, seq := range s.Ack {
		gone[seq] = true
		if v.Refused || v.Failed && (len(v.FailedSeqs) == 0 || slices.Contains(v.FailedSeqs, seq)) {
			t.Fatalf("%d is acknowledged, and has failed", seq)
		}
	}
	for _, d := range s.Dead {
		gone[d.Seq] = true
		named := slices.Contains(v.FailedSeqs, d.Seq)
		if m.counted[d.Seq] != m.cfg.MaxAttempts || d.Attempts != m.cfg.MaxAttempts {
			t.Fatalf("%d is buried after %d attempts, by its own count %d", d.Seq, m.counted[d.Seq], d.Attempts)
		}
		if !named && len(batch.Seqs) > 1 && m.cfg.MaxAttempts > 1 {
			t.Fatalf("%d is buried with its neighbours %v", d.Seq, batch.Seqs)
		}
	}
	if len(gone) != len(s.Ack)+len(s.Dead) {
		t.Fatalf("settled twice: %+v", s)
	}
	for seq := range gone {
		if !slices.Contains(batch.Seqs, seq) {
			t.Fatalf("%d was not in %v", seq, batch.Seqs)
		}
		delete(m.open, seq)
	}
	held := m.b.Held()
	slices.Sort(held)
	if want := slices.Sorted(maps.Keys(m.open)); !slices.Equal(held, want) {
		t.Fatalf("held %v, open %v", held, want)
	}
}
