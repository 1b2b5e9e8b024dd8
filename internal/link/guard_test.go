//go:build !race

package link_test

import (
	"testing"

	"hearth/internal/link"
)

// TestAllocations holds a frame there and back to what it allocates, the peer's share
// included.
func TestAllocations(t *testing.T) {
	for _, inFlight := range []int{1, 64} {
		got := testing.Benchmark(func(b *testing.B) { benchmarkEcho(b, link.Options{MaxInFlight: inFlight}) }).AllocsPerOp()
		if got > 5 {
			t.Errorf("%d in flight: a call allocates %d times, at most 5 are allowed", inFlight, got)
		}
	}
}
