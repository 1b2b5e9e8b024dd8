package shim_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

const node = "/usr/bin/node"

var hello = map[string]string{"index.js": `exports.handler = async (event) => ({ message: 'Hello ' + event.name });`}

func BenchmarkNode(b *testing.B) {
	for _, model := range []string{"exclusive", "concurrent"} {
		for _, inFlight := range []int{1, 16, 64, 256} {
			if model == "exclusive" && inFlight > 1 {
				continue
			}
			b.Run(fmt.Sprintf("%s/c=%d", model, inFlight), func(b *testing.B) {
				in := shimtest.Start(b, shimtest.Options{
					Language: shim.Node, Interpreter: node, Files: hello, Handler: "index.handler",
					Slots: inFlight, Concurrent: model == "concurrent",
				})
				load(b, in.Conn, inFlight)
			})
		}
	}
}

// load keeps inFlight calls in flight until b.N are done.
func load(b *testing.B, conn *link.Conn, inFlight int) {
	payload := []byte(`{"name":"world","padding":"0123456789012345678901234567890123456789"}`)
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
				call := link.NewCall()
				call.ID, call.ARN = "8a1e6b1c-9d3f-4c11-8a55-0f3f5e0f2f11", "arn:aws:lambda:us-east-1:000000000000:function:hello"
				call.Deadline = time.Now().Add(time.Minute)
				call.Payload = payload
				if err := conn.Send(call); err != nil {
					b.Error(err)
					return
				}
				<-call.Done()
				if call.Err != nil || call.Failed {
					b.Errorf("%v %s", call.Err, call.Response)
					return
				}
				call.Release()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
