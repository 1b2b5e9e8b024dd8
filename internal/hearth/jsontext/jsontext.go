// Package jsontext writes strings as JSON text, faster than encoding/json: most bytes
// stand for themselves, and eight of them are looked at together.
package jsontext

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// AppendQuoted appends s as JSON text. Bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(dst, s []byte) []byte {
	return append(AppendInside(append(dst, '"'), s), '"')
}

// AppendQuotedString is AppendQuoted for a string.
func AppendQuotedString(dst []byte, s string) []byte {
	return AppendQuoted(dst, unsafe.Slice(unsafe.StringData(s), len(s))) // which only reads it
}

// AppendInside is AppendQuoted without the quotes.
func AppendInside(dst, s []byte) []byte {
	begin := 0
	for i := 0; ; {
		i += BareRun(s[i:])
		if i == len(s) {
			break
		}
		c, size := s[i], 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRune(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[begin:i]...)
		dst = appendEscaped(dst, c)
		i += size
		begin = i
	}
	return append(dst, s[begin:]...)
}

// Size is how many bytes AppendInside would append.
func Size(s []byte) int {
	size := 0
	for i := 0; ; {
		run := BareRun(s[i:])
		i, size = i+run, size+run
		if i == len(s) {
			return size
		}
		c, n := s[i], 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRune(s[i:]); r != utf8.RuneError || n > 1 {
				i, size = i+n, size+n
				continue
			}
		}
		var escaped [8]byte
		i, size = i+n, size+len(appendEscaped(escaped[:0], c))
	}
}

func appendEscaped(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c >= utf8.RuneSelf:
		return append(dst, "\uFFFD"...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// BareRun is how many bytes at the beginning of b stand for themselves in JSON text,
// whatever follows them: ASCII but for control characters, quote and backslash. It
// looks at eight bytes at a time.
func BareRun(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// The lowest high bit that is set is that of the first byte that does not stand for
		// itself; borrowing may set wrong ones above it.
		special := (w | (w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			break
		}
	}
	return i
}
