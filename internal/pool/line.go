package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// line is where groups stand whose invocations wait for room, first come, first served.
// So a stream of newcomers starves nobody. Its lock is a leaf.
type line struct {
	mu     sync.Mutex
	groups []*Group
	len    atomic.Int32
}

// join puts the group at the end, unless it stands in the line already.
func (l *line) join(g *Group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.groups, g) {
		l.groups = append(l.groups, g)
		l.len.Store(int32(len(l.groups)))
	}
}

func (l *line) leave(g *Group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = slices.DeleteFunc(l.groups, func(other *Group) bool { return other == g })
	l.len.Store(int32(len(l.groups)))
}

// before lists who stands before the group: everybody if it does not stand there.
func (l *line) before(g *Group) []*Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.groups, g); i >= 0 {
		return slices.Clone(l.groups[:i])
	}
	return slices.Clone(l.groups)
}

// waitsFor is the room that the group stands in the line for.
func (g *Group) waitsFor() room {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.short == nil || g.queue.len == 0 {
		return room{}
	}
	return g.short.need
}

// awaitedLocked tells whether somebody waits for room.
func (p *Pool) awaitedLocked() bool {
	return slices.ContainsFunc(p.line.before(nil), func(g *Group) bool { return !g.waitsFor().none() })
}

// Awaited tells whether invocations may be waiting for room. After a Refill, or a Release
// that granted nothing, the caller should then call Expire, which may have a start for
// them. It takes no lock.
func (p *Pool) Awaited() bool { return p.line.len.Load() > 0 }

// nudge has the first of those who wait for room ask for it soon, as some may have become
// free. The others ask by and by.
func (p *Pool) nudge(now time.Time) {
	if !p.Awaited() {
		return
	}
	waiting := p.line.before(nil)
	for _, g := range waiting[:min(startsAtOnce, len(waiting))] {
		g.mu.Lock()
		at := later(now, g.shortUntil.Add(shortLeast-shortRetry))
		if g.short != nil && g.queue.len > 0 && at.Before(g.shortUntil) {
			g.shortUntil = at
			g.lookLocked(at)
		}
		g.mu.Unlock()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// standLocked puts the group in the line.
func (g *Group) standLocked(s *Shortage) {
	g.short = s
	g.pool.line.join(g)
}

// leaveLineLocked: the group has got room, or nobody waits any more.
func (g *Group) leaveLineLocked() {
	if g.short != nil {
		g.short = nil
		g.pool.line.leave(g)
	}
}
