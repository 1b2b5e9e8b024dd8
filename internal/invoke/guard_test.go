//go:build !race

package invoke

import "testing"

// TestAllocations holds lookup and admission to one allocation, the invocation.
func TestAllocations(t *testing.T) {
	if got := testing.Benchmark(BenchmarkInvoke).AllocsPerOp(); got > 1 {
		t.Errorf("an invocation allocates %d times above the worker, at most once is allowed", got)
	}
}
