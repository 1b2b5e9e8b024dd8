package api

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth"
)

// eventInput is a request to a function URL, as it was sent.
type eventInput struct {
	name      string // of the function
	prefix    []byte // what stood before path, "" when the host named the function
	method    []byte
	path      []byte // without prefix, not normalised
	query     []byte
	protocol  []byte
	host      []byte
	remote    netip.Addr
	headers   []byte // raw lines
	body      []byte
	requestID string
	now       time.Time
	secure    bool       // it came over TLS
	route     *httpMatch // the declared path that it came by; nil for a function URL
}

// routeKey is what the event says it came by.
func (in *eventInput) routeKey() string {
	if in.route == nil {
		return hearth.DefaultPath
	}
	return in.route.key
}

// buildEvent writes the event of payload format 2.0 into c.event (Lambda API). It
// turns the header names in in.headers to lower case where they stand.
func (c *call) buildEvent(in *eventInput) {
	c.readHeaders(in.headers)
	path := in.path
	if len(path) == 0 {
		path = []byte("/")
	}
	b := append(c.event[:0], `{"version":"2.0","routeKey":"`...)
	b = append(b, in.routeKey()...) // nothing in it needs quoting
	b = append(b, `","rawPath":`...)
	b = appendQuoted(b, path)
	b = append(b, `,"rawQueryString":`...)
	b = appendQuoted(b, in.query)
	b = c.appendCookies(b)
	b = c.appendHeaders(b, in)
	b = c.appendQuery(b, in.query)
	b = c.appendParameters(b, in.route, false)
	b = c.appendContext(b, in, path)
	c.event = append(appendBody(b, in.body, c.header("content-type")), '}')
}

// readHeaders fills c.headers from raw lines.
func (c *call) readHeaders(raw []byte) {
	c.headers = c.headers[:0]
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			continue
		}
		lowerASCII(name)
		c.headers = append(c.headers, entry{name: name, value: trimBlank(value)})
	}
	chain(c.headers)
}

// header is the first value of a header, nil when there is none.
func (c *call) header(name string) []byte {
	for i := range c.headers {
		if string(c.headers[i].name) == name {
			return c.headers[i].value
		}
	}
	return nil
}

func (c *call) appendCookies(b []byte) []byte {
	first := true
	for i := range c.headers {
		if string(c.headers[i].name) != "cookie" {
			continue
		}
		for rest := c.headers[i].value; len(rest) > 0; {
			var cookie []byte
			cookie, rest, _ = bytes.Cut(rest, []byte(";"))
			if cookie = bytes.TrimSpace(cookie); len(cookie) == 0 {
				continue
			}
			b = separated(b, &first, `,"cookies":[`)
			b = appendText(b, cookie)
		}
	}
	if !first {
		b = append(b, ']')
	}
	return b
}

// separated appends open before the first element and a comma before the others.
func separated(b []byte, first *bool, open string) []byte {
	if *first {
		*first = false
		return append(b, open...)
	}
	return append(b, ',')
}

func (c *call) appendHeaders(b []byte, in *eventInput) []byte {
	b = append(b, `,"headers":{`...)
	first, proto := true, false
	for i := range c.headers {
		h := &c.headers[i]
		if h.chained || string(h.name) == "cookie" || isHopByHop(h.name) || isForwarded(h.name) {
			continue
		}
		proto = proto || string(h.name) == "x-forwarded-proto"
		b = separated(b, &first, "")
		b = append(appendText(b, h.name), ':')
		b = c.appendJoined(b, i)
	}
	b = separated(b, &first, "")
	b = append(b, `"x-forwarded-for":"`...)
	for i := range c.headers {
		if string(c.headers[i].name) == "x-forwarded-for" {
			b = appendTextInside(b, c.headers[i].value)
			b = append(b, ", "...)
		}
	}
	b = in.remote.AppendTo(b)
	b = append(b, `","x-forwarded-port":"`...)
	b = appendTextInside(b, portOf(in.host, in.secure))
	b = append(b, '"')
	if !proto {
		b = append(b, `,"x-forwarded-proto":"`...)
		b = append(append(b, scheme(in.secure)...), '"')
	}
	if len(in.prefix) > 0 {
		b = append(b, `,"x-forwarded-prefix":`...)
		b = appendText(b, in.prefix)
	}
	return append(b, '}')
}

// appendJoined appends the values of the chain that begins at i, with commas between.
func (c *call) appendJoined(b []byte, i int) []byte {
	b = append(b, '"')
	b = appendTextInside(b, c.headers[i].value)
	for i = c.headers[i].next; i != 0; i = c.headers[i].next {
		b = append(b, ',')
		b = appendTextInside(b, c.headers[i].value)
	}
	return append(b, '"')
}

func (c *call) appendQuery(b []byte, query []byte) []byte {
	c.readQuery(query)
	if len(c.pairs) == 0 {
		return b
	}
	first := true
	for i := range c.pairs {
		if c.pairs[i].chained {
			continue
		}
		b = separated(b, &first, `,"queryStringParameters":{`)
		b = appendQuoted(b, c.pairs[i].name)
		b = append(b, ':', '"')
		b = appendInside(b, c.pairs[i].value)
		for j := c.pairs[i].next; j != 0; j = c.pairs[j].next {
			b = append(b, ',')
			b = appendInside(b, c.pairs[j].value)
		}
		b = append(b, '"')
	}
	return append(b, '}')
}

// readQuery fills c.pairs, decoded into c.scratch.
func (c *call) readQuery(query []byte) {
	c.pairs = c.pairs[:0]
	if cap(c.scratch) < len(query) { // so that it does not move: pairs point into it
		c.scratch = make([]byte, 0, len(query))
	}
	c.scratch = c.scratch[:0]
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if len(pair) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(pair, []byte("="))
		c.pairs = append(c.pairs, entry{name: c.decode(key), value: c.decode(value)})
	}
	chain(c.pairs)
}

func (c *call) decode(s []byte) []byte {
	begin := len(c.scratch)
	c.scratch = appendUnescaped(c.scratch, s, true)
	return c.scratch[begin:]
}

func (c *call) appendContext(b []byte, in *eventInput, path []byte) []byte {
	host := bareHost(in.host)
	b = append(b, `,"requestContext":{"accountId":"anonymous","apiId":`...)
	b = appendQuotedString(b, in.name)
	b = append(b, `,"domainName":`...)
	b = appendText(b, host)
	b = append(b, `,"domainPrefix":`...)
	b = appendQuotedString(b, in.name)
	b = append(b, `,"http":{"method":`...)
	b = appendQuoted(b, in.method)
	b = append(b, `,"path":`...)
	b = appendQuoted(b, path)
	b = append(b, `,"protocol":`...)
	b = appendQuoted(b, in.protocol)
	b = append(b, `,"sourceIp":"`...)
	b = in.remote.AppendTo(b)
	b = append(b, `","userAgent":`...)
	b = appendText(b, c.header("user-agent"))
	b = append(b, `},"requestId":`...)
	b = appendQuotedString(b, in.requestID)
	b = append(b, `,"routeKey":"`...)
	b = append(b, in.routeKey()...)
	b = append(b, `","stage":"$default","time":"`...)
	b = in.now.UTC().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `","timeEpoch":`...)
	b = strconv.AppendInt(b, in.now.UnixMilli(), 10)
	return append(b, '}')
}

// appendBody appends the body, as text if its type says so and it is UTF-8, else in
// base64. A request without a body has no such member (recorded behaviour).
func appendBody(b, body, contentType []byte) []byte {
	switch {
	case len(body) == 0:
		return append(b, `,"isBase64Encoded":false`...)
	case isText(contentType) && utf8.Valid(body):
		b = append(b, `,"body":`...)
		b = appendQuoted(b, body)
		return append(b, `,"isBase64Encoded":false`...)
	}
	b = append(b, `,"body":"`...)
	b = base64.StdEncoding.AppendEncode(b, body)
	return append(b, `","isBase64Encoded":true`...)
}
