package worker

import (
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

// frost is whether an instance's processes stand still.
type frost struct {
	mu     sync.Mutex
	frozen bool
	over   bool // it is on its way out: never again
}

// thaw lets the processes of an instance go on that an invocation has come for. It does
// not wait: what is sent meanwhile waits in the instance's socket.
func (w *Worker) thaw(p *pool.Instance) {
	inst := p.Value.(*instance)
	w.tasks.Go(func() { w.conform(inst) })
}

// conform makes an instance stand still, or go on, as the pool has decided. Decisions
// may follow each other faster than they are carried out; as each is only a reason to
// look, the last one counts, whoever comes last.
func (w *Worker) conform(inst *instance) {
	inst.frost.mu.Lock()
	defer inst.frost.mu.Unlock()
	frozen := !inst.frost.over && inst.pooled.Frozen()
	if frozen == inst.frost.frozen {
		return
	}
	f, ok := inst.sb.(sandbox.Freezer)
	if !ok {
		return
	}
	if frozen {
		if err := f.Freeze(); err != nil { // it just goes on
			w.cfg.Log.Warn("instance not frozen", "instance", inst.id, "function", inst.version.Function, "err", err)
			return
		}
		inst.frost.frozen = true
		w.emit(inst, "instance.frozen", "", "")
		return
	}
	began := time.Now()
	if err := f.Thaw(); err != nil { // then it is of no use to those who wait for it
		w.cfg.Log.Error("instance not thawed; it is destroyed", "instance", inst.id, "function", inst.version.Function, "err", err)
		inst.kill(hearth.EndCrashed)
		return
	}
	inst.frost.frozen = false
	w.emit(inst, "instance.thawed", "", time.Since(began).String())
}

// thawForGood lets the processes of an instance run its exit hooks.
func (inst *instance) thawForGood() {
	inst.frost.mu.Lock()
	defer inst.frost.mu.Unlock()
	inst.frost.over = true
	if f, ok := inst.sb.(sandbox.Freezer); ok && inst.frost.frozen {
		inst.frost.frozen = false
		_ = f.Thaw() // what does not thaw is destroyed as it stands
	}
}
