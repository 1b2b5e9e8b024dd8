//go:build !race

package invoke

import "testing"

// TestAllocations: lookup and admission allocate nothing.
func TestAllocations(t *testing.T) {
	if got := testing.Benchmark(BenchmarkStart).AllocsPerOp(); got > 0 {
		t.Errorf("an invocation allocates %d times above the worker", got)
	}
}
