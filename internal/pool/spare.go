package pool

// Spare is the memory of a sandbox that waits to become an instance. It is charged at
// its real size, counts apart from what instances have reserved, and gives way to them:
// see Crowded.
type Spare struct {
	pool *Pool
	mb   int // guarded by the pool's lock; 0 once released
}

// Spare charges mb MiB. It fails when they are not free.
func (p *Pool) Spare(mb int) (s *Spare, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.reservedMB+p.spareMB+mb > p.cfg.MemoryMB {
		return nil, false
	}
	p.spareMB += mb
	return &Spare{pool: p, mb: mb}, true
}

// Resize makes the charge what the sandbox really uses, mb MiB. That may be more than
// is free: then the next Crowded says so. It does nothing once the charge is released.
func (s *Spare) Resize(mb int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.mb > 0 {
		s.pool.spareMB += max(mb, 1) - s.mb
		s.mb = max(mb, 1)
	}
}

// Release gives the memory back; call it once the sandbox has been destroyed. Calling
// it again, or after ReserveOver has taken it over, is harmless.
func (s *Spare) Release() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.releaseLocked()
}

func (s *Spare) releaseLocked() {
	s.pool.spareMB -= s.mb
	s.mb = 0
}

// Crowded is how many MiB of spare memory, besides that of mine (which may be nil), stand
// in the way of one more instance of g. The caller should destroy so much of it and then
// Reserve: spares go before any idle instance does.
func (p *Pool) Crowded(g *Group, mine *Spare) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := 0
	if mine != nil {
		held = mine.mb
	}
	others := p.spareMB - held
	return min(max(p.reservedMB+others+g.memoryMB-p.cfg.MemoryMB, 0), others)
}

// ReserveOver is Reserve for an instance that a waiting sandbox becomes: the charge of
// the sandbox becomes part of the reservation. After an error it stands as it was.
func (p *Pool) ReserveOver(g *Group, s *Spare) (*Reservation, []*Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mb := s.mb
	s.releaseLocked()
	res, victims, err := p.reserveLocked(g)
	if err != nil {
		s.mb = mb
		p.spareMB += mb
	}
	return res, victims, err
}

// FreeMB is how much memory nobody has reserved and no spare uses.
func (p *Pool) FreeMB() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.MemoryMB - p.reservedMB - p.spareMB
}
