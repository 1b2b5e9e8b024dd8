package hearth

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	keys := []string{"runtime", "handler", "memory", "maxConcurrency", "executionModel", "env"}
	for word, want := range map[string]string{
		"memorysize":     "memory",
		"memroy":         "memory",
		"Memory":         "memory",
		"handlr":         "handler",
		"maxconcurrency": "maxConcurrency",
		"concurrency":    "maxConcurrency",
		"enw":            "env",
		"xyz":            "",
		"":               "",
	} {
		if got := Nearest(word, keys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// A distance is a metric on short words: zero only for equals, symmetric, and at most
// the length of the longer word.
func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := distance(a, b)
		if (d == 0) != (a == b) || d != distance(b, a) || d > max(len(a), len(b)) {
			t.Fatalf("distance(%q, %q) = %d, backwards %d", a, b, d, distance(b, a))
		}
	})
}
