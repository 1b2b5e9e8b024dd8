package link_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"hearth/internal/link"
)

// Many large payloads for a shim that does not read stay with their owners, but for a
// bounded part; when it reads, it gets all of each.
func TestLargePayloadsForASlowShim(t *testing.T) {
	const calls, size = 400, 100 << 10
	c, p := ready(t, link.Options{MaxInFlight: calls})
	payload := bytes.Repeat([]byte("payload "), size/8)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := make([]*link.Call, calls)
	for i := range sent {
		sent[i] = newCall(fmt.Sprint("r", i), "")
		sent[i].Payload = payload
		if err := c.Send(sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d payloads of %d bytes cost %d", calls, size, grown)
	}
	got := map[uint32][]byte{}
	for done := 0; done < calls; {
		r, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		part := r.body
		if r.kind == tInvoke {
			_, part = payloadOf(r.body)
		}
		if got[r.stream] = append(got[r.stream], part...); r.flags&more != 0 {
			continue
		}
		done++
		if !bytes.Equal(got[r.stream], payload) {
			t.Errorf("stream %d: %d bytes arrived", r.stream, len(got[r.stream]))
		}
		delete(got, r.stream)
		p.write(frame(tResult, 0, r.stream, []byte("null")))
	}
	for _, call := range sent {
		await(t, call)
		call.Release()
	}
}

// A frame of which a part has come is kept while other connections of the loop read.
func TestPartsOfTwoConnections(t *testing.T) {
	const size, cut = 60_000, 20_000
	type side struct {
		c    *link.Conn
		p    peer
		call *link.Call
		rest []byte
		want []byte
	}
	var sides []*side
	for i := range 4 {
		c, p := ready(t, link.Options{MaxInFlight: 1})
		s := &side{c: c, p: p, call: newCall("r", "{}"), want: bytes.Repeat([]byte{byte('a' + i)}, size)}
		sides = append(sides, s)
		if err := c.Send(s.call); err != nil {
			t.Fatal(err)
		}
		result := frame(tResult, 0, p.expect(tInvoke).stream, s.want)
		p.write(result[:cut])
		s.rest = result[cut:]
	}
	for _, s := range sides {
		s.p.write(s.rest[:1])
	}
	for _, s := range sides {
		s.p.write(s.rest[1:])
		await(t, s.call)
		if s.call.Err != nil || !bytes.Equal(s.call.Response, s.want) {
			t.Errorf("%d bytes, of which %d are right: %v", len(s.call.Response), bytes.Count(s.call.Response, s.want[:1]), s.call.Err)
		}
		s.call.Release()
	}
}
