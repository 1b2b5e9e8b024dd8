package policy

import (
	"cmp"
	"slices"
	"time"
)

// Kind is what must be known of a function before an interpreter can start for it.
type Kind struct {
	Language string
	// MemoryMB is the function's memory, in MiB, where the interpreter has to be told it
	// at its start; 0 where it has not.
	MemoryMB int
}

func (k Kind) compare(other Kind) int {
	return cmp.Or(cmp.Compare(k.Language, other.Language), cmp.Compare(k.MemoryMB, other.MemoryMB))
}

// PrewarmConfig of a Prewarm.
type PrewarmConfig struct {
	// Floor is how many sandboxes wait per kind that has been wanted lately. A kind
	// that is only deployed has one. 0: none wait at all.
	Floor int
	// BudgetMB is how much memory they may have together, at their real size.
	BudgetMB int
}

const (
	// usedFor is how long a kind counts as wanted lately.
	usedFor = 15 * time.Minute
	// together is how close to each other cold starts are one burst: sandboxes that are
	// made meanwhile come too late for it. Cold starts that never end are cut into
	// bursts of longest.
	together = time.Second
	longest  = 10 * time.Second
	// holdBurst is how long after a burst as many sandboxes are kept as it wanted. Then
	// half of them go, and so on.
	holdBurst = 5 * time.Minute
	// afterFailure is the pause after a sandbox could not be made.
	afterFailure = 30 * time.Second
	// calm is how long no cold start must have been before one more is made: the
	// processors are for those who wait.
	calm = 200 * time.Millisecond
	// busyLimit is how long a busy node may put off what should be made.
	busyLimit = 10 * time.Second
)

// Prewarm decides how many blank sandboxes should wait. It is for one goroutine at a
// time.
type Prewarm struct {
	cfg   PrewarmConfig
	kinds map[Kind]*demand
	told  bool // what is deployed
	// notBefore is when the next sandbox may be made.
	notBefore time.Time
	lastWant  time.Time
	busySince time.Time // of a node that is to make one; zero when it is not busy
}

// demand is what is known of one kind.
type demand struct {
	deployed  bool
	lastWant  time.Time // or expected
	burstFrom time.Time
	burst     int // cold starts in the burst that goes on
	expected  int // versions deployed in it: their first invocations come on top of no other
	peak      int // the most of a burst, halved as time goes by
	peakUntil time.Time
}

// NewPrewarm starts with no demand at all.
func NewPrewarm(cfg PrewarmConfig) *Prewarm {
	return &Prewarm{cfg: cfg, kinds: map[Kind]*demand{}}
}

func (p *Prewarm) kind(k Kind) *demand {
	d := p.kinds[k]
	if d == nil {
		d = &demand{}
		p.kinds[k] = d
	}
	return d
}

// Deployed tells which kinds there are functions of. From then on none waits for others.
func (p *Prewarm) Deployed(kinds []Kind) {
	p.told = true
	for _, d := range p.kinds {
		d.deployed = false
	}
	for _, k := range kinds {
		p.kind(k).deployed = true
	}
}

// Wanted tells of one cold start, whether or not a sandbox was there for it.
func (p *Prewarm) Wanted(now time.Time, k Kind) {
	p.lastWant = now
	d := p.heard(now, k)
	d.burst++
	d.top(now)
}

// Expected tells of one cold start to come: of a version that has just been deployed,
// whose first invocation cannot be warm. When it comes, Wanted does not count it again.
func (p *Prewarm) Expected(now time.Time, k Kind) {
	d := p.heard(now, k)
	d.expected++
	d.top(now)
}

// heard notes that there is news of a kind, of the burst that goes on or of a new one.
func (p *Prewarm) heard(now time.Time, k Kind) *demand {
	d := p.kind(k)
	if now.Sub(d.lastWant) > together || now.Sub(d.burstFrom) > longest {
		d.burst, d.expected, d.burstFrom = 0, 0, now
	}
	d.age(now)
	d.lastWant = now
	return d
}

// top raises the peak to the burst that goes on.
func (d *demand) top(now time.Time) {
	if size := max(d.burst, d.expected); size >= d.peak {
		d.peak, d.peakUntil = size, now.Add(holdBurst)
	}
}

// Failed tells that a sandbox could not be made.
func (p *Prewarm) Failed(now time.Time) { p.notBefore = now.Add(afterFailure) }

// age halves the peak for every holdBurst that has passed.
func (d *demand) age(now time.Time) {
	for d.peak > 0 && !now.Before(d.peakUntil) {
		d.peak /= 2
		d.peakUntil = d.peakUntil.Add(holdBurst)
	}
}

// Target is how many sandboxes of a kind should wait, memory aside.
func (p *Prewarm) Target(now time.Time, k Kind) int {
	d := p.kinds[k]
	if d == nil || p.cfg.Floor == 0 || p.told && !d.deployed {
		return 0
	}
	d.age(now)
	switch {
	case !d.lastWant.IsZero() && now.Sub(d.lastWant) < usedFor:
		return max(p.cfg.Floor, d.peak)
	case d.deployed:
		return 1
	}
	return 0
}

// Node is what there is on a node.
type Node struct {
	Have map[Kind]int // sandboxes that wait
	// UsedMB is what they use together; NextMB what one more of a kind will, as far as
	// is known.
	UsedMB int
	NextMB func(Kind) int
	FreeMB int // memory that nobody has reserved
}

// Plan is what to do now: at most one of both.
type Plan struct {
	Make *Kind // make one sandbox of this kind
	Stop *Kind // stop one
	// Again is when to ask again, if nothing happens before; zero means: when
	// something happens.
	Again time.Time
}

// Plan decides what to do. Ask again when what it said has been done.
func (p *Prewarm) Plan(now time.Time, n Node) Plan {
	if k, ok := p.surplus(now, n); ok {
		return Plan{Stop: &k}
	}
	k, ok := p.shortest(now, n)
	if !ok {
		p.busySince = time.Time{}
		return Plan{Again: p.nextChange(now)}
	}
	at := p.notBefore
	if quiet := p.lastWant.Add(calm); quiet.After(at) {
		at = quiet
	}
	if now.Before(at) {
		return Plan{Again: at}
	}
	return Plan{Make: &k}
}

// PutOff tells whether what Plan wants made should wait until the processors have time
// for it, and when to ask Plan again. Ask it every time that Plan wants something made.
func (p *Prewarm) PutOff(now time.Time, busy bool) (again time.Time, wait bool) {
	switch {
	case !busy:
	case p.busySince.IsZero():
		p.busySince = now
		return now.Add(calm), true
	case now.Sub(p.busySince) < busyLimit:
		return now.Add(calm), true
	}
	p.busySince = time.Time{}
	return time.Time{}, false
}

// surplus finds a kind that has more than it should, or more than the floor while
// another has less and the budget is used up.
func (p *Prewarm) surplus(now time.Time, n Node) (Kind, bool) {
	most, found := Kind{}, false
	for _, k := range sorted(n.Have) {
		if n.Have[k] > p.Target(now, k) {
			return k, true
		}
		if n.Have[k] > n.Have[most] {
			most, found = k, true
		}
	}
	switch {
	case n.UsedMB > p.cfg.BudgetMB:
		return most, found
	case found && n.Have[most] > p.cfg.Floor:
		return most, p.starved(now, n)
	}
	return Kind{}, false
}

// starved: a kind has less than the floor because the budget is used up.
func (p *Prewarm) starved(now time.Time, n Node) bool {
	for k := range p.kinds {
		if p.belowFloor(now, n, k) && n.UsedMB+n.NextMB(k) > p.cfg.BudgetMB {
			return true
		}
	}
	return false
}

func (p *Prewarm) belowFloor(now time.Time, n Node, k Kind) bool {
	return n.Have[k] < min(p.Target(now, k), p.cfg.Floor)
}

// shortest finds the kind that lacks the largest part of what it should have, and that
// there is memory for. Those below the floor come first.
func (p *Prewarm) shortest(now time.Time, n Node) (short Kind, found bool) {
	least := 2.0
	for _, k := range sorted(p.kinds) {
		target := p.Target(now, k)
		if n.Have[k] >= target || !p.fits(n, k) {
			continue
		}
		part := float64(n.Have[k]) / float64(target)
		if !p.belowFloor(now, n, k) {
			part++
		}
		if part < least {
			short, found, least = k, true, part
		}
	}
	return short, found
}

// fits: neither the budget nor the room for functions is used up. Of the free memory
// half is left, so that functions seldom have to wait until a sandbox has gone.
func (p *Prewarm) fits(n Node, k Kind) bool {
	mb := n.NextMB(k)
	return n.UsedMB+mb <= p.cfg.BudgetMB && 2*mb <= n.FreeMB
}

// nextChange is when time alone changes a target.
func (p *Prewarm) nextChange(now time.Time) (at time.Time) {
	for k, d := range p.kinds {
		for _, t := range []time.Time{d.lastWant.Add(usedFor), d.peakUntil} {
			if p.Target(now, k) > 0 && t.After(now) && (at.IsZero() || t.Before(at)) {
				at = t
			}
		}
	}
	return at
}

func sorted[V any](m map[Kind]V) []Kind {
	list := make([]Kind, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.SortFunc(list, Kind.compare)
	return list
}
