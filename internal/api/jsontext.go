package api

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"hearth/internal/hearth/jsontext"
)

// The functions here read JSON text that is known to be valid (validJSON), and so
// need check nothing.

// skipSpace is the index of the first byte at or after i that is not white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue is the index behind the value that begins at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// skipString is the index behind the string whose opening quote is at i.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// elements walks through the members of an object or the elements of an array.
type elements struct {
	b      []byte
	i      int
	object bool
}

// elementsOf starts at the first of value's elements; value is an object or array.
func elementsOf(value []byte) elements {
	i := skipSpace(value, 0)
	return elements{b: value, i: i + 1, object: value[i] == '{'}
}

// next gives the raw text of the next element, and of its key in an object.
func (e *elements) next() (key, value []byte, ok bool) {
	e.i = skipSpace(e.b, e.i)
	if e.b[e.i] == ',' {
		e.i = skipSpace(e.b, e.i+1)
	}
	if c := e.b[e.i]; c == '}' || c == ']' {
		return nil, nil, false
	}
	if e.object {
		end := skipString(e.b, e.i)
		key = e.b[e.i:end]
		e.i = skipSpace(e.b, skipSpace(e.b, end)+1)
	}
	end := skipValue(e.b, e.i)
	value = e.b[e.i:end]
	e.i = end
	return key, value, true
}

// isKey tells whether raw, the text of a string, stands for name.
func isKey(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	return string(appendUnquoted(nil, raw)) == name
}

// unquoted is what raw, the text of a string, stands for: a part of raw if there is
// nothing to decode in it, else decoded at the end of *scratch.
func unquoted(raw []byte, scratch *[]byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw[1 : len(raw)-1]
	}
	begin := len(*scratch)
	*scratch = appendUnquoted(*scratch, raw)
	return (*scratch)[begin:]
}

// appendUnquoted appends what raw, the text of a string, stands for. As in
// encoding/json, bytes that are not UTF-8 and lone surrogates become U+FFFD.
func appendUnquoted(dst, raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	for i := 0; i < len(raw); {
		if n := jsontext.BareRun(raw[i:]); n > 0 {
			dst = append(dst, raw[i:i+n]...)
			i += n
			continue
		}
		c := raw[i]
		switch {
		case c == '\\':
			dst, i = appendEscape(dst, raw, i+1)
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

// appendEscape decodes the escape whose backslash is before i.
func appendEscape(dst, raw []byte, i int) ([]byte, int) {
	switch c := raw[i]; c {
	case 'b':
		return append(dst, '\b'), i + 1
	case 'f':
		return append(dst, '\f'), i + 1
	case 'n':
		return append(dst, '\n'), i + 1
	case 'r':
		return append(dst, '\r'), i + 1
	case 't':
		return append(dst, '\t'), i + 1
	case 'u':
		r := hexRune(raw[i+1:])
		i += 5
		if utf16.IsSurrogate(r) {
			if low := followingSurrogate(raw[i:]); utf16.DecodeRune(r, low) != utf8.RuneError {
				return utf8.AppendRune(dst, utf16.DecodeRune(r, low)), i + 6
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(dst, r), i
	default: // " \ /
		return append(dst, c), i + 1
	}
}

func followingSurrogate(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	return hexRune(b[2:])
}

func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(hexValue(c))
	}
	return r
}
