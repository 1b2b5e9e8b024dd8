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

// fetch returns up to n messages of a consumer. It waits so long for the first one, or not
// at all for more to come than there are.
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
			return leave(nc, sub, messages, list)
		case <-ctx.Done():
			return leave(nc, sub, messages, list)
		}
		if more, err := accept(&list, m); !more {
			return list, errors.Join(err, sub.Unsubscribe())
		}
	}
	return list, sub.Unsubscribe()
}

// leave ends a subscription, and adds to the list what the engine has sent before it knew.
func leave(nc *nats.Conn, sub *nats.Subscription, messages <-chan *nats.Msg, list []*nats.Msg) ([]*nats.Msg, error) {
	if err := sub.Drain(); err != nil {
		return list, err
	}
	if err := nc.FlushTimeout(answerTime); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return list, err
	}
	for {
		select {
		case m := <-messages:
			if more, err := accept(&list, m); !more {
				return list, err
			}
		default:
			return list, nil
		}
	}
}

// accept adds a message to the list. If it is a status instead, no more will come, and it
// may be an error.
func accept(list *[]*nats.Msg, m *nats.Msg) (more bool, err error) {
	status, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "" || len(m.Data) > 0:
		*list = append(*list, m)
		return true, nil
	case status == "404" || status == "408": // there are none; the time is over
		return false, nil
	case status == "503":
		return false, nats.ErrNoResponders
	case description == "Consumer Deleted":
		return false, jetstream.ErrConsumerDeleted
	}
	return false, fmt.Errorf("nats: %s %s", status, description)
}
