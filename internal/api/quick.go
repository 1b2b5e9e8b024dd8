package api

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
)

// What this file does for most answers of the hot paths, fasthttp.Response does for all:
// the same bytes, with more steps. A test compares the two.

// mostHeaders is with how many headers of its own an answer still counts as usual.
const mostHeaders = 16

var mediaJSON = []byte(typeJSON)

// quickResult answers an Invoke, unless there is something to say that few answers say.
func (h *hot) quickResult(result *hearth.Result) bool {
	if result.FunctionError != "" || result.Instance == "" {
		return false
	}
	h.trim()
	h.out = appendResultHead(h.out[:0], h.id, result, h.x.Now())
	h.sendQuick(fasthttp.StatusOK, result.Payload)
	return true
}

// quickURL answers a request to a function URL, unless the result is unusual.
func (h *hot) quickURL(result *hearth.Result) bool {
	if result.FunctionError != "" || result.Stream != nil || result.Instance == "" {
		return false
	}
	h.trim()
	out, status, body, ok := h.call.quickAnswer(h.out[:0], result.Payload, result.Body, h.x.Now())
	if h.out = out; !ok {
		return false
	}
	h.out = appendInstance(appendHeader(h.out, "X-Amzn-Requestid", h.id), result)
	h.sendQuick(status, body)
	return true
}

// sendQuick ends the head and sends the answer.
func (h *hot) sendQuick(status int, body []byte) {
	closing := h.x.Closing()
	if closing {
		h.out = appendHeader(h.out, "Connection", "close")
	}
	h.out = append(h.out, "\r\n"...)
	h.logged(status)
	if len(body) <= joinBytes {
		h.out, body = append(h.out, body...), nil
	}
	h.x.Answer(h.out, body, closing)
}

// appendResultHead appends the head of the answer to an Invoke.
func appendResultHead(dst []byte, id string, result *hearth.Result, now time.Time) []byte {
	dst = appendHead(dst, fasthttp.StatusOK, mediaJSON, len(result.Payload), now)
	dst = appendHeader(dst, "X-Amzn-Requestid", id)
	version := result.Version
	if version == "" {
		version = hearth.Latest
	}
	dst = appendHeader(dst, "X-Amz-Executed-Version", version)
	return appendInstance(dst, result)
}

// appendInstance tells which instance has served.
func appendInstance(dst []byte, result *hearth.Result) []byte {
	dst = appendHeader(dst, "X-Hearth-Instance", result.Instance)
	dst = append(dst, "X-Hearth-Invocation: "...)
	dst = append(strconv.AppendUint(dst, result.Seq, 10), "\r\n"...)
	if result.Cold {
		dst = appendHeader(dst, "X-Hearth-Cold", "1")
	}
	return dst
}

// quickAnswer appends the head of the answer that a result stands for, as far as the
// result says it, and gives its status and body. ok is false for what is unusual or wrong.
func (c *call) quickAnswer(dst, payload, beside []byte, now time.Time) (out []byte, status int, body []byte, ok bool) {
	if !validJSON(payload) {
		return dst, 0, nil, false
	}
	c.scratch = c.scratch[:0]
	value := payload[skipSpace(payload, 0):]
	a, proxy := readAnswer(value)
	if !proxy {
		if body = payload; value[0] == '"' {
			body = unquoted(value[:skipString(value, 0)], &c.scratch)
		}
		return appendHead(dst, fasthttp.StatusOK, mediaJSON, len(body), now), fasthttp.StatusOK, body, true
	}
	status, ok = a.usualStatus()
	if !ok || a.multi != nil || a.cookies != nil || a.encoded != nil && string(a.encoded) != "false" {
		return dst, 0, nil, false
	}
	switch {
	case a.body == nil:
	case a.body[0] != '"':
		return dst, 0, nil, false
	case beside != nil:
		body = beside
	default:
		if body = a.body[1 : len(a.body)-1]; bytes.IndexByte(body, '\\') >= 0 {
			body = unquoted(a.body, &c.scratch)
		}
	}
	kind, ok := c.usualHeaders(a.headers)
	if !ok {
		return dst, 0, nil, false
	}
	dst = appendHead(dst, status, kind, len(body), now)
	for i := range c.pairs {
		dst = append(appendCanonical(dst, c.pairs[i].name), ": "...)
		dst = append(append(dst, c.pairs[i].value...), "\r\n"...)
	}
	return dst, status, body, true
}

// usualStatus reads a status of three digits that has a body.
func (a *answer) usualStatus() (int, bool) {
	if len(a.status) != 3 {
		return 0, false
	}
	n := 0
	for _, c := range a.status {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n >= 200 && n <= 599 && !bodiless(n)
}

// usualHeaders fills c.pairs with an answer's headers, if they all mean what they say,
// and gives the media type, which is not among them.
func (c *call) usualHeaders(object []byte) (kind []byte, ok bool) {
	c.pairs = c.pairs[:0]
	kind = mediaJSON
	if object == nil {
		return kind, true
	}
	if object[0] != '{' {
		return nil, false
	}
	members := elementsOf(object)
	for {
		key, value, more := members.next()
		if !more {
			return kind, true
		}
		if len(c.pairs) == mostHeaders || value[0] != '"' {
			return nil, false
		}
		key, value = key[1:len(key)-1], value[1:len(value)-1]
		switch {
		case !isToken(key) || isSpecial(key) || !isBare(value):
			return nil, false
		case !equalFold(key, "content-type"):
			for i := range c.pairs {
				if bytes.EqualFold(c.pairs[i].name, key) {
					return nil, false
				}
			}
			c.pairs = append(c.pairs, entry{name: key, value: value})
		case len(value) == 0:
			return nil, false
		default:
			kind = value // the last one counts
		}
	}
}

// isSpecial tells the headers that are not simply passed on.
func isSpecial(name []byte) bool {
	switch name[0] | 0x20 {
	case 'c', 'k', 'p', 't', 'u':
		return isFraming(name) || equalFold(name, "content-encoding")
	case 'd':
		return equalFold(name, "date")
	case 's':
		return equalFold(name, "server") || equalFold(name, "set-cookie")
	case 'x': // the platform's own
		return equalFold(name, "x-amzn-requestid") || len(name) > len("x-hearth-") && equalFold(name[:len("x-hearth-")], "x-hearth-")
	}
	return false
}

// isBare tells whether the text of a string stands for itself, in printable ASCII.
func isBare(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// appendHead appends the beginning of a head: what all answers have.
func appendHead(dst []byte, status int, kind []byte, length int, now time.Time) []byte {
	if status == fasthttp.StatusOK {
		dst = append(dst, "HTTP/1.1 200 OK\r\nDate: "...)
	} else {
		dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
		dst = append(append(append(dst, ' '), fasthttp.StatusMessage(status)...), "\r\nDate: "...)
	}
	dst = append(append(dst, stampOf(now).date...), "\r\nContent-Type: "...)
	dst = append(append(dst, kind...), "\r\nContent-Length: "...)
	return append(strconv.AppendInt(dst, int64(length), 10), "\r\n"...)
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// appendCanonical appends a header's name as such names are usually written.
func appendCanonical(dst, name []byte) []byte {
	first := true
	for _, c := range name {
		switch {
		case first && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case !first && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		first = c == '-'
		dst = append(dst, c)
	}
	return dst
}
