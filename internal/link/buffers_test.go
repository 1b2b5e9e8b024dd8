package link

import (
	"runtime"
	"testing"
)

// A connection that has sent something large keeps nothing of it while it is idle: there
// may be a thousand of them.
func TestIdleKeepsNoWideBuffer(t *testing.T) {
	c := &Conn{out: make([]byte, wide), writing: true}
	if c.next() || c.writing {
		t.Fatal("there is nothing to write")
	}
	if cap(c.out) > keepBuffer {
		t.Errorf("an idle connection keeps %d bytes", cap(c.out))
	}
}

// The beginning of a small frame costs a small buffer alone.
func TestSmallPartCostsLittle(t *testing.T) {
	const rounds = 100
	c := &Conn{}
	part := make([]byte, headerSize-1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		c.keep(part, part)
		if cap(c.part) < smallBuffer || len(c.part) != len(part) {
			t.Fatalf("kept %d of %d bytes in %d", len(c.part), len(part), cap(c.part))
		}
		c.keep(nil, nil)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > 4*smallBuffer {
		t.Errorf("a part of %d bytes cost %d", len(part), each)
	}
}
