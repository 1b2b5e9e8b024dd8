package subject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
	"hearth/internal/trigger/batch"
)

// Pauses between tries to open a source.
const (
	firstOpenPause = time.Second
	mostOpenPause  = 30 * time.Second
)

// lookahead is how many messages beyond those in flight a reader may hold: partitions go
// on while another waits. maxHeldBytes bounds them too, and maxEventBytes an event; it
// leaves room below hearth.MaxPayloadBytes.
const (
	lookahead     = 1000
	maxHeldBytes  = 16 << 20
	maxEventBytes = 5 << 20
)

// reader reads for one trigger.
type reader struct {
	s        *Service
	key      string
	function string
	trigger  hearth.Trigger
	nats     hearth.NATSTrigger // complete
	consumer consumer

	stop context.CancelFunc
	life context.Context
	done chan struct{}

	mu     sync.Mutex
	source Source // nil while there is none
	status hearth.TriggerStatus
}

func (s *Service) newReader(f *hearth.Function, t *hearth.Trigger) *reader {
	r := &reader{s: s, key: f.Name + "/" + t.Name, function: f.Name, trigger: *t, nats: t.NATS.Complete(), done: make(chan struct{})}
	r.consumer = consumer{
		// No name has a '=' in it, so this one is of one trigger only.
		Stream: r.nats.Stream, Name: "hearth_" + f.Name + "=" + t.Name, Subject: r.nats.Subject,
		From: r.nats.From, Created: f.Created.UnixMilli(),
	}
	if r.consumer.Stream == "" {
		r.consumer.Stream = store.SubjectsStream
	}
	r.status = hearth.TriggerStatus{Function: f.Name, Trigger: t.Name, Kind: "nats", Source: r.nats.Words(), State: hearth.TriggerStarting}
	r.life, r.stop = context.WithCancel(s.life)
	return r
}

// same says whether two readers do the same.
func (r *reader) same(other *reader) bool {
	return r.consumer == other.consumer && r.trigger.Disabled == other.trigger.Disabled && r.nats.Equal(&other.nats)
}

// run reads until it is stopped, and gives back what it holds.
func (r *reader) run() {
	for pause := firstOpenPause; r.life.Err() == nil; pause = min(2*pause, mostOpenPause) {
		source, err := r.open(r.life)
		if err == nil {
			r.opened(source)
			if r.trigger.Disabled {
				<-r.life.Done()
				return
			}
			began := time.Now()
			if err = r.read(source); time.Since(began) > mostOpenPause {
				pause = firstOpenPause
			}
		}
		if r.life.Err() != nil {
			return
		}
		r.failing(err)
		select {
		case <-time.After(pause):
		case <-r.life.Done():
		}
	}
}

func (r *reader) opened(source Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source, r.status.Error, r.status.State = source, "", hearth.TriggerActive
	if r.trigger.Disabled {
		r.status.State = hearth.TriggerDisabled
	}
}

// failing says why nothing is read.
func (r *reader) failing(err error) {
	r.s.cfg.Log.Warn("trigger: a subject cannot be read; it is tried again", "trigger", r.key, "error", err)
	words := err.Error()
	if errors.Is(err, store.ErrNoStream) {
		words = fmt.Sprintf("there is no stream %s; make it, then the trigger begins by itself", r.consumer.Stream)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.State, r.status.Error = hearth.TriggerFailing, words
	r.status.InFlight, r.status.Waiting = 0, 0
}

// open makes sure of the consumer. It is in the table first, so that it is not forgotten
// however this ends.
func (r *reader) open(ctx context.Context) (Source, error) {
	s := r.s
	s.mu.Lock()
	old, known := s.records[r.key]
	s.mu.Unlock()
	if known && !old.same(r.consumer) {
		if err := s.release(r.key); err != nil {
			return nil, err
		}
		known = false
	}
	plain := r.consumer.Stream == store.SubjectsStream
	if plain {
		if err := s.deps.Bus.Free(ctx, r.consumer.Subject); err != nil {
			return nil, err
		}
	}
	if !known || old != r.consumer {
		text, err := json.Marshal(r.consumer)
		if err == nil {
			_, err = s.deps.Table.Put(ctx, r.key, text)
		}
		if err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.records[r.key] = r.consumer
	if plain {
		s.plain[r.key] = r.consumer.Subject
	}
	s.mu.Unlock()
	if plain {
		if err := s.keep(ctx); err != nil {
			return nil, err
		}
	}
	return s.deps.Bus.Source(ctx, store.SourceConfig{
		Name: r.consumer.Name, Stream: r.consumer.Stream, Filter: r.consumer.Subject,
		FromStart: r.nats.From == hearth.FromAll, Lease: s.cfg.Lease, MaxPending: r.window(),
	})
}

func (r *reader) window() int { return r.nats.BatchSize + *r.nats.NewBatchThreshold + lookahead }

func (r *reader) batcher() *batch.Batcher {
	return batch.New(batch.Config{
		Size: r.nats.BatchSize, Threshold: *r.nats.NewBatchThreshold, Partitioned: r.nats.PartitionToken > 0,
		MaxAttempts: r.nats.MaxAttempts, Window: r.window(), BatchBytes: maxEventBytes, WindowBytes: maxHeldBytes,
	})
}
