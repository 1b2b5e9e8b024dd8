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

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// BareRun is how many bytes at the beginning of b stand for themselves in JSON text,
// whatever follows them: ASCII but for control characters, quote and backslash.
func BareRun(b []byte) int {
	rest := b
	for len(rest) >= 32 {
		some := special(binary.LittleEndian.Uint64(rest)) | special(binary.LittleEndian.Uint64(rest[8:])) |
			special(binary.LittleEndian.Uint64(rest[16:])) | special(binary.LittleEndian.Uint64(rest[24:]))
		if some&highs != 0 {
			break
		}
		rest = rest[32:]
	}
	for len(rest) >= 8 {
		if some := special(binary.LittleEndian.Uint64(rest)) & highs; some != 0 {
			return len(b) - len(rest) + bits.TrailingZeros64(some)/8
		}
		rest = rest[8:]
	}
	for i, c := range rest {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			return len(b) - len(rest) + i
		}
	}
	return len(b)
}

// special sets the high bit of each of eight bytes that does not stand for itself. Behind
// the first that is not ASCII it may be wrong: carries come from there.
func special(w uint64) uint64 {
	return w | ^((w + (0x80-' ')*ones) & ((w ^ '"'*ones) + 0x7f*ones) & ((w ^ '\\'*ones) + 0x7f*ones))
}
