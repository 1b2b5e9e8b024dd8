package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"hearth/internal/hearth"
)

// clerk writes to a file outside which orders it begins and ends to process, and fails
// with the bad one.
const clerk = `const fs = require('fs');
const note = line => fs.appendFileSync(process.env.RECORDS + '/runs', line + '\n');
exports.handler = async event => {
  const key = event.Records[0].subject.split('.')[1];
  const list = event.Records.map(r => { if (r.encoding !== 'json' || r.eventSource !== 'hearth:nats') throw new Error('odd record'); return r.data.n; });
  note('begin ' + key + ' ' + list.join(','));
  await new Promise(done => setTimeout(done, 20));
  note('end ' + key + ' ' + list.join(','));
  return {batchItemFailures: event.Records.filter(r => r.data.bad).map(r => ({itemIdentifier: r.itemIdentifier}))};
};`

const (
	orderKeys    = 4
	ordersPerKey = 60
)

// deployClerk declares a trigger for orders.KEY, in order per key.
func deployClerk(t *testing.T, p *platform, records string) {
	t.Helper()
	source := t.TempDir()
	for name, text := range map[string]string{
		"index.js": clerk,
		"hearth.yml": "name: clerk\nruntime: nodejs\nhandler: index.handler\nexecutionModel: concurrent\nenv: {RECORDS: " + records + "}\n" +
			"triggers:\n  - name: orders\n    nats: {subject: orders.*, batchSize: 5, newBatchThreshold: 10, partitionBy: token 2, maxAttempts: 2}\n",
	} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, stderr, code := p.hearth("deploy", source); code != 0 {
		t.Fatalf("deploy: %d %s %s", code, out, stderr)
	}
	if out, _, _ := p.hearth("show", "clerk"); !strings.Contains(out, "in order by token 2") {
		t.Errorf("show: %s", out)
	}
	eventually(t, patience, "the trigger listens", func() bool { return p.trigger().State == hearth.TriggerActive })
}

// trigger is the state of the only trigger.
func (p *platform) trigger() hearth.TriggerStatus {
	p.t.Helper()
	out, stderr, code := p.hearth("triggers", "-o", "json")
	var list struct{ Triggers []hearth.TriggerStatus }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Triggers) != 1 {
		p.t.Fatalf("triggers: %d %s %s", code, out, stderr)
	}
	return list.Triggers[0]
}

// publishOrders publishes all orders, of all keys in turn. The engine may be away for a while.
func publishOrders(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := nc.JetStream(nats.MaxWait(2 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for n := range ordersPerKey {
		for key := range orderKeys {
			m := nats.NewMsg(fmt.Sprintf("orders.k%d", key))
			m.Data = fmt.Appendf(nil, `{"n":%d,"bad":%v}`, n, key == 0 && n == 7)
			m.Header.Set(nats.MsgIdHdr, fmt.Sprint(key, "/", n))
			eventually(t, patience, "an order is accepted", func() bool {
				_, err := js.PublishMsg(m)
				return err == nil
			})
		}
	}
}

// TestSubjects: whatever is published to a plain subject of an external NATS is processed
// at least once and in order per key, though the platform is killed in between; the
// message that fails goes to the dead letters, and nothing waits for it any more.
func TestSubjects(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not start")
	}
	dir, records := t.TempDir(), t.TempDir()
	args := []string{"--isolation", "process", "--nats", srv.ClientURL()}
	p := upIn(t, dir, args...)
	deployClerk(t, p, records)
	nc := connect(t, srv.ClientURL())
	publishOrders(t, nc)
	eventually(t, patience, "some orders", func() bool { return len(runs(t, records)) > 20 })
	p.kill()
	mark(t, records)
	p = upIn(t, dir, args...)
	checkOrders(t, p, records)
}

// TestSubjectsListen: the same with the NATS that is built in, which people reach by
// --nats-listen. It is killed too, and gives back at once what was under way.
func TestSubjectsListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir, records := t.TempDir(), t.TempDir()
	args := []string{"--isolation", "process", "--nats-listen", addr}
	p := upIn(t, dir, args...)
	deployClerk(t, p, records)
	nc := connect(t, "nats://"+addr)
	published := make(chan struct{})
	go func() {
		defer close(published)
		publishOrders(t, nc)
	}()
	for range 2 {
		atLeast := len(runs(t, records)) + 10
		atLeast = min(atLeast, 2*orderKeys*ordersPerKey/5-1) // of full batches there are no more
		eventually(t, patience, "some orders", func() bool { return len(runs(t, records)) > atLeast })
		p.kill()
		mark(t, records)
		p = upIn(t, dir, args...)
	}
	<-published
	checkOrders(t, p, records)
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// mark notes a death: what had begun ends no more.
func mark(t *testing.T, records string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(records, "runs"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("killed\n"); err != nil {
		t.Fatal(err)
	}
}

// checkOrders waits until all is done and holds the function's notes to the promises.
func checkOrders(t *testing.T, p *platform, records string) {
	t.Helper()
	begin := time.Now()
	eventually(t, patience, "nothing is left", func() bool {
		s := p.trigger()
		return s.State == hearth.TriggerActive && s.Pending == 0 && s.InFlight == 0 && s.Waiting == 0 && s.Oldest.IsZero()
	})
	t.Logf("done %v after the last start", time.Since(begin).Round(time.Millisecond))
	seen, busy := map[string]int{}, map[string]bool{}
	again := 0
	for _, line := range runs(t, records) {
		words := strings.Fields(line)
		if words[0] == "killed" {
			busy = map[string]bool{}
			continue
		}
		key := words[1]
		if begins := words[0] == "begin"; begins == busy[key] {
			t.Fatalf("two batches of %s at once: %s", key, line)
		}
		if busy[key] = words[0] == "begin"; busy[key] {
			continue
		}
		for _, text := range strings.Split(words[2], ",") {
			n, err := strconv.Atoi(text)
			switch {
			case err != nil || n > seen[key]:
				t.Fatalf("%s: %d is there and %d is not", key, n, seen[key])
			case n < seen[key]:
				again++
			default:
				seen[key]++
			}
		}
	}
	for key := range orderKeys {
		if got := seen[fmt.Sprint("k", key)]; got != ordersPerKey {
			t.Errorf("%d orders of key %d were processed", got, key)
		}
	}
	t.Logf("lost 0 of %d; %d were processed again", orderKeys*ordersPerKey, again)
	out, stderr, code := p.hearth("dlq", "list", "clerk", "-o", "json")
	if code != 0 || strings.Count(out, `"function": "clerk"`)+strings.Count(out, `"function":"clerk"`) != 1 || !strings.Contains(out, "BatchItemFailures") {
		t.Errorf("dead letters: %d %s %s", code, out, stderr)
	}
	if out, _, _ := p.hearth("status"); !strings.Contains(out, "clerk/orders") {
		t.Errorf("status: %s", out)
	}
}
