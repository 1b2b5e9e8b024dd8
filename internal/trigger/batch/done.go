package batch

import (
	"slices"
	"time"
)

// Pauses before the next attempt: the first one, doubled each time, up to the most.
const (
	FirstPause  = time.Second
	MostPause   = time.Minute
	MostRefusal = 10 * time.Second // when it was the platform that had no room
)

func backoff(failures int, most time.Duration) time.Duration {
	if failures > 16 {
		return most
	}
	return min(FirstPause<<(failures-1), most)
}

// Done ends a batch. What it does not settle is tried again later.
func (b *Batcher) Done(now time.Time, batch *Batch, v Verdict) Settled {
	l := batch.line
	l.busy--
	b.inFlight -= len(batch.items)
	var s Settled
	var again []*item
	switch {
	case v.Refused:
		b.refusals++
		b.pausedUntil = now.Add(backoff(b.refusals, MostRefusal))
		b.again(l, batch.items, time.Time{}, 0)
		b.drop(l)
		return s
	case v.Failed && len(v.FailedSeqs) > 0:
		again = b.partly(batch, v.FailedSeqs, &s)
	case v.Failed:
		again = b.wholly(batch, &s)
	default:
		for _, it := range batch.items {
			b.ack(it, &s)
		}
	}
	b.refusals = 0
	switch {
	case len(again) == 0:
		l.pause = 0 // what follows has not failed yet
	case l.shared:
		b.again(l, again, now.Add(FirstPause), 1)
	default:
		b.again(l, again, now.Add(backoff(l.pause+1, MostPause)), l.pause+1)
	}
	b.drop(l)
	return s
}

// wholly counts a failed attempt at each message.
func (b *Batcher) wholly(batch *Batch, s *Settled) (again []*item) {
	half := (len(batch.items) + 1) / 2
	for _, it := range batch.items {
		if it.most = min(it.most, half); b.count(it) {
			b.bury(it, s)
			continue
		}
		again = append(again, it)
	}
	return again
}

// partly counts a failed attempt at those that the function named. Without partitions
// the others are processed. With them only those before the first one are: what the
// function did with later ones came too early, and comes again in its order.
func (b *Batcher) partly(batch *Batch, failed []uint64, s *Settled) (again []*item) {
	broken := false
	for _, it := range batch.items {
		bad := slices.Contains(failed, it.Seq)
		switch {
		case bad && b.count(it):
			b.bury(it, s)
			continue
		case !bad && !(broken && b.cfg.Partitioned):
			b.ack(it, s)
			continue
		}
		broken = true
		again = append(again, it)
	}
	return again
}

// count counts a failed attempt, and tells whether it was the last.
func (b *Batcher) count(it *item) bool {
	it.failed++
	it.limit(b.cfg.MaxAttempts)
	return it.failed >= b.cfg.MaxAttempts
}

func (b *Batcher) ack(it *item, s *Settled) {
	s.Ack = append(s.Ack, it.Seq)
	b.forget(it)
}

func (b *Batcher) bury(it *item, s *Settled) {
	s.Dead = append(s.Dead, Dead{Seq: it.Seq, Attempts: it.failed})
	b.forget(it)
}

func (b *Batcher) forget(it *item) {
	delete(b.held, it.Seq)
	b.bytes -= it.Size
}

// again puts messages back: to the head of their line or, where that one is shared, to a
// line of their own.
func (b *Batcher) again(l *line, items []*item, due time.Time, pause int) {
	if l.shared {
		b.lines = append(b.lines, &line{items: items, due: due, pause: pause})
		return
	}
	l.items = append(slices.Clone(items), l.items...)
	if due.After(l.due) {
		l.due, l.pause = due, pause
	}
}

// drop forgets a line that has nothing.
func (b *Batcher) drop(l *line) {
	if len(l.items) > 0 || l.busy > 0 {
		return
	}
	if at := slices.Index(b.lines, l); at >= 0 {
		b.lines = slices.Delete(b.lines, at, at+1)
	}
	if b.byKey[l.key] == l {
		delete(b.byKey, l.key)
	}
}
