package shim_test

import (
	"fmt"
	"testing"

	"hearth/internal/link/shim/shimtest"
)

func BenchmarkPython(b *testing.B) {
	const body = `handler(event, context):
    return {"message": "Hello " + event["name"]}
`
	for _, variant := range []struct {
		name, code string
		concurrent bool
		inFlight   []int
	}{
		{"exclusive", "def " + body, false, []int{1}},
		{"exclusive-async", "async def " + body, false, []int{1}},
		{"threads", "def " + body, true, []int{1, 16, 64}},
		{"tasks", "async def " + body, true, []int{1, 16, 64}},
	} {
		for _, inFlight := range variant.inFlight {
			b.Run(fmt.Sprintf("%s/c=%d", variant.name, inFlight), func(b *testing.B) {
				in := startPython(b, shimtest.Options{
					Files: map[string]string{"app.py": variant.code}, Slots: inFlight, Concurrent: variant.concurrent,
				})
				load(b, in.Conn, inFlight)
			})
		}
	}
}
