package subject

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

func startNATS(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(limit) {
		t.Fatal("NATS does not start")
	}
	return srv
}

// TestOutage: an external NATS that goes and comes back is read on, without a restart.
func TestOutage(t *testing.T) {
	dir := t.TempDir()
	srv := startNATS(t, dir, server.RANDOM_PORT)
	port := srv.Addr().(*net.TCPAddr).Port
	n := newNode(t)
	bus, err := store.OpenBus(t.Context(), store.BusConfig{URL: srv.ClientURL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.bus = bus
	t.Cleanup(func() {
		if err := bus.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := n.start()
	n.declare(s, hearth.TriggerActive, trigger("o", hearth.NATSTrigger{Subject: "o.*", PartitionToken: 2}))
	n.publish("o.a", "1")
	n.until("the first", func() bool { return len(n.called()) == 1 })
	n.settled(s)
	srv.Shutdown()
	srv.WaitForShutdown()
	startNATS(t, dir, port)
	n.until("it takes messages again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := bus.Send(ctx, "o.a", []byte("2"), nil)
		return err == nil
	})
	n.until("the second", func() bool { return len(n.called()) == 2 })
	s.Close(t.Context())
}
