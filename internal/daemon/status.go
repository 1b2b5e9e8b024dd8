package daemon

import (
	"bytes"
	"os"
	"strconv"

	"hearth/internal/hearth"
)

// Status implements api.Platform.
func (p *Platform) Status() hearth.Status {
	pool, calls := p.worker.Stats(), p.invoke.Stats()
	s := hearth.Status{
		Version: p.cfg.Version, Started: p.started, Listen: p.listener.Addr().String(),
		Isolation: p.driver.Name(), Warnings: p.warnings,
		Functions: p.registry.Len(), Instances: pool.Instances, Frozen: pool.FrozenNow, InFlight: pool.InFlight, Queued: pool.Waiting,
		MemoryMB: pool.MemoryMB, ReservedMB: pool.ReservedMB, ResidentMB: residentMB(),
		Invocations: calls.Invocations, Failures: calls.Failures, Throttles: calls.Throttles, ColdStarts: pool.Cold,
	}
	s.Prewarmed = p.worker.Prewarmed()
	for _, r := range p.runtimes {
		s.Runtimes = append(s.Runtimes, r.String())
	}
	return s
}

// residentMB is the memory of this process, as the kernel counts it; 0 if unknown.
func residentMB() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize() >> 20
}
