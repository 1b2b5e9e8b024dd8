package batch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestBatcher decides in virtual time. Commands:
//
//	new size=N threshold=N [partitioned] [attempts=N] [window=N] [bytes=N]
//	add SEQ[:KEY] …        as fetched; also those that come again
//	next                   start all batches that may start
//	done BATCH [refused] [failed] [failed=(SEQ,…)]
//	pass DURATION
//
// The answer ends with what is in flight and waiting, how many would be fetched, and when
// to look again.
func TestBatcher(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{begin: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
		w.now = w.begin
		datadriven.RunTest(t, path, w.run)
	})
}

type world struct {
	begin, now time.Time
	b          *Batcher
	batches    []*Batch
}

func (w *world) run(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	switch d.Cmd {
	case "new":
		cfg := Config{MaxAttempts: 3, BatchBytes: 1 << 20, WindowBytes: 1 << 20, Partitioned: d.HasArg("partitioned")}
		d.MaybeScanArgs(t, "size", &cfg.Size)
		d.MaybeScanArgs(t, "threshold", &cfg.Threshold)
		d.MaybeScanArgs(t, "attempts", &cfg.MaxAttempts)
		d.MaybeScanArgs(t, "window", &cfg.Window)
		d.MaybeScanArgs(t, "bytes", &cfg.BatchBytes)
		w.b, w.batches = New(cfg), nil
	case "add":
		for _, a := range d.CmdArgs {
			var m Message
			seq, key, _ := strings.Cut(a.Key, ":")
			fmt.Sscan(seq, &m.Seq)
			m.Key, m.Size = key, 100
			if !w.b.Add(m) {
				fmt.Fprintf(&out, "%d is held already\n", m.Seq)
			}
		}
	case "next":
		for {
			batch, ok := w.b.Next(w.now)
			if !ok {
				break
			}
			w.batches = append(w.batches, batch)
			fmt.Fprintf(&out, "batch %d: %v tries %v\n", len(w.batches), batch.Seqs, batch.Tries)
		}
	case "done":
		var n int
		if fmt.Sscan(d.CmdArgs[0].Key, &n); n < 1 || n > len(w.batches) {
			d.Fatalf(t, "there is no batch %d", n)
		}
		v := Verdict{Refused: d.HasArg("refused"), Failed: d.HasArg("failed")}
		for _, a := range d.CmdArgs {
			for _, val := range a.Vals {
				var seq uint64
				fmt.Sscan(val, &seq)
				v.FailedSeqs = append(v.FailedSeqs, seq)
			}
		}
		s := w.b.Done(w.now, w.batches[n-1], v)
		fmt.Fprintf(&out, "ack %v dead %v\n", s.Ack, s.Dead)
	case "pass":
		span, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(span)
	}
	fmt.Fprintf(&out, "%v: in flight %d, waiting %d, fetch %d", w.now.Sub(w.begin), w.b.InFlight(), w.b.Waiting(), w.b.Want(w.now))
	if at := w.b.Wake(w.now); !at.IsZero() {
		fmt.Fprintf(&out, ", look again at %v", at.Sub(w.begin))
	}
	return out.String() + "\n"
}
