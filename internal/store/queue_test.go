package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func openQueue(t testing.TB, s *Store, kind QueueKind) *Queue {
	t.Helper()
	q, err := s.Queue(testContext(t), fmt.Sprint("q", kind), kind)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func publish(t testing.TB, q *Queue, key, data string) uint64 {
	t.Helper()
	seq, err := q.Publish(testContext(t), Message{Key: key, Meta: []byte("meta " + data), Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func openPuller(t testing.TB, q *Queue, cfg PullerConfig) *Puller {
	t.Helper()
	if cfg.Lease == 0 {
		cfg.Lease = testTime
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 100
	}
	p, err := q.Puller(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pull(t testing.TB, p *Puller, n int) []*Delivery {
	t.Helper()
	list, err := p.Pull(testContext(t), n)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// pullOne pulls until there is a message: a lease that ends makes no sound.
func pullOne(t testing.TB, p *Puller) (d *Delivery) {
	t.Helper()
	eventually(t, func() bool {
		list := pull(t, p, 1)
		if len(list) == 1 {
			d = list[0]
		}
		return d != nil
	})
	return d
}

func ack(t testing.TB, d *Delivery) {
	t.Helper()
	if err := d.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func counts(t testing.TB, q *Queue, key string) string {
	t.Helper()
	c, err := q.Counts(testContext(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(c)
}

func TestQueueLinesAreApart(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	for i := range 3 {
		publish(t, q, "a", fmt.Sprint("a", i))
	}
	publish(t, q, "b", "b0")
	a, b := openPuller(t, q, PullerConfig{Key: "a"}), openPuller(t, q, PullerConfig{Key: "b"})
	if got := pull(t, b, 10); len(got) != 1 || string(got[0].Data) != "b0" || string(got[0].Meta) != "meta b0" || got[0].Key != "b" {
		t.Fatalf("line b: %+v", got)
	} else {
		ack(t, got[0])
	}
	got := pull(t, a, 2)
	if len(got) != 2 || string(got[0].Data) != "a0" || string(got[1].Data) != "a1" {
		t.Fatalf("line a: %+v", got)
	}
	ack(t, got[1])
	if c := counts(t, q, ">"); c != "map[a:2]" {
		t.Errorf("counts: %s", c)
	}
	if s, err := q.Next(testContext(t), "a", 0); err != nil || string(s.Data) != "a0" || s.Time.IsZero() {
		t.Errorf("first of a: %+v, %v", s, err)
	}
	if _, err := q.Next(testContext(t), "b", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("first of b: %v", err)
	}
}

func TestLeaseEndsAndIsExtended(t *testing.T) {
	const lease = time.Second
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	publish(t, q, "a", "x")
	p := openPuller(t, q, PullerConfig{Key: "a", Lease: lease})
	held := pullOne(t, p)
	for tries := 1; ; tries++ {
		again, late := extended(t, p, held, 3*lease)
		if again == nil {
			break
		}
		if late < lease/2 || tries == 10 {
			t.Fatalf("delivered under a lease that was extended %v before", late)
		}
		held = again // this process stood still for too long
	}
	second := pullOne(t, p)
	if second.Deliveries != held.Deliveries+1 || second.Seq != held.Seq {
		t.Errorf("again: %+v", second)
	}
	ack(t, held) // who lost the lease may still say that it is done
	if c := counts(t, q, ">"); c != "map[]" {
		t.Errorf("counts: %s", c)
	}
}

// extended extends a lease again and again, for so long. It returns early when the message
// is delivered once more: that delivery, and for how long the lease was not extended.
func extended(t *testing.T, p *Puller, held *Delivery, long time.Duration) (again *Delivery, late time.Duration) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for last := begin; last.Sub(begin) < long; {
		<-tick.C
		now := time.Now()
		if err := held.Extend(); err != nil {
			t.Fatal(err)
		}
		got := pull(t, p, 1)
		if late = time.Since(last); len(got) > 0 {
			return got[0], late
		}
		last = now
	}
	return nil, 0
}

func TestReleaseAndMaxInFlight(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	for range 5 {
		publish(t, q, "a", "x")
	}
	p := openPuller(t, q, PullerConfig{Key: "a", MaxInFlight: 2})
	got := pull(t, p, 5)
	if len(got) != 2 {
		t.Fatalf("%d in flight, want 2", len(got))
	}
	if more := pull(t, p, 5); len(more) != 0 {
		t.Fatalf("%d more", len(more))
	}
	if err := got[0].Release(0); err != nil {
		t.Fatal(err)
	}
	if again := pullOne(t, p); again.Seq != got[0].Seq {
		t.Errorf("released %d, delivered %d", got[0].Seq, again.Seq)
	}
}

// A pull that finds all leases taken gives up after a while. A message that is released at
// that moment belongs to that pull or to the next, and to nobody who is gone.
func TestReleaseWhileAPullGivesUp(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	var lines sync.WaitGroup
	for i := range 100 {
		key := fmt.Sprint(i)
		publish(t, q, key, "x")
		p := openPuller(t, q, PullerConfig{Key: key, MaxInFlight: 1})
		publish(t, q, key, "y")
		held := pullOne(t, p)
		lines.Go(func() {
			for round := range 3 {
				// At that moment, or a little before or after it, over the lines.
				released := make(chan error, 1)
				time.AfterFunc(answerTime+time.Duration(i-50)*100*time.Microsecond, func() { released <- held.Release(0) })
				var list []*Delivery
				for end := time.Now().Add(testTime / 4); len(list) == 0 && time.Now().Before(end); {
					var err error
					if list, err = p.Pull(testContext(t), 1); err != nil {
						t.Error(err)
					}
				}
				if err := <-released; err != nil || len(list) == 0 {
					t.Errorf("line %d, round %d: nobody is given the message: %v", i, round, err)
					return
				}
				held = list[0]
			}
		})
	}
	lines.Wait()
}

func TestPullerIsMadeAnew(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	publish(t, q, "a", "x")
	p := openPuller(t, q, PullerConfig{Key: "a"})
	pullOne(t, p)
	if err := q.stream.DeleteConsumer(testContext(t), p.name); err != nil {
		t.Fatal(err)
	}
	ack(t, pullOne(t, p))
	for range 2 {
		if err := p.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestOnce(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), KeptQueue)
	for range 2 {
		if _, err := q.Publish(testContext(t), Message{Key: "a", Once: "id"}); err != nil {
			t.Fatal(err)
		}
	}
	if c := counts(t, q, ">"); c != "map[a:1]" {
		t.Errorf("counts: %s", c)
	}
}

func TestKeptQueue(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), KeptQueue)
	var seqs []uint64
	for i := range 4 {
		seqs = append(seqs, publish(t, q, "1.a", fmt.Sprint(i)))
	}
	other := publish(t, q, "2.a", "other")
	for range 2 {
		if err := q.Delete(testContext(t), seqs[0]); err != nil {
			t.Error(err)
		}
	}
	if _, err := q.Get(testContext(t), seqs[0]); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if s, err := q.Get(testContext(t), other); err != nil || s.Key != "2.a" || string(s.Data) != "other" {
		t.Errorf("get: %+v, %v", s, err)
	}
	if err := q.Purge(testContext(t), "1.a", seqs[3]); err != nil {
		t.Error(err)
	}
	if c := counts(t, q, "*.a"); c != "map[1.a:1 2.a:1]" {
		t.Errorf("counts: %s", c)
	}
	if err := q.Purge(testContext(t), ">", 0); err != nil {
		t.Error(err)
	}
	if c := counts(t, q, ">"); c != "map[]" {
		t.Errorf("counts after purge: %s", c)
	}
}

func TestLargeMessages(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	want := noise(1, 1<<20)
	if _, err := q.Publish(testContext(t), Message{Key: "a", Meta: bytes.Repeat([]byte("m"), 8<<10), Data: want}); err != nil {
		t.Fatal(err)
	}
	if d := pullOne(t, openPuller(t, q, PullerConfig{Key: "a"})); !bytes.Equal(d.Data, want) || len(d.Meta) != 8<<10 {
		t.Errorf("%d bytes of data, %d of meta", len(d.Data), len(d.Meta))
	}
	_, err := q.Publish(testContext(t), Message{Key: "a", Data: make([]byte, q.MaxMessage()+1)})
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("too large: %v", err)
	}
}

// TestPublishOnce: the second message of a name is not stored, and its sender is told.
func TestPublishOnce(t *testing.T) {
	q := openQueue(t, openIn(t, t.TempDir()), WorkQueue)
	for _, want := range []bool{false, true, true} {
		if _, duplicate, err := q.PublishOnce(testContext(t), Message{Key: "a", Once: "id"}); err != nil || duplicate != want {
			t.Errorf("duplicate %v, %v, want %v", duplicate, err, want)
		}
	}
	if counts, err := q.Counts(testContext(t), "a"); err != nil || counts["a"] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	second, other := publish(t, q, "a", "x"), publish(t, q, "b", "x")
	if last, err := q.Last(testContext(t), "a"); err != nil || last != second || other <= second {
		t.Errorf("last %d, %v, want %d", last, err, second)
	}
	if _, err := q.Last(testContext(t), "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("last of an empty line: %v", err)
	}
}

// TestSend: a subject that a stream listens to, and one that nobody does.
func TestSend(t *testing.T) {
	s := openIn(t, t.TempDir())
	sub, err := s.nc.SubscribeSync("orders.*")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := s.Send(testContext(t), "orders.new", []byte("x"), map[string]string{"ErrorMessage": "two\nlines"})
	if err != nil || stored {
		t.Fatalf("stored %v, %v", stored, err)
	}
	m, err := sub.NextMsgWithContext(testContext(t))
	if err != nil || string(m.Data) != "x" || m.Header.Get("ErrorMessage") != "two lines" {
		t.Errorf("%+v, %v", m, err)
	}
	if stored, err := s.Send(testContext(t), "nobody.listens", nil, nil); err != nil || stored {
		t.Errorf("stored %v, %v", stored, err)
	}
	if _, err := s.js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"kept.>"}}); err != nil {
		t.Fatal(err)
	}
	if stored, err := s.Send(testContext(t), "kept.x", []byte("x"), nil); err != nil || !stored {
		t.Errorf("stored %v, %v", stored, err)
	}
	if got, err := s.js.Stream(testContext(t), "S"); err != nil || got.CachedInfo().State.Msgs != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if stored, err := s.Send(testContext(t), "bad subject", nil, nil); err == nil || stored {
		t.Errorf("bad subject: stored %v, %v", stored, err)
	}
}

// TestQueueOnAFullDisk: many publishers at once on a disk that is almost full. Each
// message is either refused in words or there.
func TestQueueOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := openIn(t, filepath.Join(dir, "store"))
	q := openQueue(t, s, WorkQueue)
	var mu sync.Mutex
	stored, refused := 0, 0
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 3 {
				_, err := q.Publish(testContext(t), Message{Key: "a", Data: make([]byte, 1<<20)})
				mu.Lock()
				switch {
				case err == nil:
					stored++
				case errors.Is(err, ErrFull):
					refused++
				default:
					t.Errorf("publish: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if stored == 0 || refused == 0 {
		t.Fatalf("%d stored, %d refused", stored, refused)
	}
	if c := counts(t, q, ">"); c != fmt.Sprintf("map[a:%d]", stored) {
		t.Errorf("%s, but %d were acknowledged", c, stored)
	}
	p := openPuller(t, q, PullerConfig{Key: "a"}) // and work goes on
	for range stored {
		ack(t, pullOne(t, p))
	}
}

// TestQueueModel holds a queue to a model: lines, acknowledgements, purges.
func TestQueueModel(t *testing.T) {
	s := openIn(t, t.TempDir())
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		q, err := s.Queue(testContext(t), fmt.Sprint("model", round), WorkQueue)
		if err != nil {
			rt.Fatal(err)
		}
		type item struct {
			seq  uint64
			held *Delivery
		}
		lines := map[string][]item{}
		pullers := map[string]*Puller{}
		key := rapid.SampledFrom([]string{"a", "b", "60.a"})
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				lines[k] = append(lines[k], item{seq: publish(t, q, k, "x")})
			},
			"pull": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				if pullers[k] == nil {
					pullers[k] = openPuller(t, q, PullerConfig{Key: k})
				}
				want := -1
				for i, it := range lines[k] {
					if it.held == nil {
						want = i
						break
					}
				}
				if want < 0 {
					if got := pull(t, pullers[k], 1); len(got) > 0 {
						rt.Fatalf("pulled %d, want nothing", got[0].Seq)
					}
					return
				}
				got := pullOne(t, pullers[k])
				if got.Seq != lines[k][want].seq {
					rt.Fatalf("pulled %d, want %d", got.Seq, lines[k][want].seq)
				}
				lines[k][want].held = got
			},
			"ack": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				for i, it := range lines[k] {
					if it.held != nil {
						ack(t, it.held)
						lines[k] = append(lines[k][:i:i], lines[k][i+1:]...)
						return
					}
				}
			},
			"": func(rt *rapid.T) {
				want := map[string]uint64{}
				for k, l := range lines {
					if len(l) > 0 {
						want[k] = uint64(len(l))
					}
				}
				if got := counts(t, q, ">"); got != fmt.Sprint(want) {
					rt.Fatalf("counts %s, want %v", got, want)
				}
			},
		})
	})
}

// TestKillQueue kills a process that publishes and acknowledges, and looks whether
// all is there that was published and not acknowledged.
func TestKillQueue(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	published, taken := map[string]bool{}, map[string]bool{}
	for round := range rounds {
		for _, line := range runAndKillAs(t, "publish", dir, 20+40*round) {
			what, id, _ := strings.Cut(line, " ")
			if what == "taken" {
				taken[id] = true
			} else {
				published[id] = true
			}
		}
		func() {
			s := openIn(t, dir)
			defer closeNow(t, s)
			q := openQueue(t, s, WorkQueue)
			there := map[string]bool{}
			for seq := uint64(1); ; {
				m, err := q.Next(testContext(t), ">", seq)
				if errors.Is(err, ErrNotFound) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				there[string(m.Data)] = true
				seq = m.Seq + 1
			}
			for id := range published {
				if !taken[id] && !there[id] {
					t.Errorf("round %d: %s was acknowledged and is gone", round, id)
				}
			}
		}()
	}
	t.Logf("%d messages were acknowledged, %d of them taken, before %d deaths", len(published), len(taken), rounds)
}

// publishUntilKilled is the child: it says what it has published, and what it is about
// to take out of the queue.
func publishUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Config{Dir: dir})
	check(err)
	q, err := s.Queue(ctx, "q0", WorkQueue)
	check(err)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := 0; ; j++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), i, j)
				_, err := q.Publish(ctx, Message{Key: fmt.Sprint("k", i), Data: []byte(id)})
				check(err)
				fmt.Printf("published %s\n", id)
			}
		})
	}
	p, err := q.Puller(ctx, PullerConfig{Key: "k0", Lease: time.Minute, MaxInFlight: 10})
	check(err)
	for {
		list, err := p.Pull(ctx, 5)
		check(err)
		for _, d := range list {
			fmt.Printf("taken %s\n", d.Data)
			check(d.Ack(ctx))
		}
	}
}
