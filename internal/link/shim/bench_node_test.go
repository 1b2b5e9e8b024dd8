package shim_test

import (
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim"
	"hearth/internal/link/shim/shimtest"
)

const node = "/usr/bin/node"

var hello = map[string]string{"index.js": `exports.handler = async (event) => ({ message: 'Hello ' + event.name });`}

// BenchmarkNode is a hello handler behind the link: the host, the socket and node,
// without HTTP and without a sandbox. The allocations are the host's.
func BenchmarkNode(b *testing.B) {
	b.Run("exclusive/c=1", func(b *testing.B) { benchNode(b, 1, false) })
	for _, inFlight := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("concurrent/c=%d", inFlight), func(b *testing.B) { benchNode(b, inFlight, true) })
	}
}

func benchNode(b *testing.B, inFlight int, concurrent bool) {
	in := shimtest.Start(b, shimtest.Options{
		Language: shim.Node, Interpreter: node, Files: hello, Handler: "index.handler",
		Slots: inFlight, Concurrent: concurrent,
	})
	load(b, in.Conn, inFlight)
}

// load keeps inFlight calls in flight until b.N are done.
func load(b *testing.B, conn *link.Conn, inFlight int) {
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range inFlight {
		wg.Go(func() {
			for n := i; n < b.N; n += inFlight {
				start := time.Now()
				if err := callHello(conn); err != nil {
					b.Error(err)
					return
				}
				took[n] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(took[b.N/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[b.N*99/100].Nanoseconds())/1e3, "p99-µs")
}

var payload = []byte(`{"name":"world","padding":"0123456789012345678901234567890123456789"}`)

func callHello(conn *link.Conn) error {
	call := link.NewCall()
	call.ID, call.ARN = "8a1e6b1c-9d3f-4c11-8a55-0f3f5e0f2f11", "arn:aws:lambda:us-east-1:000000000000:function:hello"
	call.Deadline = time.Now().Add(time.Minute)
	call.Payload = payload
	if err := conn.Send(call); err != nil {
		return err
	}
	<-call.Done()
	if call.Err != nil || call.Failed {
		return fmt.Errorf("%w %s", call.Err, call.Response)
	}
	call.Release()
	return nil
}

// BenchmarkNodeStart is a cold start without a sandbox: process, shim and handler,
// until READY, beside what node alone takes to start and to end.
func BenchmarkNodeStart(b *testing.B) {
	b.Run("node -e 0", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command(node, "-e", "0").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("until READY", func(b *testing.B) {
		for b.Loop() {
			in := shimtest.Start(b, shimtest.Options{Language: shim.Node, Interpreter: node, Files: hello, Handler: "index.handler"})
			if in.InitErr != nil {
				b.Fatal(in.InitErr)
			}
		}
	})
}
