package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func openIndex(t testing.TB, path string) (*Index, bool) {
	t.Helper()
	x, complete, err := OpenIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	return x, complete
}

func finds(t testing.TB, x *Index, id string) (seqs []uint64) {
	t.Helper()
	if _, err := x.Find(id, func(seq uint64) (bool, error) {
		seqs = append(seqs, seq)
		return false, nil
	}); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// TestIndexModel: whatever is put, removed and trimmed, also over restarts, an id is
// found exactly where it is.
func TestIndexModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	rapid.Check(t, func(rt *rapid.T) {
		if err := os.RemoveAll(path); err != nil {
			rt.Fatal(err)
		}
		x, _ := openIndex(t, path)
		model, next, first := map[uint64]string{}, uint64(1), uint64(1)
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				next += rapid.SampledFrom([]uint64{1, 1, 1, 7, 10_000, 300_000}).Draw(rt, "gap")
				id := fmt.Sprint("e", rapid.IntRange(0, 5).Draw(rt, "id"))
				if err := x.Put(next, id); err != nil {
					rt.Fatal(err)
				}
				model[next] = id
			},
			"remove": func(rt *rapid.T) {
				for seq := range model {
					if err := x.Remove(seq); err != nil {
						rt.Fatal(err)
					}
					delete(model, seq)
					return
				}
			},
			"trim": func(rt *rapid.T) {
				first = max(first, next-min(next, rapid.Uint64Range(0, 400_000).Draw(rt, "left")))
				for seq := range model {
					if seq < first {
						if err := x.Remove(seq); err != nil {
							rt.Fatal(err)
						}
						delete(model, seq)
					}
				}
				if err := x.Trim(first); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				_, complete := openIndexAgain(t, &x, path)
				if complete {
					rt.Fatal("nobody said that it is complete")
				}
				for seq, id := range model { // as its owner does
					if err := x.Put(seq, id); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"": func(rt *rapid.T) {
				for i := range 6 {
					id := fmt.Sprint("e", i)
					var want []uint64
					for seq, there := range model {
						if there == id {
							want = append(want, seq)
						}
					}
					slices.Sort(want)
					if got := finds(t, x, id); !slices.Equal(got, want) {
						rt.Fatalf("%s: %v, want %v", id, got, want)
					}
				}
			},
		})
		if err := x.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func openIndexAgain(t testing.TB, x **Index, path string) (*Index, bool) {
	t.Helper()
	if err := (*x).Close(); err != nil {
		t.Fatal(err)
	}
	var complete bool
	*x, complete = openIndex(t, path)
	return *x, complete
}

// TestIndexIsTrustedWhenItMayBe: after a clean end, and after the end of the process;
// not after that of the machine.
func TestIndexIsTrustedWhenItMayBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x, complete := openIndex(t, path)
	if complete {
		t.Error("a new one is complete")
	}
	if err := x.Put(5, "a"); err != nil {
		t.Fatal(err)
	}
	killed, complete := openIndex(t, path)
	if complete {
		t.Error("complete before anybody said so")
	}
	x.Close()
	if err := killed.Put(5, "a"); err != nil {
		t.Fatal(err)
	}
	if err := killed.Complete(); err != nil {
		t.Fatal(err)
	}
	// The process dies: nobody closes it.
	x, complete = openIndex(t, path)
	if got := finds(t, x, "a"); !complete || !slices.Equal(got, []uint64{5}) {
		t.Errorf("after a kill: complete %v, %v", complete, got)
	}
	killed.file.Close()
	if x, complete := openIndexAgain(t, &x, path); !complete || len(finds(t, x, "a")) != 1 {
		t.Error("not complete after a clean end")
	}
	// The machine restarts: its run has another name.
	if _, err := x.file.WriteAt(header(indexMagic, "another"), 0); err != nil {
		t.Fatal(err)
	}
	x.file.Close()
	x, complete = openIndex(t, path)
	defer x.Close()
	if complete || len(finds(t, x, "a")) != 0 {
		t.Error("trusted after a restart of the machine")
	}
}

// TestIndexGivesRoomBack: what is gone takes no disk, also above an event that stays.
func TestIndexGivesRoomBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x, _ := openIndex(t, path)
	defer x.Close()
	const many = 1_000_000
	for seq := uint64(1); seq <= many; seq++ {
		if err := x.Put(seq, "e"); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Put(3, "stays"); err != nil {
		t.Fatal(err)
	}
	full := diskKB(t, path)
	for seq := uint64(4); seq <= many; seq++ {
		if err := x.Remove(seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Trim(3); err != nil {
		t.Fatal(err)
	}
	if empty := diskKB(t, path); full < 7000 || empty > 1500 {
		t.Errorf("%d KB with a million, %d KB with one", full, empty)
	}
	if got := finds(t, x, "stays"); !slices.Equal(got, []uint64{3}) {
		t.Errorf("%v", got)
	}
}

func diskKB(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks / 2
}

// BenchmarkFind looks up the last of a million.
func BenchmarkFind(b *testing.B) {
	x, _ := openIndex(b, filepath.Join(b.TempDir(), "index"))
	defer x.Close()
	for seq := uint64(1); seq <= 1_000_000; seq++ {
		if err := x.Put(seq, fmt.Sprint(seq)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if got := finds(b, x, "1000000"); len(got) != 1 {
			b.Fatal(got)
		}
	}
}

// TestBegunOutlivesItsProcess: what has begun and not ended is found, until it ends.
func TestBegunOutlivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "begun")
	open := func() (*Begun, []Mark) {
		t.Helper()
		b, found, err := OpenBegun(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.file.Close() })
		return b, found
	}
	b, found := open()
	if len(found) != 0 {
		t.Fatal(found)
	}
	one, two, three := MarkOf(1, "a"), MarkOf(2, "b"), MarkOf(3, "c")
	for _, m := range []Mark{one, two} {
		if err := b.Begin(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.End(one); err != nil {
		t.Fatal(err)
	}
	if err := b.Begin(three); err != nil { // where one was
		t.Fatal(err)
	}
	next, found := open() // the process dies: nobody closes it
	if !slices.Equal(found, []Mark{three, two}) {
		t.Errorf("%v", found)
	}
	b.Close()
	if err := next.End(two); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	last, found := open()
	if !slices.Equal(found, []Mark{three}) || len(last.free) != 1 {
		t.Errorf("%v, %d free", found, len(last.free))
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if last, found := open(); len(found) != 0 || last.Begin(one) != nil || last.Close() != nil {
		t.Errorf("garbage: %v", found)
	}
}
