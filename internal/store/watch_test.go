package store

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// collect reads a watch in a goroutine of its own. The returned channel is closed
// when the watch has ended, which the test's end waits for.
func collect(t *testing.T, table *Table) <-chan Change {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // a test may take many steps
	changes := make(chan Change)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(changes)
		for c := range table.Watch(ctx) {
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return changes
}

// expect reads changes and compares them in words.
func expect(t *testing.T, changes <-chan Change, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case c := <-changes:
			if got := words(c); got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(testTime):
			t.Fatalf("waited in vain for %q", w)
		}
	}
}

func words(c Change) string {
	switch c.Kind {
	case Written:
		return c.Entry.Key + "=" + string(c.Entry.Value)
	case Deleted:
		return c.Entry.Key + " deleted"
	case Synced:
		return "synced"
	}
	return fmt.Sprintf("kind %d", c.Kind)
}

func put(t *testing.T, table *Table, key, value string) uint64 {
	t.Helper()
	rev, err := table.Put(testContext(t), key, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func del(t *testing.T, table *Table, key string) uint64 {
	t.Helper()
	rev, err := table.Delete(testContext(t), key, 0)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestWatchTellsStateThenChanges(t *testing.T) {
	s := openIn(t, t.TempDir())
	table := openTable(t, s)
	empty := collect(t, table)
	expect(t, empty, "synced")
	put(t, table, "a", "1")
	put(t, table, "b", "1")
	put(t, table, "a", "2")
	put(t, table, "c", "1")
	del(t, table, "b")
	expect(t, empty, "a=1", "b=1", "a=2", "c=1", "b deleted")
	late := collect(t, table)
	expect(t, late, "a=2", "c=1", "b deleted", "synced")
	put(t, table, "b", "again")
	expect(t, late, "b=again")
	expect(t, empty, "b=again")
}

// TestWatchMissesNoLastChange: revisions only grow, and a caller that reads slowly
// ends with what the table ends with.
func TestWatchMissesNoLastChange(t *testing.T) {
	table := openTable(t, openIn(t, t.TempDir()))
	changes := collect(t, table)
	expect(t, changes, "synced")
	const n = 2000 // more than any buffer on the way holds
	want := map[string]string{}
	for i := range n {
		key := fmt.Sprint("k", i%7)
		if _, there := want[key]; there && i%11 == 0 {
			del(t, table, key)
			delete(want, key)
			continue
		}
		want[key] = fmt.Sprint(i)
		put(t, table, key, want[key])
	}
	last := put(t, table, "end", "x")
	want["end"] = "x"
	got, revision := map[string]string{}, uint64(0)
	for revision < last {
		c := <-changes
		if c.Kind == 0 || c.Entry.Revision <= revision {
			t.Fatalf("%q at revision %d after %d", words(c), c.Entry.Revision, revision)
		}
		revision = c.Entry.Revision
		if delete(got, c.Entry.Key); c.Kind == Written {
			got[c.Entry.Key] = string(c.Entry.Value)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWatchEndsWithTheStore(t *testing.T) {
	s := openIn(t, t.TempDir())
	changes := collect(t, openTable(t, s))
	expect(t, changes, "synced")
	closeNow(t, s)
	select {
	case c, open := <-changes:
		if open {
			t.Errorf("got %q from a closed store", words(c))
		}
	case <-time.After(testTime):
		t.Error("the watch goes on")
	}
}

func TestWatchBreaksOff(t *testing.T) {
	table := openTable(t, openIn(t, t.TempDir()))
	for i := range 1000 {
		put(t, table, fmt.Sprint("k", i), "v")
	}
	n := 0
	for range table.Watch(testContext(t)) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d changes", n)
	}
}

// cluster is an external engine on a port of the loopback interface, which can be
// stopped and started again on the same port and directory.
type cluster struct {
	t    *testing.T
	opts *server.Options
	srv  *server.Server
}

func startCluster(t *testing.T) *cluster {
	opts := serverOptions(t.TempDir())
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", server.RANDOM_PORT
	c := &cluster{t: t, opts: opts}
	c.start()
	c.opts.Port = c.srv.Addr().(*net.TCPAddr).Port
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	srv, err := server.NewServer(c.opts)
	if err != nil {
		c.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(testTime) {
		c.t.Fatal("the engine does not start")
	}
	c.srv = srv
}

func (c *cluster) stop() {
	c.srv.Shutdown()
	c.srv.WaitForShutdown()
}

// TestWatchOverReconnection: the engine goes away, a key is deleted with all of its
// traces, the engine comes back; the watch tells what has changed and nothing twice.
func TestWatchOverReconnection(t *testing.T) {
	c := startCluster(t)
	s, err := Open(testContext(t), Config{URL: c.srv.ClientURL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, s) })
	table := openTable(t, s)
	put(t, table, "stays", "1")
	put(t, table, "goes", "1")
	put(t, table, "changes", "1")
	changes := collect(t, table)
	expect(t, changes, "stays=1", "goes=1", "changes=1", "synced")
	c.stop()
	behindTheBack(t, c)
	c.start()
	expect(t, changes, "changes=2", "new=1", "goes deleted", "synced")
	put(t, table, "stays", "2")
	expect(t, changes, "stays=2")
}

// behindTheBack changes the table while the cluster is away from its clients.
func behindTheBack(t *testing.T, c *cluster) {
	s := openIn(t, c.opts.StoreDir)
	table := openTable(t, s)
	put(t, table, "changes", "2")
	put(t, table, "new", "1")
	del(t, table, "goes")
	if err := table.kv.PurgeDeletes(testContext(t), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	entries, err := table.List(testContext(t))
	if err != nil || !slices.EqualFunc(entries, []string{"changes", "new", "stays"}, func(e Entry, k string) bool { return e.Key == k }) {
		t.Fatalf("%v, %v", entries, err)
	}
	closeNow(t, s)
}
