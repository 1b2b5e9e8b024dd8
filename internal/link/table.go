package link

import "math/bits"

// table holds the calls in flight. A stream number is a place in the table in its
// low bits and a count of that place's uses above them, so that looking one up is an
// index and a comparison, and a stale number is told from a live one.
type table struct {
	places   []*Call
	uses     []uint32
	free     []uint32
	shift    int
	inFlight int
}

func newTable(size int) table {
	t := table{
		places: make([]*Call, size), uses: make([]uint32, size), free: make([]uint32, size),
		shift: bits.Len(uint(size - 1)),
	}
	for i := range t.free {
		t.free[i] = uint32(size - 1 - i)
	}
	return t
}

// add gives call a stream number, never 0; it reports false when the table is full.
func (t *table) add(call *Call) bool {
	if len(t.free) == 0 {
		return false
	}
	place := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.uses[place]++
	if t.uses[place]<<t.shift == 0 { // wrapped around
		t.uses[place] = 1
	}
	call.stream = t.uses[place]<<t.shift | place
	t.places[place] = call
	t.inFlight++
	return true
}

// get is the call in flight with that stream number, or nil.
func (t *table) get(stream uint32) *Call {
	place := stream & (1<<t.shift - 1)
	if int(place) >= len(t.places) {
		return nil
	}
	if call := t.places[place]; call != nil && call.stream == stream {
		return call
	}
	return nil
}

func (t *table) remove(call *Call) {
	place := call.stream & (1<<t.shift - 1)
	t.places[place] = nil
	t.free = append(t.free, place)
	t.inFlight--
	call.stream = 0
}
