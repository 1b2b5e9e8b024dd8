package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

func openBus(t *testing.T, cfg BusConfig) *Bus {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	b, err := OpenBus(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return b
}

// source reads the plain subject orders.>.
func source(t *testing.T, b *Bus) *Source {
	t.Helper()
	s, err := b.Source(testContext(t), SourceConfig{Name: "c", Stream: SubjectsStream, Filter: "orders.>", Lease: time.Minute, MaxPending: 100})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pullFrom(t *testing.T, s *Source, n int) ([]*Taken, string) {
	t.Helper()
	list, err := s.Pull(testContext(t), n)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, m := range list {
		words = append(words, fmt.Sprintf("%d:%s=%s(%d)", m.Seq, m.Subject, m.Data, m.Deliveries))
	}
	return list, strings.Join(words, " ")
}

// TestSource: what is published to a plain subject is kept until it is acknowledged, also
// while nobody reads; after a death what was under lease comes again at once, in order,
// before what is new; and a message for nobody is not kept.
func TestSource(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, BusConfig{Dir: dir})
	if err := b.Keep(testContext(t), []string{"orders.*", "orders.>", "bills.new"}); err != nil {
		t.Fatal(err)
	}
	s := source(t, b)
	for i := range 5 {
		if stored, err := b.Send(testContext(t), fmt.Sprint("orders.", i), []byte("x"), nil); err != nil || !stored {
			t.Fatalf("stored %v, %v", stored, err)
		}
	}
	if _, err := b.Send(testContext(t), "bills.new", nil, nil); err != nil { // nobody reads those
		t.Fatal(err)
	}
	list, got := pullFrom(t, s, 3)
	if got != "1:orders.0=x(1) 2:orders.1=x(1) 3:orders.2=x(1)" {
		t.Errorf("pulled %s", got)
	}
	if err := Ack(testContext(t), list[1:2]); err != nil {
		t.Fatal(err)
	}
	p, err := s.Position(testContext(t), true)
	if err != nil || p.Delivered != 3 || p.Leased != 2 || p.Pending != 2 || !p.Oldest.Equal(list[0].Time) {
		t.Errorf("%+v, %v", p, err)
	}
	if err := b.Close(testContext(t)); err != nil { // nothing is given back, as if it had died
		t.Fatal(err)
	}
	b = openBus(t, BusConfig{Dir: dir})
	s = source(t, b)
	if list, got = pullFrom(t, s, 10); got != "1:orders.0=x(2) 3:orders.2=x(2) 4:orders.3=x(1) 5:orders.4=x(1)" {
		t.Errorf("after a death: %s", got)
	}
	if err := Ack(testContext(t), list[:3]); err != nil {
		t.Fatal(err)
	}
	checkMessages(t, b, 1)
	if err := b.DropSource(testContext(t), SubjectsStream, "c"); err != nil {
		t.Error(err)
	}
	checkMessages(t, b, 0)
	if err := errors.Join(b.DropSource(testContext(t), SubjectsStream, "c"), b.DropSource(testContext(t), "NO", "c")); err != nil {
		t.Errorf("dropping what is not there: %v", err)
	}
	if err := Ack(testContext(t), list[3:]); err != nil {
		t.Errorf("acknowledge to nobody: %v", err)
	}
	if err := errors.Join(b.Keep(testContext(t), nil), b.Keep(testContext(t), nil)); err != nil {
		t.Error(err)
	}
	if _, err := b.Source(testContext(t), s.cfg); !errors.Is(err, ErrNoStream) {
		t.Errorf("a source of no stream: %v", err)
	}
}

func checkMessages(t *testing.T, b *Bus, want uint64) {
	t.Helper()
	stream, err := b.js.Stream(testContext(t), SubjectsStream)
	if err != nil || stream.CachedInfo().State.Msgs != want {
		t.Errorf("%v, and not %d messages: %+v", err, want, stream.CachedInfo().State)
	}
}

// TestPullWaits: a pull ends with the next message, or with its context.
func TestPullWaits(t *testing.T) {
	b := openBus(t, BusConfig{Dir: t.TempDir()})
	if err := b.Keep(testContext(t), []string{"orders.>"}); err != nil {
		t.Fatal(err)
	}
	s := source(t, b)
	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Millisecond)
	defer cancel()
	if list, err := s.Pull(ctx, 1); err == nil || len(list) > 0 || ctx.Err() == nil {
		t.Errorf("%v, %v", list, err)
	}
	done := make(chan string, 1)
	go func() {
		list, err := s.Pull(testContext(t), 5)
		done <- fmt.Sprint(len(list), err)
	}()
	if _, err := b.Send(testContext(t), "orders.1", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "1 <nil>" {
		t.Error(got)
	}
}

// TestBusListens: others publish by TCP, with a password if there are any, and a stream
// of theirs keeps its subjects from us.
func TestBusListens(t *testing.T) {
	b := openBus(t, BusConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Users: map[string]string{"me": "secret"}})
	url := "nats://" + b.Addr().String()
	if _, err := nats.Connect(url, nats.MaxReconnects(0)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a password: %v", err)
	}
	nc, err := nats.Connect(url, nats.UserInfo("me", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "THEIRS", Subjects: []string{"theirs.>"}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Free(testContext(t), "theirs.*.x"); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "stream: THEIRS") {
		t.Errorf("%v", err)
	}
	if err := b.Free(testContext(t), "ours"); err != nil {
		t.Error(err)
	}
	if _, err := OpenBus(testContext(t), BusConfig{Dir: t.TempDir(), Listen: b.Addr().String(), Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("an address in use: %v", err)
	}
}

// TestDisjoint: the list matches what the subjects match, and nothing in it collides.
func TestDisjoint(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "c", "*"})
	subject := rapid.Custom(func(t *rapid.T) string {
		words := append([]string{"a"}, rapid.SliceOfN(word, 0, 3).Draw(t, "words")...)
		if rapid.IntRange(0, 4).Draw(t, "open") == 0 {
			words = append(words, ">")
		}
		return strings.Join(words, ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		subjects := rapid.SliceOfN(subject, 1, 8).Draw(t, "subjects")
		list := disjoint(subjects)
		for i := range list {
			for j := range i {
				if collide(list[i], list[j]) {
					t.Fatalf("%s and %s of %q collide", list[i], list[j], list)
				}
			}
		}
		literal := strings.NewReplacer("*", "x", ">", "x.y")
		for _, s := range subjects {
			if !slices.ContainsFunc(list, func(l string) bool { return collide(l, literal.Replace(s)) }) {
				t.Fatalf("nothing of %q matches %s", list, s)
			}
		}
	})
	if got := disjoint([]string{"a.b", "c.*", "a.b", "c.d"}); !slices.Equal(got, []string{"a.b", "c.*"}) {
		t.Errorf("%q", got)
	}
}

// TestDeletedUnderLease: a message that somebody deletes while it is under lease is not
// waited for after a death.
func TestDeletedUnderLease(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, BusConfig{Dir: dir})
	js, err := b.open(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := b.Send(testContext(t), "s", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	cfg := SourceConfig{Name: "c", Stream: "S", FromStart: true, Lease: time.Minute, MaxPending: 100}
	s, err := b.Source(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, got := pullFrom(t, s, 3); got != "1:s=(1) 2:s=(1) 3:s=(1)" {
		t.Errorf("pulled %s", got)
	}
	if err := stream.DeleteMsg(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	b = openBus(t, BusConfig{Dir: dir})
	if s, err = b.Source(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	list, got := pullFrom(t, s, 10)
	for !strings.Contains(got, "4:s=(1)") {
		more, words := pullFrom(t, s, 10)
		list, got = append(list, more...), got+" "+words
	}
	if got != "1:s=(2) 3:s=(2) 4:s=(1)" {
		t.Errorf("after a death: %s", got)
	}
	if p, err := s.Position(testContext(t), false); err != nil || p.Leased != len(list) {
		t.Errorf("%+v, %v: waits for more than %d", p, err, len(list))
	}
}

// TestSendBy: what Hearth sends to a subject reaches those who are on the bus.
func TestSendBy(t *testing.T) {
	s, b := openIn(t, t.TempDir()), openBus(t, BusConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	s.SendBy(b)
	nc, err := nats.Connect("nats://" + b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("done.*")
	if err == nil {
		err = nc.FlushTimeout(testTime)
	}
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := s.Send(testContext(t), "done.x", []byte("x"), nil); err != nil || stored {
		t.Errorf("stored %v, %v", stored, err)
	}
	if m, err := sub.NextMsgWithContext(testContext(t)); err != nil || string(m.Data) != "x" {
		t.Errorf("%+v, %v", m, err)
	}
}
