package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answerTime is how long the engine has for an answer. To a request that does not wait it
// gives none while all that a consumer may have under lease is under lease.
const answerTime = time.Second

// fetch returns up to n messages of a consumer. It waits so long for them to come, or not at
// all for more than there are. Without an answer of the engine it returns what it has got;
// if that is nothing because ctx has ended or the engine is away, it returns that as an error.
//
// The client has this too, but lets go of what the engine sends while it gives up: such a
// message would be under a lease that nobody holds.
func fetch(ctx context.Context, js jetstream.JetStream, c jetstream.Consumer, n int, wait time.Duration) ([]*nats.Msg, error) {
	request := fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, n)
	if wait > 0 {
		request = fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, n, wait)
	}
	nc := js.Conn()
	messages := make(chan *nats.Msg, n+1) // a status may end them
	sub, err := nc.ChanSubscribe(nc.NewInbox(), messages)
	if err != nil {
		return nil, err
	}
	of := c.CachedInfo()
	next := jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + of.Stream + "." + of.Name
	if err := nc.PublishRequest(next, sub.Subject, request); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	limit := time.NewTimer(wait + answerTime)
	defer limit.Stop()
	var list []*nats.Msg
	for len(list) < n {
		var m *nats.Msg
		select {
		case m = <-messages:
		case <-limit.C:
			return leave(ctx, nc, sub, messages, list)
		case <-ctx.Done():
			return leave(ctx, nc, sub, messages, list)
		}
		if more, err := accept(&list, m); !more {
			return list, errors.Join(err, sub.Unsubscribe())
		}
	}
	return list, sub.Unsubscribe()
}

// leave ends a subscription, and adds to the list what the engine has sent before it knew.
func leave(ctx context.Context, nc *nats.Conn, sub *nats.Subscription, messages <-chan *nats.Msg, list []*nats.Msg) ([]*nats.Msg, error) {
	if !nc.IsConnected() { // the engine has forgotten the request with the connection
		if err := sub.Unsubscribe(); err != nil || len(list) > 0 {
			return list, err
		}
		return nil, nats.ErrDisconnected
	}
	err := sub.Drain()
	if err == nil {
		err = nc.FlushTimeout(answerTime)
	}
	if errors.Is(err, nats.ErrTimeout) {
		go release(nc, sub, messages)
		return list, nil
	}
	// Drained or not: a connection that comes back must not bring it back.
	if gone := sub.Unsubscribe(); !errors.Is(gone, nats.ErrBadSubscription) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return list, err
	}
	for len(messages) > 0 {
		if more, err := accept(&list, <-messages); !more {
			return list, err
		}
	}
	if len(list) == 0 {
		return nil, ctx.Err()
	}
	return list, nil
}

// release gives back what the engine has sent before it knew, when it takes long to know.
func release(nc *nats.Conn, sub *nats.Subscription, messages <-chan *nats.Msg) {
	// Neither error is anybody's business any more: leases end.
	_ = nc.FlushTimeout(callTimeout)
	_ = sub.Unsubscribe()
	for len(messages) > 0 {
		if m := <-messages; m.Reply != "" {
			_ = m.Nak()
		}
	}
}

// accept adds a message to the list. If it is a status of the engine instead, to which nobody
// replies, no more will come, and it may be an error.
func accept(list *[]*nats.Msg, m *nats.Msg) (more bool, err error) {
	if m.Reply != "" {
		*list = append(*list, m)
		return true, nil
	}
	status, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "404" || status == "408": // there are none; the time is over
		return false, nil
	case status == "503":
		return false, nats.ErrNoResponders
	case description == "Consumer Deleted":
		return false, jetstream.ErrConsumerDeleted
	}
	return false, fmt.Errorf("nats: %s %s", status, description)
}
