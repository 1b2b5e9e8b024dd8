package subject

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// outsider is a client of the bus, as people are.
func outsider(t testing.TB, b *store.Bus) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("nats://" + b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func (n *node) stream(js jetstream.JetStream, name, subject string, kind jetstream.RetentionPolicy) {
	n.t.Helper()
	if _, err := js.CreateStream(n.t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Retention: kind}); err != nil {
		n.t.Fatal(err)
	}
}

// TestStreams: streams that are there are read from where the trigger says, a work queue
// is emptied; a stream that goes and comes back is read again; a plain subject that
// another stream keeps is refused by name, and does not harm the others.
func TestStreams(t *testing.T) {
	n := newNode(t)
	js := outsider(t, n.bus)
	n.stream(js, "KEPT", "kept.*", jetstream.LimitsPolicy)
	n.stream(js, "WORK", "work.*", jetstream.WorkQueuePolicy)
	n.publish("kept.a", "1")
	n.publish("kept.b", "2")
	n.publish("work.a", "3")
	s := n.start()
	all := []hearth.Trigger{
		trigger("all", hearth.NATSTrigger{Stream: "KEPT", From: hearth.FromAll}),
		trigger("new", hearth.NATSTrigger{Stream: "KEPT", Subject: "kept.b"}),
		trigger("work", hearth.NATSTrigger{Stream: "WORK"}),
		trigger("free", hearth.NATSTrigger{Subject: "free"}),
	}
	n.declare(s, hearth.TriggerActive, all...)
	n.publish("kept.b", "4")
	n.publish("free", "5")
	n.until("all messages", func() bool { return len(strings.Split(strings.Join(n.called(), ","), ",")) >= 6 })
	if got := strings.Join(n.called(), ";"); strings.Count(got, "4") != 2 || strings.Count(got, "2") != 1 || strings.Count(got, "3") != 1 {
		t.Errorf("calls %s", got)
	}
	if work, err := js.Stream(t.Context(), "WORK"); err != nil || work.CachedInfo().State.Msgs != 0 {
		t.Errorf("the work queue: %v", err)
	}
	n.declare(s, hearth.TriggerActive, all[0])
	if err := js.DeleteStream(t.Context(), "KEPT"); err != nil {
		t.Fatal(err)
	}
	n.until("it fails", func() bool { return s.Status(t.Context(), "f")[0].State == hearth.TriggerFailing })
	n.stream(js, "KEPT", "kept.*", jetstream.LimitsPolicy)
	n.publish("kept.c", "6")
	n.until("the new stream", func() bool { return strings.Contains(strings.Join(n.called(), ";"), "6") })
	n.declare(s, hearth.TriggerFailing, trigger("taken", hearth.NATSTrigger{Subject: "kept.*"}))
	if got := s.Status(t.Context(), "")[0].Error; !strings.Contains(got, "stream: KEPT") {
		t.Error(got)
	}
	n.declare(s, hearth.TriggerActive, all[3])
	n.publish("free", "7")
	n.until("the free one", func() bool { return strings.Contains(strings.Join(n.called(), ";"), "7") })
}

// TestOrder: with real messages, failures and many keys, at most one batch of a key runs
// at a time, and each key's messages succeed in their order.
func TestOrder(t *testing.T) {
	const keys, each = 20, 30
	n := newNode(t)
	var mu sync.Mutex
	busy, done, tries := map[string]bool{}, map[string]int{}, 0
	most, flight := 0, 0
	n.answer = func(records []record) (*hearth.Result, error) {
		key := records[0].Subject
		mu.Lock()
		defer mu.Unlock()
		if busy[key] {
			t.Errorf("two batches of %s", key)
		}
		busy[key] = true
		flight += len(records)
		most = max(most, flight)
		mu.Unlock()
		mu.Lock()
		busy[key] = false
		flight -= len(records)
		if tries++; tries == 40 {
			return nil, hearth.Errorf(hearth.ErrCapacity, "no room")
		}
		for _, r := range records {
			if want := fmt.Sprint(done[key]); string(r.Data) != want {
				t.Errorf("%s: %s, want %s", key, r.Data, want)
			}
			done[key]++
		}
		return &hearth.Result{}, nil
	}
	s := n.start()
	n.declare(s, hearth.TriggerActive, trigger("o", hearth.NATSTrigger{Subject: "o.*", BatchSize: 4, PartitionToken: 2}))
	for i := range each {
		for key := range keys {
			n.publish(fmt.Sprintf("o.k%d", key), fmt.Sprint(i))
		}
	}
	status := n.settled(s)
	if status.Succeeded != keys*each || most > 4+2 {
		t.Errorf("%+v, at most %d in flight", status, most)
	}
}
