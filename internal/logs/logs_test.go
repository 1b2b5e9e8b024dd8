package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/hearth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const request = "8f5e8e0c-5ee4-4b8f-9a6b-0c2f6a9d1e11"

func texts(entries []hearth.LogEntry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Text
	}
	return out
}

func wantTexts(t *testing.T, entries []hearth.LogEntry, want ...string) {
	t.Helper()
	if got := texts(entries); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func query(t *testing.T, l *Logs, f hearth.LogFilter) []hearth.LogEntry {
	t.Helper()
	entries, err := l.Query(f)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// memory is a Logs without a sink.
func memory(bytes int) *Logs {
	return New(Config{PerFunctionBytes: bytes})
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestLinesOfAnInvocation(t *testing.T) {
	l := memory(0)
	s := l.Open("hello", "i0123456789ab")
	s.Start(epoch, request, "$LATEST")
	s.Line(epoch.Add(time.Millisecond), request, 1, []byte("one\ntwo\r\n"))
	s.Line(epoch.Add(time.Millisecond), request, 2, []byte("oops"))
	s.Finish(epoch.Add(2*time.Millisecond), request, hearth.Report{
		Duration: 3010 * time.Microsecond, Init: 110*time.Millisecond + 100*time.Microsecond, MemoryMB: 128, MaxMemoryMB: 36}, "")
	s.Platform(epoch.Add(time.Second), "reaped after 15 idle minutes")

	got := query(t, l, hearth.LogFilter{Function: "hello"})
	wantTexts(t, got,
		"START RequestId: "+request+" Version: $LATEST", "one", "two", "oops",
		"END RequestId: "+request,
		"REPORT RequestId: "+request+"\tDuration: 3.01 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t",
		"reaped after 15 idle minutes")
	kinds := []string{hearth.LogStart, hearth.LogStdout, hearth.LogStdout, hearth.LogStderr, hearth.LogEnd, hearth.LogReport, hearth.LogPlatform}
	for i, e := range got {
		if e.Kind != kinds[i] || e.Instance != "i0123456789ab" || e.Function != "hello" {
			t.Errorf("entry %d is %+v, want kind %s", i, e, kinds[i])
		}
		if e.Seq != got[0].Seq+uint64(i) {
			t.Errorf("entry %d has number %d after %d", i, e.Seq, got[0].Seq)
		}
		if wantRequest := request; i < 6 && e.Request != wantRequest || i == 6 && e.Request != "" {
			t.Errorf("entry %d is of request %q", i, e.Request)
		}
	}
	if got := got[2].Time; !got.Equal(epoch.Add(time.Millisecond)) {
		t.Errorf("time %v", got)
	}
}

func TestReportLine(t *testing.T) {
	warm := hearth.Report{Duration: 3010 * time.Microsecond, MemoryMB: 128, MaxMemoryMB: 36}
	for _, c := range []struct {
		report hearth.Report
		status string
		want   string
	}{
		{warm, "", "REPORT RequestId: r\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t"},
		{warm, "timeout", "REPORT RequestId: r\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: timeout\t"},
		{hearth.Report{Duration: 4 * time.Millisecond, MemoryMB: 1, MaxMemoryMB: 1}, "", "REPORT RequestId: r\tDuration: 4.00 ms\tBilled Duration: 4 ms\tMemory Size: 1 MB\tMax Memory Used: 1 MB\t"},
	} {
		if got := ReportLine("r", c.report, c.status); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestFilters(t *testing.T) {
	l := memory(0)
	a, b, other := l.Open("f", "a"), l.Open("f", "b"), l.Open("g", "c")
	for i := range 5 {
		at := epoch.Add(time.Duration(i) * time.Second)
		a.Line(at, "r1", 1, fmt.Appendf(nil, "a%d", i))
		b.Line(at, "r2", 1, fmt.Appendf(nil, "b%d", i))
		other.Line(at, "r3", 1, fmt.Appendf(nil, "c%d", i))
	}
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", Instance: "a"}), "a0", "a1", "a2", "a3", "a4")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", Request: "r2", Limit: 2}), "b3", "b4")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", Since: epoch.Add(3 * time.Second)}), "a3", "b3", "a4", "b4")
	wantTexts(t, query(t, l, hearth.LogFilter{Since: epoch.Add(4 * time.Second)}), "a4", "b4", "c4")
	wantTexts(t, query(t, l, hearth.LogFilter{Limit: 4}), "c3", "a4", "b4", "c4")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "nobody"}))
	all := query(t, l, hearth.LogFilter{Function: "f"})
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", AfterSeq: all[7].Seq}), "a4", "b4")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", AfterSeq: all[9].Seq}))
}

func TestOldestChunksAreDroppedAndAHintSaysSo(t *testing.T) {
	l := memory(16 << 10)
	s := l.Open("f", "a")
	for i := range 2000 {
		s.Line(epoch, "r", 1, fmt.Appendf(nil, "line %d", i))
	}
	got := query(t, l, hearth.LogFilter{Function: "f"})
	if got[0].Text != olderLine || got[0].Kind != hearth.LogPlatform {
		t.Errorf("first entry is %+v", got[0])
	}
	if last := got[len(got)-1].Text; last != "line 1999" {
		t.Errorf("last entry is %q", last)
	}
	if n := l.bytes.Load(); n > 16<<10 {
		t.Errorf("%d bytes in use", n)
	}
	// The text of what was kept has no hole.
	first := got[1].Seq
	for i, e := range got[1:] {
		if e.Seq != first+uint64(i) {
			t.Fatalf("entry %d has number %d, want %d", i, e.Seq, first+uint64(i))
		}
	}
	// Nobody is told who did not ask for so much.
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", Limit: 2}), "line 1998", "line 1999")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", AfterSeq: got[len(got)-2].Seq}), "line 1999")
}

func TestAllFunctionsShareABound(t *testing.T) {
	l := New(Config{TotalBytes: 256 << 10})
	line := bytes.Repeat([]byte("x"), 1000)
	for i := range 2000 {
		l.Open(fmt.Sprintf("f%d", i%4), "a").Line(epoch, "", 1, line)
	}
	if n := l.bytes.Load(); n > 256<<10+4*fullChunk {
		t.Errorf("%d bytes in use", n)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	l := memory(0)
	s := l.Open("f", "a")
	s.Line(epoch, "", 1, bytes.Repeat([]byte("x"), MaxLineBytes+1))
	s.Line(epoch, "", 1, bytes.Repeat([]byte("y"), MaxLineBytes))
	got := query(t, l, hearth.LogFilter{Function: "f"})
	if len(got) != 2 || got[0].Text != strings.Repeat("x", MaxLineBytes)+cutMarker || got[1].Text != strings.Repeat("y", MaxLineBytes) {
		t.Errorf("lines of %d and %d bytes", len(got[0].Text), len(got[1].Text))
	}
}

func TestTail(t *testing.T) {
	l := memory(64 << 10)
	s := l.Open("f", "a")
	s.Start(epoch, "old", "1")
	s.Line(epoch, "old", 1, []byte("not this"))
	s.Start(epoch, "r", "1")
	for i := range 100 {
		s.Line(epoch, "r", 1, fmt.Appendf(nil, "mine %d", i))
		s.Line(epoch, "other", 1, bytes.Repeat([]byte("z"), 100))
	}
	s.Finish(epoch, "r", hearth.Report{Duration: time.Millisecond}, "")
	whole := string(s.Tail("r", 1<<20))
	if !strings.HasPrefix(whole, "START RequestId: r Version: 1\nmine 0\n") || strings.Contains(whole, "zz") || strings.Contains(whole, "not this") {
		t.Errorf("tail is %q", whole)
	}
	if !strings.HasSuffix(whole, "mine 99\nEND RequestId: r\nREPORT RequestId: r\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 0 MB\tMax Memory Used: 0 MB\t\n") {
		t.Errorf("tail ends with %q", whole[len(whole)-150:])
	}
	if got := s.Tail("r", 64); string(got) != whole[len(whole)-64:] {
		t.Errorf("short tail is %q", got)
	}
}

func TestWriterCollectsLines(t *testing.T) {
	l := memory(0)
	w := l.Open("f", "a").Writer(2, func() time.Time { return epoch })
	for _, piece := range []string{"one\ntw", "o\n\nthr", "ee", "\nfour"} {
		if n, err := io.WriteString(w, piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.Close()
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "one", "two", "", "three", "four")
}

func TestDropForgets(t *testing.T) {
	l := memory(0)
	old := l.Open("f", "a")
	old.Line(epoch, "", 1, []byte("before"))
	if err := l.Drop("f"); err != nil {
		t.Fatal(err)
	}
	old.Line(epoch, "", 1, []byte("late"))
	if n := l.bytes.Load(); n != 0 {
		t.Errorf("%d bytes in use after Drop", n)
	}
	l.Open("f", "b").Line(epoch, "", 1, []byte("after"))
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "after")
}

func TestWritingAllocatesNothing(t *testing.T) {
	l := memory(256 << 10)
	s := l.Open("f", "i0123456789ab")
	text := []byte("hello from a handler")
	got := testing.AllocsPerRun(10_000, func() {
		s.Start(epoch, request, "$LATEST")
		s.Line(epoch, request, 1, text)
		s.Finish(epoch, request, hearth.Report{Duration: time.Millisecond, MemoryMB: 128, MaxMemoryMB: 36}, "")
	})
	if got != 0 { // chunks come too rarely to count
		t.Errorf("an invocation's log lines allocate %v times", got)
	}
}

func BenchmarkInvocation(b *testing.B) {
	l := memory(0)
	s := l.Open("f", "i0123456789ab")
	b.ReportAllocs()
	for b.Loop() {
		s.Start(epoch, request, "$LATEST")
		s.Finish(epoch, request, hearth.Report{Duration: time.Millisecond, MemoryMB: 128, MaxMemoryMB: 36}, "")
	}
}

// Writers, readers, followers and the flusher at once, for the race detector; nothing
// that is kept may be torn.
func TestEverybodyAtOnce(t *testing.T) {
	l := New(Config{PerFunctionBytes: 32 << 10, Sink: openDir(t, t.TempDir(), 1<<20), FlushEvery: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	var found atomic.Int32 // whole tails
	for range 2 {
		readers.Go(func() {
			for e := range l.Follow(ctx, hearth.LogFilter{}) {
				if e.Text == "" || e.Seq == 0 {
					t.Errorf("followed %+v", e)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			s := l.Open(fmt.Sprintf("f%d", w%2), fmt.Sprintf("i%d", w))
			for i := range 2000 {
				id := fmt.Sprintf("r%d-%d", w, i)
				s.Start(time.Now(), id, "1")
				s.Line(time.Now(), id, 1, []byte("text of "+id))
				s.Finish(time.Now(), id, hearth.Report{Duration: time.Millisecond}, "")
				if i%100 > 0 {
					continue
				}
				whole := []string{"START RequestId: " + id + " Version: 1\n", "text of " + id + "\n", "END RequestId: " + id + "\n", "REPORT RequestId: " + id + "\t"}
				tail := slices.Collect(strings.Lines(string(s.Tail(id, 4096))))
				// The other writer may have filled the memory meanwhile.
				if from := len(whole) - len(tail); from < 0 || !slices.EqualFunc(tail, whole[from:], strings.HasPrefix) {
					t.Errorf("tail of %s is %q", id, tail)
				} else if from == 0 {
					found.Add(1)
				}
				if got := query(t, l, hearth.LogFilter{Function: "f0", Limit: 50}); w%2 == 0 && len(got) == 0 {
					t.Error("nothing found")
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	l.Close()
	if found.Load() == 0 {
		t.Error("no tail was whole")
	}
	for _, f := range []string{"f0", "f1"} {
		last := uint64(0)
		for _, e := range query(t, l, hearth.LogFilter{Function: f}) {
			if e.Seq <= last {
				t.Fatalf("%d comes after %d", e.Seq, last)
			}
			last = e.Seq
		}
	}
}
