package pool

import (
	"cmp"
	"slices"
	"time"

	"hearth/internal/hearth"
)

// candidate is an instance or a spare whose room could be taken, as it was a moment ago.
type candidate struct {
	inst     *Instance // one of the two is set
	spare    *Spare
	room     room
	place    place
	rank     int // of a spare
	lastUsed time.Time
}

// place is when a candidate's turn to go comes.
type place int

const (
	leaving  place = iota // it is being destroyed anyway
	waiting               // a sandbox that is nobody's yet
	idle                  // least recently used first
	promised              // provisioned
)

// evictBefore orders candidates for eviction. Spares go from the kind that has most; ties
// of instances go by age, so that equal histories end equal.
func evictBefore(a, b candidate) int {
	switch {
	case a.place != b.place:
		return cmp.Compare(a.place, b.place)
	case a.inst == nil && b.inst == nil:
		return cmp.Compare(b.rank, a.rank)
	case a.inst == nil:
		return -1
	case b.inst == nil:
		return 1
	}
	return cmp.Or(
		a.lastUsed.Compare(b.lastUsed),
		cmp.Compare(a.inst.group.number, b.inst.group.number),
		cmp.Compare(a.inst.number, b.inst.number),
	)
}

// census is what there is on the node besides what is free.
type census struct {
	found     []candidate // in the order in which they should go
	evictable room        // theirs
	starting  room        // what instances hold that are starting
}

// censusLocked finds what could be evicted for g's sake.
func (p *Pool) censusLocked(g *Group) (c census) {
	g.mu.Lock()
	urgent := g.queue.len > 0 // a promise is not broken to keep another
	g.mu.Unlock()
	c.starting = p.unborn
	for _, other := range p.groupsLocked() {
		other.mu.Lock()
		for _, inst := range other.instances {
			if inst.phase == starting {
				c.starting = c.starting.plus(inst.res.room)
			}
			if at, ok := inst.placeLocked(); ok && (at == leaving || other != g && (at == idle || urgent)) {
				c.found = append(c.found, candidate{inst: inst, room: inst.res.room, place: at, lastUsed: inst.lastUsed})
			}
		}
		other.mu.Unlock()
	}
	c.found = append(c.found, p.sparesLocked()...)
	for _, one := range c.found {
		c.evictable = c.evictable.plus(one.room)
	}
	slices.SortStableFunc(c.found, evictBefore)
	return c
}

// placeLocked is where the instance stands among those who go; false if it stays.
func (inst *Instance) placeLocked() (place, bool) {
	switch {
	case inst.phase == dead:
		return leaving, true
	case inst.phase != warm || inst.inFlight > 0:
		return 0, false
	case inst.promised:
		return promised, true
	}
	return idle, true
}

// choose takes the first candidates that have of what is short, until there is enough.
func choose(found []candidate, short room) (chosen []candidate) {
	for _, c := range found {
		part := c.room.least(short.lacking())
		if part.none() {
			continue
		}
		chosen = append(chosen, c)
		short = short.minus(part)
	}
	return chosen
}

// condemnLocked takes all of the candidates out of service, or none if one of them is
// not idle any more. It holds several groups' locks at once; nobody else does, and it
// holds the pool's, so no two can wait for each other.
func (p *Pool) condemnLocked(chosen []candidate) bool {
	held := make([]*Group, 0, len(chosen))
	defer func() {
		for _, g := range held {
			g.mu.Unlock()
		}
	}()
	for _, c := range chosen {
		if c.inst == nil {
			continue
		}
		if g := c.inst.group; !slices.Contains(held, g) {
			g.mu.Lock()
			held = append(held, g)
		}
		if _, ok := c.inst.placeLocked(); !ok {
			return false
		}
	}
	for _, c := range chosen {
		switch {
		case c.spare != nil:
			c.spare.taken = true
		case c.inst.phase == warm:
			c.inst.group.retireLocked(c.inst, hearth.EndEvicted)
			c.inst.group.count.Evicted++
		}
	}
	return true
}

// takeLocked takes so much room from those who have been condemned.
func (p *Pool) takeLocked(chosen []candidate, short room) (v Victims) {
	for _, c := range chosen {
		part := c.room.least(short)
		short = short.minus(part)
		if c.spare != nil {
			c.spare.room, p.spare = c.spare.room.minus(part), p.spare.minus(part)
			v.Spares = append(v.Spares, c.spare)
			continue
		}
		c.inst.res.room, p.reserved = c.inst.res.room.minus(part), p.reserved.minus(part)
		v.Instances = append(v.Instances, c.inst)
	}
	return v
}
