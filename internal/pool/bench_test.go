package pool

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// warmGroup is a group with one ready instance of so many slots.
func warmGroup(tb testing.TB, slots int) *Group {
	tb.Helper()
	p := New(Config{MemoryMB: 1024})
	g := p.Group(version("f", hearth.Concurrent, slots, 128))
	startOne(tb, p, g, epoch, "a")
	return g
}

func BenchmarkAcquireRelease(b *testing.B) {
	g := warmGroup(b, 10)
	now := time.Now()
	var w Waiter
	b.ReportAllocs()
	for b.Loop() {
		lease, _, _ := g.Acquire(now, &w)
		lease.Release(now)
	}
}

func BenchmarkAcquireReleaseParallel(b *testing.B) {
	g := warmGroup(b, 1000)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var w Waiter
		for pb.Next() {
			lease, _, _ := g.Acquire(now, &w)
			lease.Release(now)
		}
	})
}

func BenchmarkGroup(b *testing.B) {
	p := New(Config{MemoryMB: 1024})
	v := version("f", hearth.Exclusive, 1, 128)
	p.Group(v)
	b.ReportAllocs()
	for b.Loop() {
		p.Group(v)
	}
}

func TestWarmPathAllocatesNothing(t *testing.T) {
	g := warmGroup(t, 10)
	var w Waiter
	got := testing.AllocsPerRun(1000, func() {
		lease, _, _ := g.pool.Group(g.version).Acquire(epoch, &w)
		lease.Release(epoch)
	})
	if got != 0 {
		t.Errorf("a warm invocation allocates %v times, want 0", got)
	}
}

// Functions do not slow each other down: each goroutine calls one of its own.
func BenchmarkAcquireReleaseOfDifferentFunctions(b *testing.B) {
	p := New(Config{MemoryMB: 1 << 20})
	var n atomic.Int64
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		g := p.Group(version(fmt.Sprint("f", n.Add(1)), hearth.Exclusive, 1, 128))
		startOne(b, p, g, epoch, "a")
		var w Waiter
		for pb.Next() {
			lease, _, _ := g.Acquire(now, &w)
			lease.Release(now)
		}
	})
}
