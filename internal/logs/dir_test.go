package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/hearth"
)

func openDir(t *testing.T, path string, bytes int64) *Dir {
	t.Helper()
	d, err := OpenDir(path, bytes)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// load returns what a sink has of a function, oldest first.
func load(t *testing.T, s Sink, function string) (batches []string, dropped bool) {
	t.Helper()
	for b, err := range s.Load(function) {
		if errors.Is(err, ErrDropped) {
			dropped = true
		} else if err != nil {
			t.Fatal(err)
		} else {
			batches = append(batches, string(b))
		}
	}
	slices.Reverse(batches)
	return batches, dropped
}

func appendBatch(t *testing.T, s Sink, function, batch string) {
	t.Helper()
	if err := s.Append(t.Context(), function, []byte(batch)); err != nil {
		t.Fatal(err)
	}
}

func TestDirKeepsBatchesInOrder(t *testing.T) {
	path := t.TempDir()
	names := []string{"f", "..", "a/b", "with space"}
	for process := range 3 {
		d := openDir(t, path, 0)
		for _, name := range names {
			appendBatch(t, d, name, fmt.Sprintf("%s %d", name, process))
		}
	}
	d := openDir(t, path, 0)
	for _, name := range names {
		got, dropped := load(t, d, name)
		if want := []string{name + " 0", name + " 1", name + " 2"}; !slices.Equal(got, want) || dropped {
			t.Errorf("got %q (dropped %v), want %q", got, dropped, want)
		}
	}
	got, err := d.Functions()
	slices.Sort(got)
	slices.Sort(names)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("functions are %q, %v", got, err)
	}
	if err := d.Drop("f"); err != nil {
		t.Fatal(err)
	}
	if got, _ := load(t, d, "f"); got != nil {
		t.Errorf("after Drop: %q", got)
	}
	appendBatch(t, d, "f", "new life")
	if got, _ := load(t, d, "f"); !slices.Equal(got, []string{"new life"}) {
		t.Errorf("after Drop and Append: %q", got)
	}
}

func TestDirIsBounded(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path, 8000)
	for i := range 500 {
		appendBatch(t, d, "f", fmt.Sprintf("%04d%s", i, strings.Repeat("x", 96)))
	}
	var size int64
	files, err := os.ReadDir(d.functionPath("f"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 8000+1000 || size < 6000 {
		t.Errorf("%d bytes in %d files, want about 8,000", size, len(files))
	}
	got, dropped := load(t, d, "f")
	if !dropped || !strings.HasPrefix(got[len(got)-1], "0499") {
		t.Errorf("dropped %v, last %q", dropped, got[len(got)-1][:4])
	}
	for i, b := range got {
		if want := fmt.Sprintf("%04d", 500-len(got)+i); b[:4] != want {
			t.Fatalf("batch %d is %s, want %s", i, b[:4], want)
		}
	}
}

// Whatever kill -9 leaves of the last frame, all before it is read, and what the next
// process writes is read too.
func TestDirSurvivesATornTail(t *testing.T) {
	whole := t.TempDir()
	d := openDir(t, whole, 0)
	appendBatch(t, d, "f", "first")
	appendBatch(t, d, "f", "second")
	b, err := os.ReadFile(d.segmentPath("f", 1))
	if err != nil {
		t.Fatal(err)
	}
	firstFrame := frameHead + len("first")
	for cut := firstFrame; cut <= len(b); cut++ {
		d := openDir(t, filepath.Join(t.TempDir(), "logs"), 0)
		if err := os.MkdirAll(d.functionPath("f"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.segmentPath("f", 1), b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := []string{"first"}
		if cut == len(b) {
			want = append(want, "second")
		}
		if got, _ := load(t, d, "f"); !slices.Equal(got, want) {
			t.Errorf("cut at %d: got %q", cut, got)
		}
		appendBatch(t, d, "f", "third")
		if got, _ := load(t, d, "f"); !slices.Equal(got, append(want, "third")) {
			t.Errorf("cut at %d, then continued: got %q", cut, got)
		}
	}
}

func TestHistoryOutlivesTheProcess(t *testing.T) {
	path := t.TempDir()
	life := func(at time.Time, word string) []hearth.LogEntry {
		var got []hearth.LogEntry
		synctest.Test(t, func(t *testing.T) {
			l := New(Config{Sink: openDir(t, path, 0)})
			s := l.Open("f", "a")
			for i := range 3 {
				s.Line(at.Add(time.Duration(i)*time.Second), "", 1, fmt.Appendf(nil, "%s %d", word, i))
				time.Sleep(1500 * time.Millisecond) // virtual: the flusher has its turn
			}
			got = query(t, l, hearth.LogFilter{Function: "f"})
			l.Close()
		})
		return got
	}
	wantTexts(t, life(epoch, "first"), "first 0", "first 1", "first 2")
	both := life(epoch.Add(time.Hour), "second")
	wantTexts(t, both, "first 0", "first 1", "first 2", "second 0", "second 1", "second 2")
	for i := range both[1:] {
		if both[i+1].Seq <= both[i].Seq {
			t.Errorf("numbers do not grow: %d, then %d", both[i].Seq, both[i+1].Seq)
		}
	}
	l := New(Config{Sink: openDir(t, path, 0)})
	defer l.Close()
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", Limit: 2}), "second 1", "second 2")
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f", AfterSeq: both[3].Seq}), "second 1", "second 2")
	wantTexts(t, query(t, l, hearth.LogFilter{Since: epoch.Add(time.Minute)}), "second 0", "second 1", "second 2")
	if err := l.Drop("f"); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}))
}

// A silent function gives its memory back and loses nothing.
func TestSilentFunctionsLiveOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Sink: openDir(t, t.TempDir(), 0)})
		defer l.Close()
		s := l.Open("f", "a")
		s.Line(time.Now(), "", 1, []byte("one"))
		time.Sleep(idleAfter - 2*time.Second)
		if l.bytes.Load() == 0 {
			t.Error("memory given back too early")
		}
		time.Sleep(4 * time.Second)
		if n := l.bytes.Load(); n != 0 {
			t.Errorf("%d bytes in use", n)
		}
		wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "one")
		s.Line(time.Now(), "", 1, []byte("two"))
		wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "one", "two")
		time.Sleep(2 * time.Second)
		wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "one", "two")
	})
}

// What is dropped from memory before it could be written is gone, and a line says how
// much that is.
func TestGapBetweenFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		l := New(Config{PerFunctionBytes: 8 << 10, Sink: openDir(t, path, 0)})
		s := l.Open("f", "a")
		const lines = 3000
		s.Line(epoch, "", 1, []byte("line 0"))
		time.Sleep(1100 * time.Millisecond)
		for i := range lines - 1 {
			s.Line(epoch.Add(time.Second), "", 1, fmt.Appendf(nil, "line %d", i+1))
		}
		l.Close()
		l = New(Config{Sink: openDir(t, path, 0)})
		defer l.Close()
		got := query(t, l, hearth.LogFilter{Function: "f"})
		missed := got[2].Seq - got[0].Seq - 1
		if got[0].Text != "line 0" || got[1].Text != droppedLine(missed) || missed == 0 {
			t.Errorf("starts with %q, %q; %d were missed", got[0].Text, got[1].Text, missed)
		}
		if last := got[len(got)-1].Text; last != fmt.Sprintf("line %d", lines-1) || uint64(len(got)-2)+missed+1 != lines {
			t.Errorf("ends with %q; %d read and %d missed, of %d", last, len(got)-1, missed, lines)
		}
	})
}

// brokenSink fails, after having written or not.
type brokenSink struct {
	Sink
	fails  int
	writes bool
}

func (b *brokenSink) Append(ctx context.Context, function string, batch []byte) error {
	if b.fails == 0 {
		return b.Sink.Append(ctx, function, batch)
	}
	b.fails--
	if b.writes {
		if err := b.Sink.Append(ctx, function, batch); err != nil {
			return err
		}
	}
	return errors.New("disk is full")
}

func TestFailedFlushIsRepeatedAndNothingIsReadTwice(t *testing.T) {
	for _, writes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			path := t.TempDir()
			var said bytes.Buffer
			l := New(Config{Sink: &brokenSink{openDir(t, path, 0), 3, writes}, Logger: textLogger(&said)})
			s := l.Open("f", "a")
			for i := range 6 {
				s.Line(epoch.Add(time.Duration(i)*time.Second), "", 1, fmt.Appendf(nil, "line %d", i))
				time.Sleep(time.Second)
			}
			l.Close()
			if n := strings.Count(said.String(), "disk is full"); n != 1 {
				t.Errorf("complained %d times: %s", n, &said)
			}
			l = New(Config{Sink: openDir(t, path, 0)})
			defer l.Close()
			wantTexts(t, query(t, l, hearth.LogFilter{Function: "f"}), "line 0", "line 1", "line 2", "line 3", "line 4", "line 5")
		})
	}
}

func FuzzSegment(f *testing.F) {
	d, err := OpenDir(f.TempDir(), 0)
	if err != nil {
		f.Fatal(err)
	}
	for _, batch := range []string{"", "one", "another batch"} {
		if err := d.Append(f.Context(), "f", []byte(batch)); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(d.segmentPath("f", 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		batches, good := frames(b)
		size := 0
		for _, batch := range batches {
			size += frameHead + len(batch)
		}
		if size != good || good > len(b) {
			t.Fatalf("%d bytes of frames, %d good, %d in all", size, good, len(b))
		}
		again, goodAgain := frames(b[:good])
		if goodAgain != good || len(again) != len(batches) {
			t.Fatal("the good part reads differently on its own")
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, r := range []record{
		{kind: kindStart, seq: 1, time: 2, instance: "i", request: "r", word: "$LATEST"},
		{kind: kindStdout, seq: 1 << 60, text: []byte("text")},
		{kind: kindFinish, request: "r", word: "timeout", report: hearth.Report{Duration: 1, MemoryMB: 128}},
		{kind: kindGap, count: 7},
	} {
		f.Add(r.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := next(b)
		if err != nil {
			return
		}
		var lines int
		v.entries("f", func(hearth.LogEntry) { lines++ })
		if lines == 0 || len(rest) >= len(b) {
			t.Fatalf("%d lines, %d of %d bytes left", lines, len(rest), len(b))
		}
		r := record{kind: v.kind, seq: v.seq, time: v.time, instance: string(v.instance), request: string(v.request)}
		switch v.kind {
		case kindFinish:
			r.report, r.word = v.report()
		case kindGap:
			r.count = v.count()
		default:
			r.text = v.rest
		}
		if got := r.append(nil); !bytes.Equal(got, b[:len(b)-len(rest)]) {
			t.Fatalf("written again it is %x, was %x", got, b[:len(b)-len(rest)])
		}
	})
}
