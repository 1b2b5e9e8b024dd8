package api

import (
	"bytes"
	"strings"
)

// query is a decoded query string, in order.
type query []queryPair

type queryPair struct{ key, value string }

func parseQuery(raw []byte) query {
	var q query
	for pair := range bytes.SplitSeq(raw, []byte("&")) {
		if len(pair) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(pair, []byte("="))
		q = append(q, queryPair{string(appendUnescaped(nil, key, true)), string(appendUnescaped(nil, value, true))})
	}
	return q
}

// get is the first value of key, "" when there is none.
func (q query) get(key string) string {
	for i := range q {
		if q[i].key == key {
			return q[i].value
		}
	}
	return ""
}

// all are the values of key.
func (q query) all(key string) []string {
	var values []string
	for i := range q {
		if q[i].key == key {
			values = append(values, q[i].value)
		}
	}
	return values
}

// appendUnescaped appends s with its %XX decoded, and, in a query, + as a space. A
// percent sign that begins no escape stands for itself.
func appendUnescaped(dst, s []byte, plus bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && hexValue(s[i+1]) < 16 && hexValue(s[i+2]) < 16:
			c = hexValue(s[i+1])<<4 | hexValue(s[i+2])
			i += 2
		case c == '+' && plus:
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

func unescapePath(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return string(appendUnescaped(nil, []byte(s), false))
}

// hexValue is the value of a hexadecimal digit, 255 of anything else.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// equalFold compares b with s, which is in lower case, ignoring the case of letters.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
