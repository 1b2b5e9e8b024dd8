package runtimeapi

import (
	"slices"
	"sync"

	"hearth/internal/hearth/packed"
)

// invocation is one that the host has sent.
type invocation struct {
	request
	stream  uint32
	payload []byte

	cancelled chan struct{} // closed when nobody waits for the response any more
	cancel    sync.Once
	room      chan struct{} // holds a value when credit may have grown

	// Guarded by table.mu.
	answering bool // a response is being received
	credit    int  // bytes of a streamed response that the host has room for
}

func newInvocation(stream uint32, r request) *invocation {
	return &invocation{request: r, stream: stream, credit: window,
		cancelled: make(chan struct{}), room: make(chan struct{}, 1)}
}

// complete makes the payload what the runtime gets, when all of it has come.
func (inv *invocation) complete() error {
	if inv.http.Form == 0 {
		return nil
	}
	if len(inv.payload) < inv.size {
		return errMeta
	}
	event := inv.http
	event.Body = inv.payload[inv.size:]
	var err error
	inv.payload, err = packed.Whole(inv.payload[:inv.size], event, inv.id)
	return err
}

// table knows who has which invocation. The host sends no more at once than there are
// slots, so how many polls wait has no meaning for it (Runtime API: some clients poll
// again before they have answered).
type table struct {
	exclusive bool

	mu      sync.Mutex
	polls   []chan *invocation     // that wait, the oldest first
	queue   []*invocation          // that nobody has taken yet
	flight  map[string]*invocation // taken and not answered, by request id
	streams map[uint32]*invocation // all
	last    string                 // the request id answered last
}

func newTable(exclusive bool) *table {
	return &table{exclusive: exclusive, flight: map[string]*invocation{}, streams: map[uint32]*invocation{}}
}

// expect knows of an invocation before anybody may have it.
func (t *table) expect(inv *invocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams[inv.stream] = inv
}

// add gives an invocation to the poll that has waited longest, or keeps it for the next.
func (t *table) add(inv *invocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[inv.stream] != inv {
		return // it has been answered without the runtime
	}
	if len(t.polls) == 0 {
		t.queue = append(t.queue, inv)
		return
	}
	t.flight[inv.id] = inv
	t.polls[0] <- inv
	t.polls = t.polls[1:]
}

// poll asks for the next invocation: it comes on the channel. It is false where the
// runtime has one already, or asks already, and may have no more than that.
func (t *table) poll() (<-chan *invocation, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exclusive && len(t.flight)+len(t.polls) > 0 {
		return nil, false
	}
	c := make(chan *invocation, 1)
	if len(t.queue) == 0 {
		t.polls = append(t.polls, c)
		return c, true
	}
	inv := t.queue[0]
	t.queue = t.queue[1:]
	t.flight[inv.id] = inv
	c <- inv
	return c, true
}

// leave ends a poll whose connection has gone. What it was given a moment before goes
// to the next.
func (t *table) leave(c <-chan *invocation) {
	t.mu.Lock()
	t.polls = slices.DeleteFunc(t.polls, func(other chan *invocation) bool { return other == c })
	t.mu.Unlock()
	select {
	case inv := <-c:
		t.again(inv)
	default:
	}
}

// again gives an invocation, which a poll that has gone was given, to the next.
func (t *table) again(inv *invocation) {
	t.mu.Lock()
	delete(t.flight, inv.id)
	t.mu.Unlock()
	t.add(inv)
}

// claim begins to answer an invocation. known is false for an id that is not in flight,
// inv is nil for one that is being answered or has been.
func (t *table) claim(id string) (inv *invocation, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	inv = t.flight[id]
	switch {
	case inv == nil:
		return nil, t.exclusive && id == t.last && id != ""
	case inv.answering:
		return nil, true
	}
	inv.answering = true
	return inv, true
}

// claimAll begins to answer all that nobody answers yet.
func (t *table) claimAll() []*invocation {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*invocation
	for _, inv := range t.streams {
		if !inv.answering {
			inv.answering = true
			all = append(all, inv)
		}
	}
	return all
}

// unclaim: the answer did not come whole. The runtime may try again.
func (t *table) unclaim(inv *invocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	inv.answering = false
}

// done forgets an invocation that has been answered.
func (t *table) done(inv *invocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flight, inv.id)
	delete(t.streams, inv.stream)
	t.last = inv.id
}

// cancelAll: the host has gone.
func (t *table) cancelAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, inv := range t.streams {
		inv.cancel.Do(func() { close(inv.cancelled) })
	}
}

func (t *table) get(stream uint32) *invocation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.streams[stream]
}

// grant adds credit to a streamed response.
func (t *table) grant(stream uint32, n int) {
	t.mu.Lock()
	inv := t.streams[stream]
	if inv != nil {
		inv.credit += n
	}
	t.mu.Unlock()
	if inv != nil {
		select {
		case inv.room <- struct{}{}:
		default:
		}
	}
}

// take uses up to n bytes of credit, 0 if there is none.
func (t *table) take(inv *invocation, n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, inv.credit)
	inv.credit -= n
	return n
}

// owner is the stream of the invocation that wrote a line of log: where there is one at
// a time that one, else the one whose id the line has in it; 0 for none.
func (t *table) owner(line []byte) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.exclusive {
		for _, inv := range t.flight {
			return inv.stream
		}
		return 0
	}
	const id, before = 36, 8 // a UUID, and where its first '-' is
	for i := before; i+id-before <= len(line); i++ {
		if line[i] != '-' {
			continue
		}
		if inv := t.flight[string(line[i-before:i-before+id])]; inv != nil {
			return inv.stream
		}
	}
	return 0
}
