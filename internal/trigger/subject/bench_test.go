package subject

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// BenchmarkReader is the path of a message from the stream to its acknowledgement, with
// a function that takes no time.
func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		name string
		t    hearth.NATSTrigger
	}{
		{"batch=10", hearth.NATSTrigger{BatchSize: 10}},
		{"batch=100", hearth.NATSTrigger{BatchSize: 100}},
		{"batch=100/partitions", hearth.NATSTrigger{BatchSize: 100, PartitionToken: 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			bus, err := store.OpenBus(b.Context(), store.BusConfig{Dir: b.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer bus.Close(b.Context())
			n := &node{bus: bus, functions: map[string]*hearth.Function{}, table: map[string][]byte{}}
			js := outsider(b, bus)
			if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, Storage: jetstream.MemoryStorage}); err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				if _, err := js.PublishAsync(fmt.Sprintf("s.k%d", i%50), []byte(`{"n":1}`)); err != nil {
					b.Fatal(err)
				}
			}
			<-js.PublishAsyncComplete()
			var got atomic.Int64
			all := make(chan struct{})
			n.answer = func(records []record) (*hearth.Result, error) {
				if got.Add(int64(len(records))) == int64(b.N) {
					close(all)
				}
				return &hearth.Result{}, nil
			}
			c.t.Stream, c.t.From = "S", hearth.FromAll
			n.functions["f"] = &hearth.Function{Name: "f", Triggers: []hearth.Trigger{{Name: "t", NATS: &c.t}}}
			s := New(Config{}, Deps{Functions: n, Bus: Of(bus), Invoker: n, DeadLetters: n, Table: memTable{n}, Events: n})
			b.ResetTimer()
			if err := s.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			<-all
			b.StopTimer()
			s.Close(b.Context())
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
