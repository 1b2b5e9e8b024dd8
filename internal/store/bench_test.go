package store

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
)

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openIn(b, dir)
	table := openTable(b, s)
	for i := range 1000 {
		if _, err := table.Put(testContext(b), fmt.Sprint("k", i), make([]byte, 500)); err != nil {
			b.Fatal(err)
		}
	}
	closeNow(b, s)
	for b.Loop() {
		s, err := Open(testContext(b), Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		openTable(b, s)
		b.StopTimer()
		closeNow(b, s)
		b.StartTimer()
	}
}

func BenchmarkPut(b *testing.B) {
	ctx, table := testContext(b), openTable(b, openIn(b, b.TempDir()))
	value := make([]byte, 500)
	for b.Loop() {
		if _, err := table.Put(ctx, "k", value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPutParallel(b *testing.B) {
	ctx, table := testContext(b), openTable(b, openIn(b, b.TempDir()))
	value := make([]byte, 500)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprint("k", n.Add(1))
		for pb.Next() {
			if _, err := table.Put(ctx, key, value); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	ctx, table := testContext(b), openTable(b, openIn(b, b.TempDir()))
	if _, err := table.Put(ctx, "k", make([]byte, 500)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := table.Get(ctx, "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlob(b *testing.B) {
	blobs := openBlobs(b, openIn(b, b.TempDir()))
	content := noise(1, 10<<20)
	digest := digestOf(content)
	b.Run("put", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if err := blobs.Delete(testContext(b), digest); err != nil {
				b.Fatal(err)
			}
			if err := blobs.Put(testContext(b), digest, bytes.NewReader(content)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			r, err := blobs.Get(testContext(b), digest)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(content)) {
				b.Fatal(n, err)
			}
			r.Close()
		}
	})
}
