// Package looptest gives tests a loop of their own.
package looptest

import (
	"testing"

	"hearth/internal/loop"
)

// Group starts a group of one loop, as New does.
func Group(tb testing.TB) *loop.Group {
	tb.Helper()
	g, err := loop.NewGroup(1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(g.Close)
	return g
}

// New starts a loop that ends with the test, after everything that is cleaned up later
// than this call.
func New(tb testing.TB) *loop.Loop {
	tb.Helper()
	l, err := loop.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	return l
}
