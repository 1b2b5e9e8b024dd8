package api

import (
	"bytes"
	"unicode/utf8"

	"hearth/internal/hearth/jsontext"
)

// entry is a header line, its name in lower case, or a pair of a query string.
// Those of one name are chained in their order by next, where 0 is the end; all but
// the first are chained.
type entry struct {
	name, value []byte
	next        int
	chained     bool
}

// fewEntries is up to how many comparing each with each beats a map.
const fewEntries = 32

func chain(entries []entry) {
	if len(entries) > fewEntries {
		chainMany(entries)
		return
	}
	for i := range entries {
		for j := i - 1; j >= 0; j-- {
			if bytes.Equal(entries[j].name, entries[i].name) {
				entries[j].next, entries[i].chained = i, true
				break
			}
		}
	}
}

func chainMany(entries []entry) {
	last := make(map[string]int, len(entries))
	for i := range entries {
		if j, ok := last[string(entries[i].name)]; ok {
			entries[j].next, entries[i].chained = i, true
		}
		last[string(entries[i].name)] = i
	}
}

// isText tells the content types whose bodies Lambda delivers as text. A form is not
// among them.
func isText(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	if len(kind) >= 5 && equalFold(kind[:5], "text/") {
		return true
	}
	for _, suffix := range [...]string{"/json", "+json", "/xml", "+xml", "/javascript", "/x-ndjson"} {
		if n := len(kind) - len(suffix); n >= 0 && equalFold(kind[n:], suffix) {
			return true
		}
	}
	return false
}

// isHopByHop tells headers that are between a client and its server alone
// (RFC 9110, 7.6.1). name is in lower case.
func isHopByHop(name []byte) bool {
	switch string(name) {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
		"te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// isForwarded tells the headers that the platform itself writes.
func isForwarded(name []byte) bool {
	switch string(name) {
	case "x-forwarded-for", "x-forwarded-port", "x-forwarded-prefix":
		return true
	}
	return false
}

// scheme is how the URL of a request begins.
func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// portOf is the port that host names, else its scheme's own.
func portOf(host []byte, secure bool) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && i+1 < len(host) && bytes.IndexByte(host[i:], ']') < 0 {
		return host[i+1:]
	}
	if secure {
		return []byte("443")
	}
	return []byte("80")
}

// trimBlank cuts white space off both ends of a header's value.
func trimBlank(b []byte) []byte {
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func lowerASCII(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// appendText appends the text of a header. What is not UTF-8 is taken for
// ISO-8859-1, which HTTP headers once were.
func appendText(b, s []byte) []byte {
	b = append(b, '"')
	b = appendTextInside(b, s)
	return append(b, '"')
}

func appendTextInside(b, s []byte) []byte {
	if utf8.Valid(s) {
		return jsontext.AppendInside(b, s)
	}
	for _, c := range s {
		if c < utf8.RuneSelf {
			b = jsontext.AppendInside(b, []byte{c})
		} else {
			b = utf8.AppendRune(b, rune(c))
		}
	}
	return b
}
