package worker

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"
)

const (
	// busyLook is how long processorsBusy looks.
	busyLook = 100 * time.Millisecond
	// idleLeast is the part of the processors' time that must be idle for a node not to
	// be busy: with less, one more process would be at the others' cost.
	idleLeast = 0.25
)

// processorsBusy tells whether the node's processors have little time left. It takes
// 100 ms, or until ctx ends. What the kernel does not tell is taken for idle.
func processorsBusy(ctx context.Context) bool {
	idle, all := processorTime()
	timer := time.NewTimer(busyLook)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return true
	}
	idle2, all2 := processorTime()
	return all2 > all && float64(idle2-idle) < idleLeast*float64(all2-all)
}

// processorTime reads, in ticks, how long all processors have been idle (also waiting
// for disks), and how long they have run in all.
func processorTime() (idle, all uint64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	// cpu user nice system idle iowait irq softirq steal, and two that are part of user
	for i, field := range bytes.Fields(line) {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if i == 0 || i > 8 || err != nil {
			continue
		}
		all += n
		if i == 4 || i == 5 {
			idle += n
		}
	}
	return idle, all
}
