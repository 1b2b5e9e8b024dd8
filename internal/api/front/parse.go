package front

import "bytes"

// Request is one request as it came. The slices are the connection's and hold until it
// has been answered.
type Request struct {
	Method  []byte
	Target  []byte // begins with a slash
	Host    []byte
	Headers []byte // raw lines, each ending with CR LF
	Body    []byte
	Close   bool // the client wants the connection closed afterwards
}

// verdict is what parse makes of the bytes that have come.
type verdict int

const (
	incomplete verdict = iota
	plain
	odd // not for this package
)

var (
	endOfHead = []byte("\r\n\r\n")
	version   = []byte("HTTP/1.1")
)

// head is a parsed request without its body.
type head struct {
	Request
	size int // of request line and headers with the empty line, in bytes
	body int // bytes, as announced
}

// parse reads the head of a request (RFC 9112). It accepts a part of what the standard
// allows, and nothing that it does not allow.
func parse(b []byte, h *head) verdict {
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		return unfinished(b)
	}
	*h = head{size: end + len(endOfHead), body: -1}
	line, rest, _ := bytes.Cut(b[:end+2], endOfHead[:2])
	if !h.requestLine(line) {
		return odd
	}
	h.Headers = rest
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, endOfHead[:2])
		if !h.header(line) {
			return odd
		}
	}
	if h.Host == nil {
		return odd
	}
	h.body = max(h.body, 0)
	return plain
}

// unfinished tells whether a head that has no end yet can still become a plain one.
func unfinished(b []byte) verdict {
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return incomplete
		}
		if i == 0 || rest[i-1] != '\r' {
			return odd
		}
		rest = rest[i+1:]
	}
}

func (h *head) requestLine(line []byte) bool {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, proto, _ := bytes.Cut(rest, []byte(" "))
	if len(method) == 0 || len(target) == 0 || target[0] != '/' || !bytes.Equal(proto, version) {
		return false
	}
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	h.Method, h.Target = method, target
	return string(method) != "HEAD" && string(method) != "CONNECT" && string(method) != "PRI"
}

// header takes one line, and refuses those that change how a message is framed in any
// way but the plainest.
func (h *head) header(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	name, value := line[:colon], trim(line[colon+1:])
	for _, c := range name {
		if !token[c] {
			return false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	switch len(name) {
	case len("host"):
		if fold(name, "host") {
			first := h.Host == nil
			h.Host = value
			return first && len(value) > 0
		}
	case len("content-length"):
		if fold(name, "content-length") {
			first := h.body < 0
			h.body = number(value)
			return first && h.body >= 0
		}
	case len("connection"):
		if fold(name, "connection") {
			h.Close = h.Close || fold(value, "close")
			return h.Close || fold(value, "keep-alive")
		}
		return !fold(name, "keep-alive")
	case len("expect"):
		return !fold(name, "expect")
	case len("upgrade"):
		return !fold(name, "upgrade") && !fold(name, "trailer")
	case len("transfer-encoding"):
		return !fold(name, "transfer-encoding")
	}
	return true
}

// token tells the bytes of a header's name (RFC 9110, 5.6.2).
var token = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return t
}()

// fold compares without case; lower is in lower case and has no @ [ \ ] ^ _.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// number reads a decimal number of at most ten digits; -1 if it is none.
func number(b []byte) int {
	if len(b) == 0 || len(b) > 10 {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
