package logs

import (
	"context"
	"errors"
	"time"
)

// ErrDropped ends a Sink's Load when older batches than those it yielded have been
// dropped to bound its space.
var ErrDropped = errors.New("older log batches have been dropped")

func (l *Logs) flushLoop() {
	tick := time.NewTicker(l.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.flush(time.Now())
		case <-l.stop:
			l.flush(time.Now())
			return
		}
	}
}

// flush hands to the sink what is new. A batch that fails is tried again next time, as
// long as it is in memory.
func (l *Logs) flush(now time.Time) {
	for _, j := range l.all() {
		j.flush(l.cfg.Sink)
		j.release(now)
	}
}

func (j *journal) flush(sink Sink) {
	j.flushMu.Lock()
	defer j.flushMu.Unlock()
	snap := j.since(j.flushed)
	if snap.lost > 0 {
		gap := record{kind: kindGap, seq: j.flushed.seq, time: timeOf(snap.bufs), count: snap.lost}
		snap.bufs = append([][]byte{gap.append(nil)}, snap.bufs...)
	}
	for _, b := range snap.bufs {
		if err := sink.Append(context.Background(), j.function, b); err != nil {
			if !j.failing {
				j.logs.cfg.Logger.Warn("log lines cannot be kept; trying again every second", "function", j.function, "err", err)
			}
			j.failing = true
			return
		}
	}
	j.failing = false
	j.flushed = snap.next
}

// timeOf is the time of the first record.
func timeOf(bufs [][]byte) int64 {
	if len(bufs) == 0 {
		return 0
	}
	v, _, err := next(bufs[0])
	if err != nil {
		panic("logs: " + err.Error() + " in memory")
	}
	return v.time
}
