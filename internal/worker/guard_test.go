//go:build !race

package worker

import "testing"

// TestAllocations holds the path from the slot to the answer to what it allocates, the
// fake shim's frames included.
func TestAllocations(t *testing.T) {
	if got := testing.Benchmark(BenchmarkInvoke).AllocsPerOp(); got > 6 {
		t.Errorf("an invocation allocates %d times, at most 6 are allowed", got)
	}
}
