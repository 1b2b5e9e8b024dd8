package worker

import (
	"time"

	"hearth/internal/hearth"
)

// What a provisioned instance is told in its environment (Lambda API).
const (
	initType        = "AWS_LAMBDA_INITIALIZATION_TYPE"
	initProvisioned = "provisioned-concurrency"
)

// Provision keeps instances of a function's versions initialised and ready, as many as
// the executions of each need; versions that are not named get none. Instances that die
// are replaced. It does not wait. An instance that several invocations share counts for
// all of its slots.
func (w *Worker) Provision(function string, versions []hearth.ProvisionedVersion) {
	now := time.Now()
	wanted := map[string]bool{}
	for _, p := range versions {
		wanted[p.Version.ID()] = true
	}
	for _, g := range w.pool.Groups() {
		if v := g.Version(); v.Function == function && !wanted[v.ID()] {
			g.Provision(now, 0)
		}
	}
	for _, p := range versions {
		g := w.pool.Group(p.Version)
		slots := g.Slots()
		for range g.Provision(now, (p.Executions+slots-1)/slots) {
			w.start(g)
		}
	}
}

// Provisioned tells how far the provisioned instances of a version are.
func (w *Worker) Provisioned(v *hearth.Version) hearth.ProvisionState {
	g := w.pool.Group(v)
	p := g.Provisioned()
	state := hearth.ProvisionState{Allocated: p.Have * g.Slots(), Available: p.Ready * g.Slots()}
	if p.Ready < p.Want && p.Err != nil {
		state.Reason = p.Err.Error()
	}
	return state
}
