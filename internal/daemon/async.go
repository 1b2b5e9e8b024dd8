package daemon

import (
	"context"

	"hearth/internal/async"
	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

// asyncMemoryShare is the part of the node's memory that asynchronous attempts under
// way may hold: one half. Synchronous callers find the other half whatever is queued.
const asyncMemoryShare = 2

// openAsync begins to execute what was queued. It is after the worker in starting, and
// so before it in stopping: attempts under way finish, the others stay queued.
func (p *Platform) openAsync(ctx context.Context) error {
	a, err := async.New(ctx, p.store, async.Config{
		Region: p.cfg.Region, Account: p.cfg.Account, MemoryMB: p.cfg.MemoryMB / asyncMemoryShare,
		StatusFile: p.cfg.path("events"), Log: p.cfg.Log,
	}, async.Deps{Functions: p.registry, Invoker: attempts{p.invoke}, Events: p.events})
	if err != nil {
		return err
	}
	p.async = a
	p.onStop("asynchronous invocation", a.Close)
	a.Start()
	return nil
}

// awaitAsync has Stop wait, once the worker has ended them, for attempts that were
// given up.
func (p *Platform) awaitAsync(context.Context) error {
	p.onStop("asynchronous attempts", func(context.Context) error {
		if p.async != nil {
			p.async.Wait()
		}
		if p.subjects != nil {
			p.subjects.Wait()
		}
		return nil
	})
	return nil
}

// attempts lets the asynchronous side make attempts as any other caller does.
type attempts struct{ service *invoke.Service }

var _ async.Invoker = attempts{}

// Invoke implements async.Invoker.
func (a attempts) Invoke(ctx context.Context, e *async.Event, started func(instance string)) (*hearth.Result, error) {
	return a.service.Invoke(ctx, &invoke.Request{
		ID: e.ID, Function: e.Function, Qualifier: e.Qualifier, InvokedARN: e.InvokedARN,
		Payload: e.Payload, ClientContext: e.ClientContext, TraceID: e.TraceID, Started: started,
	})
}
