package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrTooLarge: a message is larger than the engine takes.
var ErrTooLarge = errors.New("too large for the store")

// queuePrefix is that of the subjects of all queues.
const queuePrefix = "hearth.queue."

// metaHeader holds Message.Meta.
const metaHeader = "Hearth-Meta"

// messageOverhead is what a message takes on disk besides its data and meta: subject,
// sequence, checksum, header line. It is an upper bound.
const messageOverhead = 512

// onceWindow is for how long the engine remembers Message.Once. It is kept in memory,
// so only messages that need it should have one.
const onceWindow = 2 * time.Minute

// Message is what a queue holds. Key names a line in the queue: one or two words of
// letters, digits, '-' and '_', with a dot between them.
type Message struct {
	Key string
	// Once, if set, names the message: a second one of that name within two minutes
	// is acknowledged and not stored.
	Once string
	Meta []byte // a few hundred bytes of text without line breaks
	Data []byte
}

// Stored is a message in a queue.
type Stored struct {
	Message        // without Once
	Seq     uint64 // grows with every message of the queue, whatever the key
	Time    time.Time
}

// Queue is a durable queue with many lines, each with a key. All of it is on disk:
// memory grows with the number of keys, not with the number of messages.
type Queue struct {
	store  *Store
	name   string
	stream jetstream.Stream
	// unsettled bytes have been sent and are not acknowledged yet: the disk must have
	// room for all of them at once.
	unsettled atomic.Int64
}

// QueueKind says when a message leaves a queue.
type QueueKind int

const (
	// WorkQueue messages leave when a Puller's Delivery has been acknowledged.
	WorkQueue QueueKind = iota
	// KeptQueue messages leave when they are deleted or purged. It has no Pullers.
	KeptQueue
)

// Queue opens the queue of this name and makes it if need be. Names are letters,
// digits, '-' and '_'. It needs no closing.
func (s *Store) Queue(ctx context.Context, name string, kind QueueKind) (*Queue, error) {
	if err := s.room(0); err != nil {
		return nil, err
	}
	retention := jetstream.WorkQueuePolicy
	if kind == KeptQueue {
		retention = jetstream.LimitsPolicy
	}
	q := &Queue{store: s, name: name}
	stream, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        "hearth_queue_" + name,
		Subjects:    []string{q.subject(">")},
		Retention:   retention,
		Storage:     jetstream.FileStorage,
		Discard:     jetstream.DiscardNew,
		Duplicates:  onceWindow,
		AllowDirect: true,
	})
	if err != nil {
		return nil, wrap(err, "store: open queue %s", name)
	}
	q.stream = stream
	return q, nil
}

func (q *Queue) subject(key string) string { return queuePrefix + q.name + "." + key }

func (q *Queue) key(subject string) string {
	return strings.TrimPrefix(subject, queuePrefix+q.name+".")
}

// MaxMessage is how many bytes of Meta and Data together the engine takes.
func (q *Queue) MaxMessage() int { return int(q.store.nc.MaxPayload()) - messageOverhead }

// Publish stores a message and returns its sequence number once it is synced to disk.
// Many callers at once share the engine's round trips. An error may leave the message
// stored, when the answer was lost; it never happens that a message is lost without
// an error. ErrFull: there is no room; ErrTooLarge: larger than MaxMessage.
func (q *Queue) Publish(ctx context.Context, m Message) (uint64, error) {
	ack, err := q.publish(ctx, m)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// PublishOnce is Publish, and tells whether a message of m.Once was there already: then
// this one was not stored, and the number is that of the other.
func (q *Queue) PublishOnce(ctx context.Context, m Message) (seq uint64, duplicate bool, err error) {
	ack, err := q.publish(ctx, m)
	if err != nil {
		return 0, false, err
	}
	return ack.Sequence, ack.Duplicate, nil
}

func (q *Queue) publish(ctx context.Context, m Message) (*jetstream.PubAck, error) {
	size := len(m.Data) + len(m.Meta)
	if most := q.MaxMessage(); size > most {
		return nil, fmt.Errorf("store: queue %s: %w: %d bytes, and it takes %d (max_payload of the engine)", q.name, ErrTooLarge, size, most)
	}
	claim := int64(size + messageOverhead)
	defer q.unsettled.Add(-claim)
	if err := q.store.room(int(q.unsettled.Add(claim))); err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: q.subject(m.Key), Data: m.Data, Header: nats.Header{}}
	if m.Meta != nil {
		msg.Header[metaHeader] = []string{string(m.Meta)}
	}
	if m.Once != "" {
		msg.Header[jetstream.MsgIDHeader] = []string{m.Once}
	}
	ack, err := q.store.js.PublishMsg(ctx, msg)
	return ack, wrap(err, "store: publish to queue %s", q.name)
}

// Next returns the first message of the line at or after seq, or ErrNotFound. Key may
// be a wildcard: "a.*", or ">" for all lines.
func (q *Queue) Next(ctx context.Context, key string, seq uint64) (Stored, error) {
	m, err := q.stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(q.subject(key)))
	if err != nil {
		return Stored{}, wrap(err, "store: read queue %s", q.name)
	}
	return q.stored(m), nil
}

// Last returns the sequence number of the newest message of the line, or ErrNotFound.
func (q *Queue) Last(ctx context.Context, key string) (uint64, error) {
	m, err := q.stream.GetLastMsgForSubject(ctx, q.subject(key))
	if err != nil {
		return 0, wrap(err, "store: read queue %s", q.name)
	}
	return m.Sequence, nil
}

// Get returns the message with this sequence number, or ErrNotFound.
func (q *Queue) Get(ctx context.Context, seq uint64) (Stored, error) {
	m, err := q.stream.GetMsg(ctx, seq)
	if err != nil {
		return Stored{}, wrap(err, "store: read queue %s", q.name)
	}
	return q.stored(m), nil
}

func (q *Queue) stored(m *jetstream.RawStreamMsg) Stored {
	return Stored{
		Message: Message{Key: q.key(m.Subject), Meta: []byte(m.Header.Get(metaHeader)), Data: m.Data},
		Seq:     m.Sequence, Time: m.Time,
	}
}

// Delete removes one message. It is no error if it is not there. It works on a full
// disk.
func (q *Queue) Delete(ctx context.Context, seq uint64) error {
	q.store.removals.RLock()
	defer q.store.removals.RUnlock()
	err := q.stream.DeleteMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, errGet := q.stream.GetMsg(ctx, seq); errors.Is(errGet, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	return wrap(err, "store: delete from queue %s", q.name)
}

// Purge removes the messages of a line before seq, all of them if that is 0. Key may
// be a wildcard. It works on a full disk.
func (q *Queue) Purge(ctx context.Context, key string, before uint64) error {
	q.store.removals.RLock()
	defer q.store.removals.RUnlock()
	options := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(q.subject(key))}
	if before > 0 {
		options = append(options, jetstream.WithPurgeSequence(before))
	}
	return wrap(q.stream.Purge(ctx, options...), "store: purge queue %s", q.name)
}

// Counts tells how many messages each line has; lines without any are not there. Key
// may be a wildcard.
func (q *Queue) Counts(ctx context.Context, key string) (map[string]uint64, error) {
	info, err := q.stream.Info(ctx, jetstream.WithSubjectFilter(q.subject(key)))
	if err != nil {
		return nil, wrap(err, "store: count queue %s", q.name)
	}
	counts := make(map[string]uint64, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		counts[q.key(subject)] = n
	}
	return counts, nil
}

// First is the sequence number of the oldest message of all lines; messages before it
// are gone. In an empty queue it is that of the next one.
func (q *Queue) First(ctx context.Context) (uint64, error) {
	info, err := q.stream.Info(ctx)
	if err != nil {
		return 0, wrap(err, "store: read queue %s", q.name)
	}
	return info.State.FirstSeq, nil
}

// Bytes is how much all messages of the queue take on disk.
func (q *Queue) Bytes(ctx context.Context) (uint64, error) {
	info, err := q.stream.Info(ctx)
	if err != nil {
		return 0, wrap(err, "store: count queue %s", q.name)
	}
	return info.State.Bytes, nil
}

// SendBy has Send publish where people's own subjects are.
func (s *Store) SendBy(b *Bus) { s.bus.Store(b) }

// Send publishes to a subject outside of Hearth's own. If a stream listens to it, Send
// returns when that stream has stored it. If none does, stored is false: Send returns
// when the engine has taken it, whoever subscribes then gets it, and that may be
// nobody. Headers may be nil.
func (s *Store) Send(ctx context.Context, subject string, data []byte, headers map[string]string) (stored bool, err error) {
	if err := s.room(len(data)); err != nil {
		return false, err
	}
	if b := s.bus.Load(); b != nil {
		return b.Send(ctx, subject, data, headers)
	}
	return send(ctx, s.nc, s.js, subject, data, headers)
}

func send(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, subject string, data []byte, headers map[string]string) (stored bool, err error) {
	if len(data) > int(nc.MaxPayload())-messageOverhead {
		return false, fmt.Errorf("store: send to %s: %w: %d bytes", subject, ErrTooLarge, len(data))
	}
	m := nats.NewMsg(subject)
	m.Data = data
	for k, v := range headers {
		m.Header.Set(k, oneLine(v))
	}
	_, err = js.StreamNameBySubject(ctx, subject)
	switch {
	case err == nil:
		_, err = js.PublishMsg(ctx, m)
		stored = err == nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		// A subscriber would take a request for an acknowledgement for one of its own.
		if err = nc.PublishMsg(m); err == nil {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			err = nc.FlushWithContext(ctx)
		}
	}
	return stored, wrap(err, "store: send to %s", subject)
}

// oneLine makes a header's value of any text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
