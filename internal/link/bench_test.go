package link_test

import (
	"fmt"
	"sync"
	"testing"

	"hearth/internal/link"
)

// BenchmarkEcho is the host's side alone: the peer is a goroutine that answers at
// once. Its allocations count, too: one for every frame it sends.
func BenchmarkEcho(b *testing.B) {
	for _, inFlight := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("c=%d", inFlight), func(b *testing.B) {
			benchmarkEcho(b, link.Options{MaxInFlight: inFlight})
		})
	}
}

func benchmarkEcho(b *testing.B, o link.Options) {
	c, p := ready(b, o)
	var peers sync.WaitGroup
	echo(p.conn, &peers)
	load(b, c, o.MaxInFlight)
	c.Close()
	peers.Wait()
}

func load(b *testing.B, c *link.Conn, inFlight int) {
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range inFlight {
		n := b.N / inFlight
		if i < b.N%inFlight {
			n++
		}
		wg.Go(func() {
			for range n {
				call := newCall("8a1e6b1c-9d3f-4c11-8a55-0f3f5e0f2f11", "")
				call.Payload = helloFrame
				if err := c.Send(call); err != nil {
					b.Error(err)
					return
				}
				<-call.Done()
				call.Release()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
