package api

import (
	"slices"
	"testing"
)

// httpCase is one thing that every way in must do right.
type httpCase struct {
	name  string
	under protocol // of which ways it can be asked
	cfg   Config
	run   func(t *testing.T, d *door)
}

// TestHTTPConformance runs every case against every way in that it fits.
func TestHTTPConformance(t *testing.T) {
	for _, y := range ways() {
		t.Run(y.name, func(t *testing.T) {
			for _, c := range httpCases() {
				if c.under&y.speaks == 0 {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					d := opened(t, y, c.cfg)
					c.run(t, d)
				})
			}
		})
	}
}

// httpCases is the table.
func httpCases() []httpCase {
	return slices.Concat(messageCases(), bodyCases(), streamCases(), endCases(), wireCases(), refusedCases(), frameCases())
}
