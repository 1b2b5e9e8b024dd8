package logs

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/hearth"
)

// follow reads along in a goroutine of its own; it ends with ctx.
func follow(ctx context.Context, l *Logs, f hearth.LogFilter) (<-chan hearth.LogEntry, *sync.WaitGroup) {
	out := make(chan hearth.LogEntry, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(out)
		for e := range l.Follow(ctx, f) {
			out <- e
		}
	})
	return out, &wg
}

func TestFollowYieldsOldThenNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := memory(0)
		a, b := l.Open("f", "a"), l.Open("f", "b")
		a.Line(epoch, "", 1, []byte("old"))
		out, wg := follow(ctx, l, hearth.LogFilter{Function: "f", Instance: "a"})
		synctest.Wait()
		a.Line(epoch, "", 1, []byte("new"))
		b.Line(epoch, "", 1, []byte("not asked for"))
		l.Open("g", "a").Line(epoch, "", 1, []byte("not asked for"))
		a.Line(epoch, "", 1, []byte("newer"))
		for _, want := range []string{"old", "new", "newer"} {
			if e := <-out; e.Text != want {
				t.Errorf("got %q, want %q", e.Text, want)
			}
		}
		cancel()
		wg.Wait()
		for e := range out {
			t.Errorf("got %q after the end", e.Text)
		}
		if n := len(*l.followers.Load()); n != 0 {
			t.Errorf("%d followers are left", n)
		}
	})
}

func TestFollowAllFunctionsAlsoNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := memory(0)
		out, wg := follow(ctx, l, hearth.LogFilter{})
		synctest.Wait()
		for _, f := range []string{"f", "g", "f"} {
			l.Open(f, "a").Line(epoch, "", 1, []byte("from "+f))
			synctest.Wait()
			if e := <-out; e.Function != f || e.Text != "from "+f {
				t.Errorf("got %+v", e)
			}
		}
		// A function that is dropped and made anew is still followed.
		if err := l.Drop("f"); err != nil {
			t.Fatal(err)
		}
		l.Open("f", "b").Line(epoch, "", 1, []byte("again"))
		if e := <-out; e.Text != "again" {
			t.Errorf("got %+v", e)
		}
		cancel()
		wg.Wait()
	})
}

func TestFollowEndsWhenTheStorageCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memory(0)
		_, wg := follow(t.Context(), l, hearth.LogFilter{Function: "f"})
		synctest.Wait()
		l.Close()
		wg.Wait()
		l.Close()
	})
}

// A reader who does not read blocks nobody, and is told how much it has missed.
func TestSlowFollowerMissesLines(t *testing.T) {
	l := memory(8 << 10)
	s := l.Open("f", "a")
	const lines = 5000
	s.Line(epoch, "", 1, []byte("line 0"))
	var got []hearth.LogEntry
	for e := range l.Follow(t.Context(), hearth.LogFilter{Function: "f"}) {
		if got = append(got, e); len(got) == 1 {
			for i := range lines {
				s.Line(epoch.Add(time.Second), "", 1, fmt.Appendf(nil, "line %d", i+1))
			}
		}
		if e.Text == fmt.Sprintf("line %d", lines) {
			break
		}
	}
	marker := got[1]
	missed := got[2].Seq - got[0].Seq - 1
	if marker.Kind != hearth.LogPlatform || marker.Text != droppedLine(missed) || missed == 0 {
		t.Errorf("%d lines were missed and the marker says %q", missed, marker.Text)
	}
	if uint64(len(got)-2)+missed != lines {
		t.Errorf("%d lines read and %d missed, of %d", len(got)-2, missed, lines)
	}
}
