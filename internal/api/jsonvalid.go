package api

import "hearth/internal/hearth/jsontext"

// maxNesting is how deep arrays and objects may lie within each other, as in
// encoding/json.
const maxNesting = 10_000

// validJSON is json.Valid, several times as fast: most bytes of large documents are
// within strings, and eight of those are looked at together. Like json.Valid it does
// not ask whether strings are UTF-8.
func validJSON(b []byte) bool {
	i, ok := checkValue(b, skipSpace(b, 0), 0)
	return ok && skipSpace(b, i) == len(b)
}

// checkValue checks the value that begins at i, and tells where it ends.
func checkValue(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '"':
		return checkString(b, i)
	case c == '{':
		return checkElements(b, i, depth+1, '}')
	case c == '[':
		return checkElements(b, i, depth+1, ']')
	case c == 't':
		return checkWord(b, i, "true")
	case c == 'f':
		return checkWord(b, i, "false")
	case c == 'n':
		return checkWord(b, i, "null")
	}
	return checkNumber(b, i)
}

// checkElements checks an object or an array that begins at i; last is what ends it.
func checkElements(b []byte, i, depth int, last byte) (end int, ok bool) {
	if depth > maxNesting {
		return i, false
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == last {
		return i + 1, true
	}
	for {
		if last == '}' {
			if i >= len(b) || b[i] != '"' {
				return i, false
			}
			if i, ok = checkString(b, i); !ok {
				return i, false
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return i, false
			}
			i = skipSpace(b, i+1)
		}
		if i, ok = checkValue(b, i, depth); !ok {
			return i, false
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, false
		}
		switch b[i] {
		case last:
			return i + 1, true
		case ',':
			i = skipSpace(b, i+1)
		default:
			return i, false
		}
	}
}

func checkString(b []byte, i int) (end int, ok bool) {
	for i++; ; {
		i += jsontext.BareRun(b[i:])
		if i >= len(b) {
			return i, false
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c >= 0x80:
			for i++; i < len(b) && b[i] >= 0x80; i++ {
			}
		case c != '\\' || i+1 >= len(b): // a control character
			return i, false
		case b[i+1] == 'u':
			if !fourHex(b[i+2:]) {
				return i, false
			}
			i += 6
		case isEscape(b[i+1]):
			i += 2
		default:
			return i, false
		}
	}
}

func isEscape(c byte) bool {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	}
	return false
}

func fourHex(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for _, c := range b[:4] {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

func checkWord(b []byte, i int, word string) (end int, ok bool) {
	end = i + len(word)
	return end, end <= len(b) && string(b[i:end]) == word
}

func checkNumber(b []byte, i int) (end int, ok bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i, ok = checkDigits(b, i); !ok {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		if i, ok = checkDigits(b, i+1); !ok {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return checkDigits(b, i)
	}
	return i, true
}

// checkDigits wants at least one digit.
func checkDigits(b []byte, i int) (end int, ok bool) {
	begin := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i, i > begin
}
