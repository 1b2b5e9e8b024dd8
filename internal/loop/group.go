package loop

import "sync/atomic"

// Group is several loops, so that many processors can share the work.
type Group struct {
	loops []*Loop
	next  atomic.Uint32
}

// NewGroup makes n loops. The caller must Close the Group.
func NewGroup(n int) (*Group, error) {
	g := &Group{}
	for range n {
		l, err := New()
		if err != nil {
			g.Close()
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Next is the loop for the next socket, one after the other.
func (g *Group) Next() *Loop { return g.loops[int(g.next.Add(1))%len(g.loops)] }

// Close closes all loops.
func (g *Group) Close() {
	for _, l := range g.loops {
		l.Close()
	}
}
