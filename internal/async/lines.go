package async

import (
	"context"
	"sync"
	"time"

	"hearth/internal/store"
)

// lineIdle is for how long a line that nobody has used is kept open.
const lineIdle = 10 * time.Minute

// maxLeased bounds the events of one line under lease, over all nodes. The gate allows
// far fewer, so it only limits what a broken node can do.
const maxLeased = 4096

// The engine acknowledges an event a moment before a pull finds it. Who finds nothing
// looks again: after firstLook, then after twice as long each time, mostLooks times,
// which is two seconds in all.
const (
	firstLook = time.Millisecond
	mostLooks = 11
)

// lines are the lines of functions, with what this node knows of them.
type lines struct {
	mu   sync.Mutex
	open map[string]*openLine
}

type openLine struct {
	puller *store.Puller // nil until the first pull
	used   time.Time

	wrote   uint64 // the newest event that this node has written to the line
	read    uint64 // the newest that it has read
	looks   int    // made in vain since the last event was written or read
	looking bool   // one more is to come
}

// line opens the function's line.
func (s *Service) line(ctx context.Context, function string) (*store.Puller, error) {
	s.lines.mu.Lock()
	p := s.lines.useLocked(function).puller
	s.lines.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := s.queue.Puller(ctx, store.PullerConfig{Key: function, Lease: s.cfg.Lease, MaxInFlight: maxLeased})
	if err != nil {
		return nil, err
	}
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	s.lines.useLocked(function).puller = p
	return p, nil
}

func (l *lines) useLocked(function string) *openLine {
	line := l.open[function]
	if line == nil {
		if l.open == nil {
			l.open = map[string]*openLine{}
		}
		line = &openLine{}
		l.open[function] = line
	}
	line.used = time.Now()
	return line
}

// wrote notes that the line has an event of this number.
func (l *lines) wrote(function string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.useLocked(function)
	line.wrote, line.looks = max(line.wrote, seq), 0
}

// pulled notes what a pull for up to n events has found. If it is less, and not what
// this node has written, again says that the line must be looked at once more, after a
// pause: then looking must be called. Events that others have taken are looked for in
// vain, a few times.
func (l *lines) pulled(function string, list []*store.Delivery, n int) (pause time.Duration, again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.useLocked(function)
	for _, d := range list {
		if d.Seq > line.read {
			line.read, line.looks = d.Seq, 0
		}
	}
	if len(list) >= n || line.read >= line.wrote || line.looking || line.looks == mostLooks {
		return 0, false
	}
	pause = firstLook << line.looks
	line.looks++
	line.looking = true
	return pause, true
}

// looking notes that the pause is over.
func (l *lines) looking(function string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.useLocked(function).looking = false
}

// forget drops lines that were not used for a while. The engine forgets them by itself.
func (l *lines) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for function, line := range l.open {
		if now.Sub(line.used) > lineIdle {
			delete(l.open, function)
		}
	}
}
