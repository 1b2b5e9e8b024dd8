package store

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoStream: there is no such stream.
var ErrNoStream = errors.New("there is no such stream")

// SourceConfig says what a Source reads.
type SourceConfig struct {
	Name   string // of its durable consumer
	Stream string // SubjectsStream for plain subjects
	Filter string // a subject with or without wildcards; "" for all of the stream
	// FromStart begins with the oldest message. A stream that deletes what was
	// acknowledged is always read from there.
	FromStart bool
	// Lease is how long a message belongs to who pulled it, unless it is extended.
	Lease time.Duration
	// MaxPending bounds messages under lease.
	MaxPending int
}

// Source reads a stream by a durable consumer, which remembers what was acknowledged
// whatever dies. Its methods may be called from many goroutines.
type Source struct {
	bus      *Bus
	js       jetstream.JetStream
	cfg      SourceConfig
	stream   jetstream.Stream
	consumer jetstream.Consumer
}

// Source opens a consumer and makes it if need be. ErrNoStream: the stream is not there.
func (b *Bus) Source(ctx context.Context, cfg SourceConfig) (*Source, error) {
	js, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoStream
	}
	if err != nil {
		return nil, wrap(err, "store: open stream %s", cfg.Stream)
	}
	if stream.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy {
		cfg.FromStart = true // the engine takes nothing else
	}
	s := &Source{bus: b, js: js, cfg: cfg, stream: stream}
	if err := s.configure(ctx, cfg.Lease); err != nil {
		return nil, wrap(err, "store: read stream %s", cfg.Stream)
	}
	if b.own() && s.consumer.CachedInfo().NumAckPending > 0 {
		err = s.reclaim(ctx)
	}
	return s, wrap(err, "store: read stream %s", cfg.Stream)
}

func (s *Source) configure(ctx context.Context, lease time.Duration) error {
	policy := jetstream.DeliverNewPolicy
	if s.cfg.FromStart {
		policy = jetstream.DeliverAllPolicy
	}
	s.bus.changes.Lock()
	defer s.bus.changes.Unlock()
	c, err := s.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       s.cfg.Name,
		Description:   "a trigger of Hearth",
		FilterSubject: s.cfg.Filter,
		DeliverPolicy: policy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       lease,
		MaxAckPending: s.cfg.MaxPending,
		MaxDeliver:    -1,
	})
	if err == nil {
		s.consumer = c
	}
	return err
}

// Leases that nobody can hold end at once: the engine looks for them a tenth of a second
// after their length has changed.
const (
	noLease     = time.Millisecond
	reclaimTime = 250 * time.Millisecond
)

// reclaim ends the leases of a process that has died. The engine is ours alone, so
// nobody else can have any.
func (s *Source) reclaim(ctx context.Context) error {
	if err := s.configure(ctx, noLease); err != nil {
		return err
	}
	select {
	case <-time.After(reclaimTime):
	case <-ctx.Done():
	}
	return s.configure(context.WithoutCancel(ctx), s.cfg.Lease)
}

// DropSource gives up a consumer: what it has not acknowledged is as if it had never
// been for it. It is no error if it, or the stream, is not there.
func (b *Bus) DropSource(ctx context.Context, stream, name string) error {
	js, err := b.open(ctx)
	if err != nil {
		return err
	}
	b.changes.Lock()
	defer b.changes.Unlock()
	err = js.DeleteConsumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return wrap(err, "store: give up a consumer of stream %s", stream)
}

// pullTime is for how long one request waits in the engine. A request does not outlive
// its engine, so this is also how long one that has come back is not asked.
const pullTime = 10 * time.Second

// Pull waits for a message and returns it with those that are there too, at most n, each
// under a lease. When ctx ends it returns its error, or what it has got.
func (s *Source) Pull(ctx context.Context, n int) ([]*Taken, error) {
	for {
		list, err := s.fetch(ctx, 1, pullTime)
		switch {
		case len(list) > 0 && n > 1:
			more, _ := s.fetch(ctx, n-1, 0) // an error is left for the next pull
			return append(list, more...), nil
		case len(list) > 0:
			return list, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, wrap(err, "store: pull from stream %s", s.cfg.Stream)
		}
	}
}

func (s *Source) fetch(ctx context.Context, n int, wait time.Duration) ([]*Taken, error) {
	messages, err := fetch(ctx, s.js, s.consumer, n, wait)
	list := make([]*Taken, 0, len(messages))
	for _, m := range messages {
		meta, err := m.Metadata()
		if err != nil {
			return list, err
		}
		list = append(list, &Taken{
			Subject: m.Subject, Headers: m.Header, Data: m.Data,
			Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Deliveries: int(meta.NumDelivered), msg: m,
		})
	}
	return list, err
}

// Position is how far a source has come.
type Position struct {
	Delivered uint64 // sequence number of the last message that was ever delivered
	Leased    int    // messages under lease
	Pending   uint64 // messages that were never delivered
	// Oldest is when the first message came that is not acknowledged; zero without any.
	Oldest time.Time
}

// Position asks the engine. It does not look for Oldest unless it is asked to.
func (s *Source) Position(ctx context.Context, oldest bool) (Position, error) {
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return Position{}, wrap(err, "store: ask for a consumer of stream %s", s.cfg.Stream)
	}
	p := Position{Delivered: info.Delivered.Stream, Leased: info.NumAckPending, Pending: info.NumPending}
	if !oldest || p.Leased == 0 && p.Pending == 0 {
		return p, nil
	}
	filter := s.cfg.Filter
	if filter == "" {
		filter = ">"
	}
	m, err := s.stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(filter))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return p, nil
	}
	if err == nil {
		p.Oldest = m.Time.UTC()
	}
	return p, wrap(err, "store: read stream %s", s.cfg.Stream)
}

// Taken is a message of a stream under lease.
type Taken struct {
	Subject    string
	Headers    map[string][]string
	Data       []byte
	Seq        uint64
	Time       time.Time // when the stream got it
	Deliveries int       // 1 at first
	msg        *nats.Msg
}

// Ack says that messages are done with, and returns once the engine knows. Messages
// whose lease is lost, or whose consumer is gone, are no error.
func Ack(ctx context.Context, list []*Taken) error {
	if len(list) == 0 {
		return nil
	}
	for _, t := range list[:len(list)-1] {
		if err := t.msg.Ack(); err != nil {
			return wrap(err, "store: acknowledge")
		}
	}
	// The engine takes them in their order.
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := list[len(list)-1].msg.AckSync(nats.Context(ctx))
	if errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	return wrap(err, "store: acknowledge")
}

// Extend makes the lease begin anew. It does not wait for an answer.
func (t *Taken) Extend() error { return wrap(t.msg.InProgress(), "store: extend a lease") }

// Release gives the lease up: the message may be delivered again at once.
func (t *Taken) Release() error { return wrap(t.msg.Nak(), "store: release") }
