package link

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// FuzzHeader: whatever the bytes, the decoder accepts only what a shim may send, and
// what it accepts encodes back to the same bytes.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x13\x03\x00\x00\x01\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x04\x00\x15\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		h, err := decodeHeader(b)
		var broken *ProtocolError
		if err != nil {
			if !errors.As(err, &broken) {
				t.Fatalf("error %v is no ProtocolError", err)
			}
			return
		}
		if h.length > maxFrame || h.kind < kindHello || h.kind > kindLog {
			t.Errorf("accepted %+v", h)
		}
		if back := appendHeader(nil, h.kind, h.flags, h.stream, int(h.length)); !bytes.Equal(back, b[:headerSize]) {
			t.Errorf("%x was read as %+v", b[:headerSize], h)
		}
	})
}

// TestTable checks the table of calls in flight against a map.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 70).Draw(t, "size")
		table, model, stale := newTable(size), map[uint32]*Call{}, map[uint32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				call := &Call{}
				if ok := table.add(call); ok != (len(model) < size) {
					t.Fatalf("add with %d of %d in flight: %v", len(model), size, ok)
				} else if ok {
					if call.stream == 0 || model[call.stream] != nil || stale[call.stream] {
						t.Fatalf("stream %d is not new", call.stream)
					}
					model[call.stream] = call
				}
			},
			"remove": func(t *rapid.T) {
				for stream, call := range model {
					table.remove(call)
					delete(model, stream)
					stale[stream] = true
					break
				}
			},
			"": func(t *rapid.T) {
				if table.inFlight != len(model) {
					t.Fatalf("in flight %d; want %d", table.inFlight, len(model))
				}
				for stream, call := range model {
					if table.get(stream) != call {
						t.Fatalf("stream %d is lost", stream)
					}
				}
				for stream := range stale {
					if table.get(stream) != nil {
						t.Fatalf("stale stream %d is found", stream)
					}
				}
				if any := rapid.Uint32().Draw(t, "any"); model[any] == nil && table.get(any) != nil {
					t.Fatalf("stream %d is found", any)
				}
			},
		})
	})
}

// TestTableWraps: a place that has been used very often is still told apart from 0.
func TestTableWraps(t *testing.T) {
	table := newTable(3)
	table.uses[0] = 1<<30 - 1
	call := &Call{}
	if !table.add(call) || call.stream == 0 || table.get(call.stream) != call {
		t.Errorf("stream %d", call.stream)
	}
}
