package cli

import (
	"testing"

	"hearth/internal/hearth"
)

// TestPrewarmedWords: status tells what waits, and for whom.
func TestPrewarmedWords(t *testing.T) {
	got := prewarmedWords([]hearth.PrewarmedInfo{
		{Language: hearth.LangNode, MemoryMB: 128, Ready: 2, UsedMB: 14},
		{Language: hearth.LangPython, Ready: 1, UsedMB: 4},
	})
	if want := "2 nodejs of 128 MB, 1 python; they use 18 MB"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
