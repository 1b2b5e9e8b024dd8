package link_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hearth/internal/link"
)

// open is a call in flight, as the model knows it.
type open struct {
	call      *link.Call
	stream    uint32
	response  []byte
	begun     bool
	failed    bool
	cancelled bool
	logged    []byte
}

// world is a connection, its peer and what the model expects of them.
type world struct {
	conn  *link.Conn
	peer  peer
	next  int
	calls []*open

	whole   chan whole // payloads that have arrived at the peer
	readers sync.WaitGroup

	mu   sync.Mutex
	logs map[string][]byte // by request id
}

type whole struct {
	stream  uint32
	id      string
	payload []byte
}

const (
	slots        = 5
	mostResponse = 150_000
)

func newWorld(t testing.TB) *world {
	w := &world{whole: make(chan whole, slots), logs: map[string][]byte{}}
	near, far := pair(t)
	w.conn = connect(near, link.Options{MaxInFlight: slots, MaxResponseBytes: mostResponse, OnLog: w.onLog})
	w.peer = peer{t, far}
	initialise(t, w.conn, w.peer)
	far.SetReadDeadline(time.Time{})
	w.readers.Go(w.read)
	return w
}

func (w *world) onLog(call *link.Call, fd int, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[call.ID] = append(w.logs[call.ID], text...)
}

// read is the peer: it puts payloads together.
func (w *world) read() {
	parts, ids := map[uint32][]byte{}, map[uint32]string{}
	for {
		r, err := w.peer.read()
		if err != nil {
			return
		}
		part := r.body
		switch r.kind {
		case tCancel:
			continue
		case tInvoke:
			ids[r.stream], part = payloadOf(r.body)
		}
		parts[r.stream] = append(parts[r.stream], part...)
		if r.flags&more == 0 {
			w.whole <- whole{r.stream, ids[r.stream], parts[r.stream]}
			delete(parts, r.stream)
		}
	}
}

// pick is a random call in flight whose payload has arrived, or nil.
func (w *world) pick(t *rapid.T) *open {
	if len(w.calls) == 0 {
		t.Skip("nothing is in flight")
	}
	return w.calls[rapid.IntRange(0, len(w.calls)-1).Draw(t, "call")]
}

func (w *world) send(t *rapid.T) {
	w.next++
	call := link.NewCall()
	call.ID, call.Deadline = fmt.Sprint(w.next), time.Now()
	call.Payload = bytes.Repeat([]byte{byte('a' + w.next%26)}, rapid.SampledFrom([]int{0, 1, 100, 65_535, 65_536, 300_000}).Draw(t, "size"))
	err := w.conn.Send(call)
	if len(w.calls) == slots {
		if !errors.Is(err, link.ErrBusy) {
			t.Fatalf("a call too many: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-w.whole:
		if got.id != call.ID || !bytes.Equal(got.payload, call.Payload) {
			t.Fatalf("call %s arrived as %s, with %d bytes of %d", call.ID, got.id, len(got.payload), len(call.Payload))
		}
		w.calls = append(w.calls, &open{call: call, stream: got.stream})
	case <-time.After(patience):
		t.Fatalf("call %s did not arrive", call.ID)
	}
}

func (w *world) cancel(t *rapid.T) {
	o := w.pick(t)
	w.conn.Cancel(o.call)
	o.cancelled = true
}

func (w *world) log(t *rapid.T) {
	o := w.pick(t)
	text := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "text")
	o.logged = append(o.logged, text...)
	w.peer.write(frame(tLog, 0, o.stream, append([]byte{1}, text...)))
}

func (w *world) respond(t *rapid.T) {
	o := w.pick(t)
	part := bytes.Repeat([]byte{byte('A' + w.next%26)}, rapid.SampledFrom([]int{1, 10, 5000, 65_536, 262_144}).Draw(t, "part"))
	last := rapid.Bool().Draw(t, "last")
	kind, flags := byte(tResData), byte(0)
	if !o.begun {
		kind, o.begun = tResult, true
		if o.failed = rapid.Bool().Draw(t, "failed"); o.failed {
			flags |= failed
		}
	}
	if !last {
		flags |= more
	}
	o.response = append(o.response, part...)
	w.peer.write(frame(kind, flags, o.stream, part))
	if last {
		w.ended(t, o)
	}
}

// ended checks a call whose last part has been sent.
func (w *world) ended(t *rapid.T, o *open) {
	await(t, o.call)
	for i, other := range w.calls {
		if other == o {
			w.calls = append(w.calls[:i], w.calls[i+1:]...)
			break
		}
	}
	switch {
	case o.cancelled:
		if !errors.Is(o.call.Err, link.ErrCancelled) || o.call.Response != nil {
			t.Fatalf("cancelled call %s: %v", o.call.ID, o.call.Err)
		}
	case len(o.response) > mostResponse:
		if !errors.Is(o.call.Err, link.ErrResponseTooLarge) || o.call.Response != nil {
			t.Fatalf("call %s with %d bytes: %v", o.call.ID, len(o.response), o.call.Err)
		}
	case o.call.Err != nil || o.call.Failed != o.failed || !bytes.Equal(o.call.Response, o.response):
		t.Fatalf("call %s: %v, failed %v, %d bytes; want failed %v, %d bytes",
			o.call.ID, o.call.Err, o.call.Failed, len(o.call.Response), o.failed, len(o.response))
	}
	w.mu.Lock()
	logged := w.logs[o.call.ID]
	w.mu.Unlock()
	if !bytes.Equal(logged, o.logged) {
		t.Fatalf("call %s logged %q; want %q", o.call.ID, logged, o.logged)
	}
	o.call.Release()
}

// TestModel drives a connection at random and compares it with the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		defer func() {
			w.conn.Close()
			w.peer.conn.Close()
			w.readers.Wait()
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"send": w.send, "cancel": w.cancel, "log": w.log, "respond": w.respond,
			"": func(t *rapid.T) {
				if n := w.conn.InFlight(); n != len(w.calls) {
					t.Fatalf("%d calls in flight; want %d", n, len(w.calls))
				}
			},
		})
		w.conn.Close()
		for _, o := range w.calls {
			await(rt, o.call)
			if !errors.Is(o.call.Err, link.ErrClosed) {
				rt.Errorf("call %s after the end: %v", o.call.ID, o.call.Err)
			}
		}
	})
}

// TestTogether sends from many goroutines at once, small and large.
func TestTogether(t *testing.T) {
	const callers, each = 32, 200
	c, p := ready(t, link.Options{MaxInFlight: callers})
	var peers, wg sync.WaitGroup
	echo(p.conn, &peers)
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				size := 10
				if n%20 == i%20 {
					size = 100_000
				}
				call := newCall(fmt.Sprint(i), "")
				call.Payload = bytes.Repeat([]byte{byte(i), byte(n)}, size)
				if err := c.Send(call); err != nil {
					t.Error(err)
					return
				}
				await(t, call)
				if call.Err != nil || !bytes.Equal(call.Response, call.Payload) {
					t.Errorf("caller %d, call %d: %v, %d bytes", i, n, call.Err, len(call.Response))
				}
				call.Release()
			}
		})
	}
	wg.Wait()
	c.Close()
	peers.Wait()
}
