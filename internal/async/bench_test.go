package async

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/store"
)

// BenchmarkAccept compares accepting events with bare publishes to the same engine, in
// turns, so that what disturbs one disturbs the other.
func BenchmarkAccept(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			w := newWorld(b)
			f := function("f")
			f.Reserved = new(int)
			*f.Reserved = 1
			w.functions["f"] = f
			w.open(Config{})
			raw, err := w.st.Queue(testContext(b), "raw", store.WorkQueue)
			if err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, 1024)
			submit := func() error {
				return w.Submit(b.Context(), Event{ID: hearth.NewRequestID(), Function: "f", Payload: payload})
			}
			publish := func() error {
				_, err := raw.Publish(b.Context(), store.Message{Key: "f", Data: payload})
				return err
			}
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				for i, do := range []func() error{submit, publish} {
					begin := time.Now()
					var wg sync.WaitGroup
					for range clients {
						wg.Go(func() {
							for range 10 {
								if err := do(); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					took[i] += time.Since(begin)
				}
				n += 10 * clients
			}
			accepted, plain := float64(n)/took[0].Seconds(), float64(n)/took[1].Seconds()
			b.ReportMetric(accepted, "accepted/s")
			b.ReportMetric(plain, "published/s")
			b.ReportMetric(accepted/plain, "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
