package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pullerLife is for how long the engine keeps a puller's state when nobody pulls.
// Another pull makes it anew; messages are not affected.
const pullerLife = 5 * time.Minute

// PullerConfig says how a line of a queue is read.
type PullerConfig struct {
	Key string // a whole key, no wildcard
	// Lease is how long a delivery belongs to who pulled it, unless it is extended.
	Lease time.Duration
	// MaxInFlight bounds deliveries under lease, over all pullers of the line.
	MaxInFlight int
}

// Puller reads one line of a WorkQueue. All pullers of a line, also those of other
// nodes, share its messages. Its methods may be called from many goroutines.
type Puller struct {
	queue *Queue
	cfg   PullerConfig
	name  string

	mu       sync.Mutex
	consumer jetstream.Consumer
}

// Puller opens the line of cfg.Key.
func (q *Queue) Puller(ctx context.Context, cfg PullerConfig) (*Puller, error) {
	p := &Puller{queue: q, cfg: cfg, name: "line_" + consumerName(cfg.Key)}
	_, err := p.open(ctx, nil)
	return p, wrap(err, "store: read queue %s", q.name)
}

// consumerName is injective on keys: '=' is in none of them.
func consumerName(key string) string {
	b := []byte(key)
	for i := range b {
		if b[i] == '.' {
			b[i] = '='
		}
	}
	return string(b)
}

// open returns the engine's consumer, making it unless another one than stale is known.
// Its state is kept in the engine's memory: what has been acknowledged is gone from the
// queue, so the state says only who holds a lease, and dies with the holders.
func (p *Puller) open(ctx context.Context, stale jetstream.Consumer) (jetstream.Consumer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.consumer != nil && p.consumer != stale {
		return p.consumer, nil
	}
	c, err := p.queue.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:           p.name,
		FilterSubject:     p.queue.subject(p.cfg.Key),
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           p.cfg.Lease,
		MaxAckPending:     p.cfg.MaxInFlight,
		MaxDeliver:        -1,
		InactiveThreshold: pullerLife,
		MemoryStorage:     true,
	})
	if err != nil {
		return nil, err
	}
	p.consumer = c
	return c, nil
}

// Pull returns up to n messages that wait in the line, each under a lease; none if
// none waits, or if MaxInFlight is reached. It does not wait for messages to come. When
// ctx ends it returns its error, or what it has got. The engine acknowledges a message a
// moment before a line knows of it: who has published one and finds nothing must look
// again.
func (p *Puller) Pull(ctx context.Context, n int) ([]*Delivery, error) {
	c, err := p.open(ctx, nil)
	for try := 0; err == nil; try++ {
		var list []*Delivery
		if list, err = p.pull(ctx, c, n); err == nil || len(list) > 0 {
			return list, nil
		}
		if try > 0 || !consumerIsGone(err) {
			break
		}
		c, err = p.open(ctx, c)
	}
	return nil, wrap(err, "store: pull from queue %s", p.queue.name)
}

func consumerIsGone(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrConsumerNotFound)
}

func (p *Puller) pull(ctx context.Context, c jetstream.Consumer, n int) ([]*Delivery, error) {
	messages, err := fetch(ctx, p.queue.store.js, c, n, 0)
	list := make([]*Delivery, 0, len(messages))
	for _, m := range messages {
		meta, err := m.Metadata()
		if err != nil {
			return list, err
		}
		list = append(list, &Delivery{
			Stored: Stored{
				Message: Message{Key: p.queue.key(m.Subject), Meta: []byte(m.Header.Get(metaHeader)), Data: m.Data},
				Seq:     meta.Sequence.Stream, Time: meta.Timestamp,
			},
			Deliveries: int(meta.NumDelivered), msg: m, store: p.queue.store,
		})
	}
	return list, err
}

// Close gives up the line's state in the engine. What is under lease is given to the
// next puller at once, so close a puller only when nothing of it is under way. It is
// no error if the state is gone already.
func (p *Puller) Close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.consumer = nil
	err := p.queue.stream.DeleteConsumer(ctx, p.name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return wrap(err, "store: close a line of queue %s", p.queue.name)
}

// Delivery is a message under lease.
type Delivery struct {
	Stored
	Deliveries int // how often it was delivered since the line's state was made; 1 at first
	msg        *nats.Msg
	store      *Store
}

// Ack removes the message from the queue, once the engine has answered. It works on a
// full disk, and also when the lease is lost, as long as the message is there.
func (d *Delivery) Ack(ctx context.Context) error {
	d.store.removals.RLock()
	defer d.store.removals.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return wrap(d.msg.AckSync(nats.Context(ctx)), "store: acknowledge")
}

// Extend makes the lease begin anew. It does not wait for an answer.
func (d *Delivery) Extend() error { return wrap(d.msg.InProgress(), "store: extend a lease") }

// Release gives the lease up: the message is delivered again after the delay, which
// the engine keeps in memory and forgets when it ends.
func (d *Delivery) Release(delay time.Duration) error {
	if delay <= 0 {
		return wrap(d.msg.Nak(), "store: release")
	}
	return wrap(d.msg.NakWithDelay(delay), "store: release")
}
