package daemon

import (
	"context"

	"hearth/internal/async"
	"hearth/internal/hearth"
	"hearth/internal/registry"
	"hearth/internal/trigger"
)

// openTriggers begins to watch the clock and to read subjects. It is after the queue in starting, and so
// before it in stopping.
func (p *Platform) openTriggers(ctx context.Context) error {
	table, err := p.store.Table(ctx, "triggers")
	if err != nil {
		return err
	}
	t := trigger.New(trigger.Config{Region: p.cfg.Region, Account: p.cfg.Account, Log: p.cfg.Log}, trigger.Deps{
		Functions: p.registry, Table: table, Events: p.events,
		Submitter: runs{async: p.async, region: p.cfg.Region, account: p.cfg.Account},
	})
	p.triggers.schedules = t
	unsubscribe := p.registry.Subscribe(func(c registry.Change) {
		if c.New != nil {
			t.Changed(c.New.Name)
		} else {
			t.Changed(c.Old.Name)
		}
	})
	p.onStop("triggers", func(context.Context) error {
		unsubscribe()
		t.Close()
		return nil
	})
	if err := t.Start(ctx); err != nil {
		return err
	}
	return p.openSubjects(ctx)
}

// runs puts what is due into the queue of asynchronous invocations.
type runs struct {
	async           *async.Service
	region, account string
}

var _ trigger.Submitter = runs{}

// Submit implements trigger.Submitter.
func (r runs) Submit(ctx context.Context, e trigger.Event) error {
	return r.async.SubmitOnce(ctx, async.Event{
		ID: e.ID, Function: e.Function, Payload: e.Payload,
		InvokedARN: hearth.FunctionARN(r.region, r.account, e.Function, ""),
	})
}
