package logs

import (
	"fmt"
	"time"

	"hearth/internal/hearth"
)

func startLine(request, version string) string {
	return "START RequestId: " + request + " Version: " + version
}

func endLine(request string) string { return "END RequestId: " + request }

func droppedLine(n uint64) string {
	return fmt.Sprintf("… %d lines dropped here: more was logged at once than Hearth keeps", n)
}

const olderLine = "… older lines dropped"

// ReportLine is Lambda's REPORT line, without the final newline: durations with two
// decimals, the billed one in whole milliseconds, Init Duration only when there was
// an init, and a Status only when it is not empty ("timeout", "error").
func ReportLine(request string, r hearth.Report, status string) string {
	line := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		request, millis(r.Duration), Billed(r).Milliseconds(), r.MemoryMB, r.MaxMemoryMB)
	if r.Init > 0 {
		line += fmt.Sprintf("Init Duration: %.2f ms\t", millis(r.Init))
	}
	if status != "" {
		line += "Status: " + status + "\t"
	}
	return line
}

// Billed is the billed duration of Lambda's reports: handler and init time, rounded up
// to whole milliseconds. Lambda bills init since August 2025.
func Billed(r hearth.Report) time.Duration {
	return (r.Duration + r.Init + time.Millisecond - 1).Truncate(time.Millisecond)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
