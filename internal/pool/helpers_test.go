package pool

import (
	"testing"
	"time"

	"hearth/internal/hearth"
)

// epoch is when virtual time begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func version(function string, model hearth.Model, slots, memoryMB int) *hearth.Version {
	return &hearth.Version{Function: function, Number: hearth.Latest, Revision: "r1", Identity: function + "@1", Config: hearth.Config{
		MemoryMB: memoryMB, Model: model, MaxConcurrency: slots, KeepAlive: hearth.DefaultKeepAlive,
	}}
}

// startOne makes one idle instance of g, as if an invocation had asked for it and
// ended at once.
func startOne(tb testing.TB, p *Pool, g *Group, now time.Time, id string) *Instance {
	tb.Helper()
	lease, start, err := g.Acquire(now, new(Waiter))
	if err != nil || !start || lease.Instance != nil {
		tb.Fatalf("Acquire = %+v, %v, %v, want a start", lease, start, err)
	}
	res, _, err := p.Reserve(g, Disk{})
	if err != nil {
		tb.Fatal(err)
	}
	inst := g.Starting(now, id, nil, res)
	for _, grant := range inst.Ready(now).Grants {
		grant.Lease.Release(now)
	}
	return inst
}
