package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A pull under way when the engine goes away ends with an error, and leaves nothing behind
// in the engine that comes back.
func TestPullOverReconnection(t *testing.T) {
	const lines = 8
	c := startCluster(t)
	s, err := Open(testContext(t), Config{URL: c.srv.ClientURL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, s) })
	q := openQueue(t, s, WorkQueue)
	var pullers []*Puller
	for i := range lines {
		p := openPuller(t, q, PullerConfig{Key: fmt.Sprint(i), MaxInFlight: 1})
		for range 2 {
			publish(t, q, fmt.Sprint(i), "x")
		}
		pullOne(t, p)
		pullers = append(pullers, p)
	}
	usual := subscriptions(t, c.srv)
	var all sync.WaitGroup
	for _, p := range pullers {
		all.Go(func() {
			for err := error(nil); err == nil; { // the engine answers none of them
				var list []*Delivery
				if list, err = p.Pull(testContext(t), 1); err == nil && len(list) > 0 {
					t.Error("more is under lease than MaxInFlight")
				}
			}
		})
	}
	eventually(t, func() bool { return subscriptions(t, c.srv) > usual })
	c.stop()
	all.Wait()
	for _, p := range pullers {
		all.Go(func() {
			if _, err := p.Pull(testContext(t), 1); !errors.Is(err, nats.ErrDisconnected) {
				t.Errorf("without an engine: %v", err)
			}
		})
	}
	all.Wait()
	c.start()
	eventually(t, s.nc.IsConnected)
	for _, p := range pullers { // leases end with the engine that kept them
		ack(t, pullOne(t, p))
	}
	eventually(t, func() bool { return subscriptions(t, c.srv) <= usual && s.nc.NumSubscriptions() <= usual })
}

func TestPullWithoutTime(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	publish(t, q, "a", "x")
	p := openPuller(t, q, PullerConfig{Key: "a"})
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	for range 20 { // it may have the message nevertheless
		list, err := p.Pull(ctx, 1)
		if len(list) == 0 && !errors.Is(err, context.Canceled) || len(list) > 0 && err != nil {
			t.Fatalf("%d messages, %v", len(list), err)
		}
		for _, d := range list {
			if err := d.Release(0); err != nil {
				t.Fatal(err)
			}
		}
	}
	ack(t, pullOne(t, p))
}

// subscriptions counts those that an engine has for its clients.
func subscriptions(t *testing.T, srv *server.Server) (n int) {
	t.Helper()
	list, err := srv.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Conns {
		n += int(c.NumSubs)
	}
	return n
}

func eventually(t testing.TB, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTime); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
	}
}
