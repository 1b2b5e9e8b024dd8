package jsontext

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func slowRun(b []byte) int {
	for i, c := range b {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			return i
		}
	}
	return len(b)
}

func TestBareRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 80), rapid.IntRange(240, 300), rapid.IntRange(4000, 9000)).Draw(t, "size")
		b := bytes.Repeat([]byte{rapid.SampledFrom([]byte(" a~!#[]\x7f")).Draw(t, "bare")}, size)
		for range rapid.IntRange(0, 3).Draw(t, "many") {
			if size > 0 {
				at := rapid.IntRange(0, size-1).Draw(t, "at")
				b[at] = rapid.SampledFrom([]byte("\"\\\x00\x1f\n\x80\xa0\xff !")).Draw(t, "what")
			}
		}
		if got, want := BareRun(b), slowRun(b); got != want {
			t.Fatalf("%d bytes, want %d: %q", got, want, b)
		}
	})
}

// Every place of every byte within and beside the chunks.
func TestBareRunEverywhere(t *testing.T) {
	for _, size := range []int{31, 32, 33, longRun - 1, longRun, longRun + 33, chunk - 1, chunk, chunk + 1, 2*chunk + 40} {
		b := bytes.Repeat([]byte("x"), size)
		for at := 0; at < size; at += 1 + size/600 {
			for _, c := range []byte{0, 0x1f, '"', '\\', 0x7f, 0x80, 0xff} {
				b[at] = c
				if got, want := BareRun(b), slowRun(b); got != want {
					t.Fatalf("%d bytes with %#x at %d: %d, want %d", size, c, at, got, want)
				}
				b[at] = 'x'
			}
		}
	}
}

func BenchmarkBareRun(b *testing.B) {
	for name, size := range map[string]int{"20": 20, "200": 200, "300": 300, "6MB": 6e6} {
		text := bytes.Repeat([]byte("x"), size)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if BareRun(text) != size {
					b.Fatal("not all of it")
				}
			}
		})
	}
}
