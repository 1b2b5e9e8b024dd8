package daemon

import (
	"context"
	"fmt"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
	"hearth/internal/registry"
	"hearth/internal/store"
	"hearth/internal/trigger"
	"hearth/internal/trigger/subject"
)

// messageMemoryShare is the part of the node's memory that invocations with messages may
// hold: a quarter. With asynchronous attempts, which hold half, a quarter is left for
// synchronous callers whatever is published.
const messageMemoryShare = 4

// openBus opens the place of people's own subjects: the external NATS, or an engine
// beside the store.
func (p *Platform) openBus(ctx context.Context) error {
	conf := store.BusConfig{URL: p.cfg.NATSURL, Logger: p.cfg.Log}
	if p.cfg.NATSURL == "" {
		conf.Dir, conf.Listen = p.cfg.path("bus"), p.cfg.NATSListen
		conf.Users = map[string]string{}
		for _, k := range p.cfg.AccessKeys {
			conf.Users[k.ID] = k.Secret
		}
	}
	b, err := store.OpenBus(ctx, conf)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --nats-listen", err)
	}
	p.bus = b
	p.store.SendBy(b)
	p.onStop("bus", b.Close)
	return nil
}

// openSubjects begins to read what triggers listen to.
func (p *Platform) openSubjects(ctx context.Context) error {
	table, err := p.store.Table(ctx, "subjects")
	if err != nil {
		return err
	}
	s := subject.New(subject.Config{Log: p.cfg.Log}, subject.Deps{
		Functions: p.registry, Bus: subject.Of(p.bus), DeadLetters: p.async, Table: table, Events: p.events,
		Invoker: messages{service: p.invoke, registry: p.registry, gate: newTurnstile(p.cfg.MemoryMB / messageMemoryShare)},
	})
	p.subjects, p.triggers.subjects = s, s
	unsubscribe := p.registry.Subscribe(func(c registry.Change) {
		if c.New != nil {
			s.Changed(c.New.Name)
		} else {
			s.Changed(c.Old.Name)
		}
	})
	p.onStop("subjects", func(ctx context.Context) error {
		unsubscribe()
		s.Close(ctx)
		return nil
	})
	return s.Start(ctx)
}

// messages lets triggers invoke as any other caller does, within their share.
type messages struct {
	service  *invoke.Service
	registry *registry.Registry
	gate     *turnstile
}

var _ subject.Invoker = messages{}

// Invoke implements subject.Invoker.
func (m messages) Invoke(ctx context.Context, function, id string, payload []byte) (*hearth.Result, error) {
	_, v, err := m.registry.Resolve(function, "")
	if err != nil {
		return nil, err
	}
	leave, err := m.gate.enter(ctx, function, max(v.Config.MemoryMB/v.Config.Slots(), 1))
	if err != nil {
		return nil, err
	}
	defer leave()
	return m.service.Invoke(ctx, &invoke.Request{ID: id, Function: function, Payload: payload})
}

// triggers tells of both kinds.
type triggers struct {
	schedules *trigger.Service
	subjects  *subject.Service
}

// Status implements api.Triggers.
func (t triggers) Status(ctx context.Context, function string) []hearth.TriggerStatus {
	return append(t.schedules.Status(function), t.subjects.Status(ctx, function)...)
}
