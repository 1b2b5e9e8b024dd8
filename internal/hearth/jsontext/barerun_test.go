package jsontext

import (
	"bytes"
	"strings"
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

// Every place of every byte, in blocks of 32 and beside them.
func TestBareRunEverywhere(t *testing.T) {
	for _, size := range []int{31, 32, 33, 255, 256, 289, 4095, 4096, 4097, 8232} {
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

// BenchmarkBareRun takes texts apart as whoever checks or writes them does: run by run,
// each call given all that is left.
func BenchmarkBareRun(b *testing.B) {
	const size = 1 << 20
	for _, text := range []struct{ name, repeated string }{
		{"nothing special", "x"}, {"every 20", strings.Repeat("x", 19) + "\n"}, {"every 2", "x\n"},
		{"every 300", strings.Repeat("x", 299) + "\n"}, {"every 600", strings.Repeat("x", 599) + "\n"},
	} {
		b.Run(text.name, func(b *testing.B) {
			b.SetBytes(size)
			all := []byte(strings.Repeat(text.repeated, size/len(text.repeated)))
			for b.Loop() {
				for at := 0; at < len(all); at++ {
					at += BareRun(all[at:])
				}
			}
		})
	}
}
