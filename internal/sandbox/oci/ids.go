package oci

import (
	"errors"
	"hash/fnv"
	"sync"
)

// Each sandbox has a range of user and group ids of its own, so that one that broke
// out of its namespaces would meet files and processes of nobody else, and so that
// the kernel's limits per user are each sandbox's own.
const (
	// firstID starts the ids that systemd's list of uses leaves free
	// (0x70000000-0x7FFDFFFF, UIDS-GIDS.md).
	firstID  = 0x7000_0000
	idsEach  = 65536
	idRanges = (0x7FFE_0000 - firstID) / idsEach
)

// idPool hands out ranges. It takes the range whose last use is longest ago.
type idPool struct {
	mu   sync.Mutex
	next int
	used [idRanges]bool
}

// newIDPool starts at a place that depends on the platform's name, so that two
// platforms on one machine rarely use the same ranges.
func newIDPool(name string) *idPool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return &idPool{next: int(h.Sum32() % idRanges)}
}

// take returns the first id of a free range.
func (p *idPool) take() (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range idRanges {
		n := p.next
		p.next = (n + 1) % idRanges
		if !p.used[n] {
			p.used[n] = true
			return uint32(firstID + n*idsEach), nil
		}
	}
	return 0, errors.New("all ranges of user ids are in use: too many sandboxes on one machine")
}

// give returns a range that take gave.
func (p *idPool) give(first uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[(first-firstID)/idsEach] = false
}
