package daemon

import (
	"context"
	"log/slog"
	"sync"

	"hearth/internal/events"
	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/logs"
	"hearth/internal/registry"
	"hearth/internal/worker"
)

// follower lets the node follow what happens to functions: new code is fetched and
// unpacked, instances of versions that have been replaced or deleted are drained.
type follower struct {
	registry *registry.Registry
	worker   *worker.Worker
	invoke   *invoke.Service
	logs     *logs.Logs
	events   *events.Ring
	log      *slog.Logger

	unsubscribe func()

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	// provisioning is held while what a function has provisioned is read and passed on,
	// so that the newest counts.
	provisioning sync.Mutex

	mu     sync.Mutex
	closed bool // no more tasks
}

// follow starts to follow; close ends it.
func follow(r *registry.Registry, w *worker.Worker, i *invoke.Service, l *logs.Logs, e *events.Ring, log *slog.Logger) *follower {
	f := &follower{registry: r, worker: w, invoke: i, logs: l, events: e, log: log}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.unsubscribe = r.Subscribe(f.change)
	return f
}

// change is called by the registry, in order, from one goroutine.
func (f *follower) change(c registry.Change) {
	defer f.worker.Redeployed()
	if c.New == nil {
		f.deleted(c.Old.Name)
		return
	}
	f.drain(c.New.Name)
	f.provision(c.New.Name)
	if c.Old == nil {
		f.emit(c.New.Name, "function.created")
	} else {
		f.emit(c.New.Name, "function.updated")
	}
	if c.Old == nil || c.Old.Latest.ID() != c.New.Latest.ID() {
		f.prefetch(&c.New.Latest)
	}
}

// deleted removes what is left of a function, unless there is a new one of that name
// by now.
func (f *follower) deleted(name string) {
	f.drain(name)
	f.emit(name, "function.deleted")
	if _, err := f.registry.Get(name); err == nil {
		return
	}
	f.invoke.Forget(name)
	if err := f.logs.Drop(name); err != nil {
		f.log.Warn("logs not removed", "function", name, "err", err)
	}
}

// drain ends the instances of what no name stands for any more. Published versions
// stay warm whatever becomes of $LATEST. The registry may be ahead of the change that
// is being handled, so it is asked, and not the change.
func (f *follower) drain(name string) {
	f.worker.DrainUnless(name, func(id string) bool {
		function, err := f.registry.Get(name)
		return err == nil && function.Has(id)
	})
}

// provisionAll begins with what was provisioned before the platform started.
func (f *follower) provisionAll() {
	for _, function := range f.registry.List() {
		f.provision(function.Name)
	}
}

// provision has instances kept ready as the function says. They follow its aliases.
func (f *follower) provision(name string) {
	f.provisioning.Lock()
	defer f.provisioning.Unlock()
	if function, err := f.registry.Get(name); err == nil {
		f.worker.Provision(name, function.ProvisionedVersions())
	}
}

func (f *follower) emit(function, kind string) {
	f.events.Emit(hearth.Event{Kind: kind, Function: function})
}

// prefetch has the code unpacked and then calls the function Active.
func (f *follower) prefetch(v *hearth.Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.tasks.Go(func() {
		state := hearth.FunctionState{State: "Active", UpdateStatus: "Successful"}
		if err := f.worker.Prefetch(f.ctx, v); err != nil {
			state = hearth.FunctionState{State: "Failed", Reason: err.Error(), ReasonCode: "InternalError",
				UpdateStatus: "Failed", UpdateReason: err.Error()}
		}
		f.registry.SetState(v.Function, v.ID(), state)
	})
}

// close stops following; a change that is under way may still go on, but starts nothing.
func (f *follower) close() {
	f.unsubscribe()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.tasks.Wait()
}
