package events

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"hearth/internal/hearth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func emit(r *Ring, n int) {
	for range n {
		r.Emit(hearth.Event{Kind: "k"})
	}
}

func TestSinceFilters(t *testing.T) {
	r := New()
	r.Emit(hearth.Event{Kind: "instance.ready", Function: "f", Instance: "i1"})
	r.Emit(hearth.Event{Kind: "instances", Function: "f", Instance: "i2"})
	r.Emit(hearth.Event{Kind: "function.created", Function: "g"})
	for _, c := range []struct {
		filter Filter
		since  uint64
		want   []uint64
	}{
		{Filter{}, 0, []uint64{1, 2, 3}},
		{Filter{}, 2, []uint64{3}},
		{Filter{}, 3, nil},
		{Filter{}, 99, nil},
		{Filter{Function: "f"}, 0, []uint64{1, 2}},
		{Filter{Instance: "i2"}, 0, []uint64{2}},
		{Filter{Kind: "instance"}, 0, []uint64{1}},
		{Filter{Kind: "instance.ready"}, 0, []uint64{1}},
		{Filter{Kind: "instance.read"}, 0, nil},
		{Filter{Function: "g", Kind: "instance"}, 0, nil},
	} {
		var got []uint64
		for _, e := range r.Since(c.since, c.filter) {
			if got = append(got, e.Seq); e.Time.IsZero() {
				t.Errorf("event %d has no time", e.Seq)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("since %d %+v: %v, want %v", c.since, c.filter, got, c.want)
		}
	}
}

// TestSinceModel compares the ring with a slice that keeps everything.
func TestSinceModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := New()
		n := rapid.IntRange(0, 3*Size).Draw(rt, "emitted")
		emit(r, n)
		since := rapid.IntRange(0, 3*Size+10).Draw(rt, "since")
		got := r.Since(uint64(since), Filter{})
		oldest := max(1, n-Size+1)
		if since > 0 && since+1 < oldest {
			if len(got) == 0 || got[0].Kind != KindLost || got[0].Seq != uint64(oldest-1) || !strings.HasPrefix(got[0].Detail, fmt.Sprint(oldest-1-since, " ")) {
				rt.Fatalf("no honest marker: %+v", got[0])
			}
			got = got[1:]
		}
		first := max(since+1, oldest)
		if len(got) != max(0, n-first+1) {
			rt.Fatalf("%d events, want %d to %d", len(got), first, n)
		}
		for i, e := range got {
			if e.Seq != uint64(first+i) {
				rt.Fatalf("event %d at place %d, want %d", e.Seq, i, first+i)
			}
		}
	})
}

func TestFollowTellsOldAndNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		emit(r, 3)
		ctx, cancel := context.WithCancel(t.Context())
		var got []uint64
		go func() {
			for e := range r.Follow(ctx, 1, Filter{}) {
				got = append(got, e.Seq)
			}
			got = append(got, 0) // ended
		}()
		synctest.Wait()
		emit(r, 2)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !slices.Equal(got, []uint64{2, 3, 4, 5, 0}) {
			t.Errorf("got %v", got)
		}
	})
}

// TestSlowFollower: it loses the oldest, is told how many, and emitters never wait.
func TestSlowFollower(t *testing.T) {
	for _, before := range []int{0, 1} { // also for one that began before the first event
		synctest.Test(t, func(t *testing.T) {
			r := New()
			emit(r, before)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read := make(chan hearth.Event)
			go func() {
				for e := range r.Follow(ctx, 0, Filter{}) {
					select {
					case read <- e:
					case <-ctx.Done():
					}
				}
			}()
			synctest.Wait() // it follows
			r.Emit(hearth.Event{})
			first := <-read
			emit(r, 3*Size)
			next := first.Seq
			lost := 0
			for next < r.Last() {
				e := <-read
				if e.Kind == KindLost {
					var n int
					if _, err := fmt.Sscanf(e.Detail, "%d events", &n); err != nil || e.Seq != next+uint64(n) {
						t.Fatalf("marker %+v after %d", e, next)
					}
					lost += n
				} else if e.Seq != next+1 {
					t.Fatalf("%d after %d", e.Seq, next)
				}
				next = e.Seq
			}
			if lost < Size {
				t.Errorf("lost %d of %d", lost, 3*Size)
			}
		})
	}
}

func TestFollowBeyondTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		emit(r, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got []uint64
		go func() {
			for e := range r.Follow(ctx, 1000, Filter{}) { // 1000: from before a restart
				got = append(got, e.Seq)
			}
		}()
		synctest.Wait()
		emit(r, 1)
		synctest.Wait()
		if !slices.Equal(got, []uint64{3}) {
			t.Errorf("got %v, want [3]", got)
		}
	})
}

func TestManyEmittersAndFollowers(t *testing.T) {
	r := New()
	const emitters, each = 8, 400 // fewer than Size: nobody may lose any
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			next := uint64(1)
			for e := range r.Follow(ctx, 0, Filter{}) {
				if e.Seq != next || e.Kind == KindLost {
					t.Errorf("%+v, want %d", e, next)
					return
				}
				if next++; next > emitters*each {
					return
				}
			}
			t.Errorf("ended before %d", next)
		})
	}
	for range emitters {
		wg.Go(func() { emit(r, each) })
	}
	wg.Wait()
}

func BenchmarkEmit(b *testing.B) {
	r := New()
	e := hearth.Event{Kind: "instance.ready", Function: "f", Time: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		r.Emit(e)
	}
}
