package async

import (
	"sync"
)

// Gate decides which function's events may be attempted next. It is the rule of
// fairness:
//
//   - Asynchronous attempts under way hold at most Slots invocations and MemoryMB of
//     instances, half of the node's memory. The other half is always there for
//     synchronous callers, who pass no gate.
//   - A function with reserved concurrency gets at most half of it, rounded up, so that
//     its synchronous callers find some too.
//   - A function may hold no more slots than are still free after that, nor more
//     memory: one greedy function gets half, the second a quarter or, once the first
//     has let go, a third each, and so on. So something is left for the next function
//     even while attempts of others do not end: of 128 slots, it takes eight functions
//     that are stuck all at once before a ninth has to wait.
//   - Functions take turns: each gets a few slots, then it is the next one's turn.
//
// An instance that several attempts share is counted by their shares of it. A function
// that holds nothing may begin one attempt for as long as the bound is not used up, also
// one that is larger than what is left: so large functions get their turn among small
// ones. An attempt larger than half of the bound is a giant: it counts for half, so that
// the other half stays for the others, but there is one giant at a time, and while it is
// under way all others must fit. So the bound is exceeded by one attempt at most.
//
// A Gate is passive: it starts nothing and knows no time.
type Gate struct {
	slots, memoryMB int

	mu     sync.Mutex
	usedMB int
	used   int
	giant  bool // one is under way
	lines  map[string]*line
	ring   []*line // lines that may have events, in the order of their turns
}

// Terms are what a function's attempts cost now.
type Terms struct {
	MemoryMB int // of one attempt, as far as is known before the events are read
	Most     int // attempts at once; 0 = no bound of its own
}

// Turn is a function's leave to take events from its line and attempt them.
type Turn struct {
	Function string
	Permits  int
	MemoryMB int // of each permit; what Weigh returns, of that one attempt
}

// line is one function's place at the gate.
type line struct {
	function string
	used     int // permits, also those of a pull under way
	usedMB   int
	seenMB   int // the largest attempt of the last turn
	inRing   bool
	pulling  bool // its turn is not over: nobody else pulls from it
	again    bool // something came while it was pulling
}

// turnPermits bounds what a function takes in one turn.
const turnPermits = 16

// NewGate makes a Gate. No bound on memory is 0.
func NewGate(slots, memoryMB int) *Gate {
	return &Gate{slots: slots, memoryMB: memoryMB, lines: map[string]*line{}}
}

// Poke says that the function's line may have events.
func (g *Gate) Poke(function string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[function]
	if l == nil {
		l = &line{function: function}
		g.lines[function] = l
	}
	if l.pulling {
		l.again = true
		return
	}
	g.enqueueLocked(l)
}

func (g *Gate) enqueueLocked(l *line) {
	if !l.inRing {
		l.inRing = true
		g.ring = append(g.ring, l)
	}
}

// Next gives a turn to the first function in the ring that may have one; terms tells
// what its attempts cost. The caller pulls, asks Weigh about each event, and then tells
// Pulled. While nothing is left to give it looks at no function, and else it passes
// over few: those that hold something already, and giants.
func (g *Gate) Next(terms func(function string) Terms) (Turn, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.used >= g.slots || g.memoryMB > 0 && g.usedMB >= g.memoryMB {
		return Turn{}, false
	}
	for i, l := range g.ring {
		t := terms(l.function)
		t.MemoryMB = max(t.MemoryMB, l.seenMB)
		n := g.permitsLocked(l, t)
		if n == 0 {
			continue
		}
		g.ring = append(g.ring[:i], g.ring[i+1:]...)
		l.inRing, l.pulling, l.seenMB = false, true, 0
		g.takeLocked(l, n, t.MemoryMB)
		return Turn{Function: l.function, Permits: n, MemoryMB: t.MemoryMB}, true
	}
	return Turn{}, false
}

// permitsLocked is how many more attempts the line may begin.
func (g *Gate) permitsLocked(l *line, t Terms) int {
	n := share(l.used, g.slots-g.used, 1, false)
	switch free := g.memoryMB - g.usedMB; {
	case g.memoryMB == 0 || t.MemoryMB == 0:
	case !g.isGiant(t.MemoryMB):
		n = min(n, share(l.usedMB, free, t.MemoryMB, g.giant))
	case g.giant || l.usedMB > 0:
		return 0
	default:
		n = min(n, 1)
	}
	if t.Most > 0 {
		n = min(n, max(t.Most-l.used, 0))
	}
	return min(n, turnPermits)
}

// share is how many units of a size a line that holds held may take, so that it never
// holds more than is free afterwards; a line that holds nothing may have one while
// anything is free, or, if it must fit, while there is room for it.
func share(held, free, size int, fit bool) int {
	n := (free - held) / (2 * size)
	if n <= 0 && held == 0 && free > 0 && (!fit || size <= free) {
		return 1
	}
	return max(n, 0)
}

// isGiant tells whether an attempt is larger than half of the bound.
func (g *Gate) isGiant(mb int) bool { return g.memoryMB > 0 && 2*mb > g.memoryMB }

// chargeOf is what an attempt counts for.
func (g *Gate) chargeOf(mb int) int {
	if g.isGiant(mb) {
		return (g.memoryMB + 1) / 2
	}
	return mb
}

func (g *Gate) takeLocked(l *line, n, mb int) {
	l.used += n
	g.used += n
	l.usedMB += n * g.chargeOf(mb)
	g.usedMB += n * g.chargeOf(mb)
	if n != 0 && g.isGiant(mb) {
		g.giant = n > 0
	}
}

// Weigh says, before Pulled, that an event of the turn needs so much memory, which may
// be another version's than was thought. It returns the turn to be given to Done for
// it. If there is no room for it, fits is false: the event must go back to the queue, and
// Done be told the turn as it was. One that need not fit is only turned back as a giant
// beside another, or where the bound is exceeded without it.
func (g *Gate) Weigh(t Turn, mb int, mustFit bool) (weighed Turn, fits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[t.Function]
	l.seenMB = max(l.seenMB, mb)
	if mb == t.MemoryMB {
		return t, true
	}
	over := g.memoryMB > 0 && g.usedMB+g.chargeOf(mb)-g.chargeOf(t.MemoryMB) > g.memoryMB
	beside := g.giant && !g.isGiant(t.MemoryMB)
	// The one attempt by which the bound may be exceeded is another's already.
	second := mb > t.MemoryMB && g.usedMB-g.chargeOf(t.MemoryMB) > g.memoryMB
	if g.isGiant(mb) && beside || over && (mustFit || beside || second) {
		l.again = true
		return t, false
	}
	g.takeLocked(l, -1, t.MemoryMB)
	g.takeLocked(l, 1, mb)
	t.MemoryMB = mb
	return t, true
}

// Pulled ends a turn's pull: got events have come of the permits, also if some of them
// went back. A line that gave all
// that was asked for, or was poked meanwhile, takes its place at the end of the ring.
func (g *Gate) Pulled(t Turn, got int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[t.Function]
	g.takeLocked(l, got-t.Permits, t.MemoryMB)
	l.pulling = false
	if got == t.Permits || l.again {
		g.enqueueLocked(l)
	}
	l.again = false
	g.forgetLocked(l)
}

// Done gives one permit of the turn back.
func (g *Gate) Done(t Turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[t.Function]
	g.takeLocked(l, -1, t.MemoryMB)
	g.forgetLocked(l)
}

// forgetLocked drops a line that has nothing, so that the gate does not grow with the
// number of functions there ever were.
func (g *Gate) forgetLocked(l *line) {
	if l.used == 0 && !l.inRing && !l.pulling {
		delete(g.lines, l.function)
	}
}

// Running is how many attempts of the function are under way, or about to be; of all
// functions when it is empty.
func (g *Gate) Running(function string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if function == "" {
		return g.used
	}
	if l := g.lines[function]; l != nil {
		return l.used
	}
	return 0
}
