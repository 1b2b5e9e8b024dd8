package api

import "testing"

// TestPartsAllocate holds the parts of the path to what each allocates: the event nothing,
// a declared path its parameters.
func TestPartsAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	for name, part := range map[string]struct {
		run  func(*testing.B)
		most int64
	}{"event": {BenchmarkBuildEvent, 0}, "route": {BenchmarkHTTPRoute, 1}} {
		if got := testing.Benchmark(part.run).AllocsPerOp(); got > part.most {
			t.Errorf("%s: %d allocations, at most %d are allowed", name, got, part.most)
		}
	}
}
