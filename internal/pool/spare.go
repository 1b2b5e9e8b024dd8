package pool

import "slices"

// Spare is the room of a sandbox that waits to become an instance, or is being made. Its
// memory is charged at its real size. It counts apart from what instances have reserved,
// and gives way to them before any idle instance does: see Victims.
type Spare struct {
	// Value is the caller's own, untouched by the pool.
	Value any

	pool *Pool
	kind any // comparable: which others it could be used instead of

	// Guarded by the pool's lock.
	room  room // less than it was when a reservation has taken it over
	taken bool // it has to make room, and becomes nobody's
}

// Spare charges mb MiB of memory and what a sandbox needs of the disk. It fails when they
// are not free, and while others wait for room. Of the kinds, which must be comparable,
// the one that has most gives way first.
func (p *Pool) Spare(mb int, disk Disk, kind, value any) (s *Spare, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	need := room{mb, disk.NeedMB}
	if p.closed || !p.shortLocked(need, disk).none() || p.awaitedLocked() {
		return nil, false
	}
	s = &Spare{Value: value, pool: p, kind: kind, room: need}
	p.spare = p.spare.plus(need)
	p.spares = append(p.spares, s)
	return s, true
}

// Resize makes the charge the memory that the sandbox really uses, mb MiB. That may be
// more than is free: then the next Reserve makes room for it. It does nothing once the
// charge is released or the room is another's.
func (s *Spare) Resize(mb int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.room.memory > 0 && !s.taken {
		s.pool.spare.memory += max(mb, 1) - s.room.memory
		s.room.memory = max(mb, 1)
	}
}

// Release gives the room back; call it once the sandbox has been destroyed. Calling it
// again, or after ReserveOver has taken it over, is harmless.
func (s *Spare) Release() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.releaseLocked()
}

func (s *Spare) releaseLocked() {
	p := s.pool
	p.spare = p.spare.minus(s.room)
	s.room = room{}
	p.spares = slices.DeleteFunc(p.spares, func(other *Spare) bool { return other == s })
}

// ReserveOver is Reserve for an instance that a waiting sandbox becomes: the charge of the
// sandbox becomes part of the reservation. After an error it stands as it was. With
// ErrSpareTaken the sandbox is somebody's victim, and no longer the caller's.
func (p *Pool) ReserveOver(g *Group, s *Spare, disk Disk) (*Reservation, Victims, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.taken {
		return nil, Victims{}, ErrSpareTaken
	}
	own := s.room
	s.room, p.spare = room{}, p.spare.minus(own)
	res, victims, err := p.reserveLocked(g, disk)
	if err != nil {
		s.room, p.spare = own, p.spare.plus(own)
		return nil, Victims{}, err
	}
	s.releaseLocked()
	return res, victims, nil
}

// sparesLocked are the spares whose room could be taken. Those of a kind are ranked by
// age: so the highest rank is the youngest of the kind that has most.
func (p *Pool) sparesLocked() (found []candidate) {
	ranks := map[any]int{}
	for _, s := range p.spares {
		if s.room.none() {
			continue // it becomes the instance that room is sought for
		}
		c := candidate{spare: s, room: s.room, place: waiting}
		if s.taken {
			c.place = leaving
		} else {
			ranks[s.kind]++
			c.rank = ranks[s.kind]
		}
		found = append(found, c)
	}
	return found
}

// FreeMB is how much memory nobody has reserved and no spare uses.
func (p *Pool) FreeMB() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return -p.shortLocked(room{}, Disk{}).memory
}
