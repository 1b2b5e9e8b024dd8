package api

import (
	"bytes"
	"net/netip"
	"time"
	"unicode/utf8"

	"hearth/internal/hearth"
	"hearth/internal/hearth/packed"
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

// buildEvent writes the event of payload format 2.0 (Lambda API), packed and without its
// body, into c.event, and how it is written into c.req.HTTP. It turns the header names in
// in.headers to lower case where they stand.
func (c *call) buildEvent(in *eventInput) {
	c.readHeaders(in.headers)
	path := in.path
	if len(path) == 0 {
		path = []byte("/")
	}
	p := &c.packing
	p.Reset(in.now)
	p.AddString(packed.RouteKey, in.routeKey())
	p.Add(packed.RawPath, path)
	p.Add(packed.RawQuery, in.query)
	p.AddString(packed.APIID, in.name)
	p.WriteText(bareHost(in.host))
	p.End(packed.DomainName)
	p.Add(packed.Method, in.method)
	p.Add(packed.Protocol, in.protocol)
	p.Wrote(in.remote.AppendTo(p.Buffer()))
	p.End(packed.SourceIP)
	p.WriteText(c.header("user-agent"))
	p.End(packed.UserAgent)
	p.AddString(packed.Time, stampOf(in.now).event)
	c.packCookies()
	c.packHeaders(in)
	c.packQuery(in.query)
	c.packParameters(in.route)
	c.event = p.AppendTo(c.event[:0])
	c.req.HTTP = hearth.HTTPEvent{Form: hearth.EventPacked, Kind: c.bodyKind(in.body), Body: in.body}
}

// bodyKind: a body is text if its type says so and it is UTF-8, else binary. A request
// without a body has no such member (recorded behaviour).
func (c *call) bodyKind(body []byte) hearth.BodyKind {
	switch {
	case len(body) == 0:
		return hearth.BodyNone
	case !isText(c.header("content-type")):
		return hearth.BodyBinary
	}
	return textKind(body)
}

// textKind is the kind of a body that is text if it is UTF-8.
func textKind(body []byte) hearth.BodyKind {
	switch {
	case len(body) == 0:
		return hearth.BodyNone
	case packed.IsASCII(body):
		return hearth.BodyASCII
	case utf8.Valid(body):
		return hearth.BodyText
	}
	return hearth.BodyBinary
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

func (c *call) packCookies() {
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
			c.packing.WriteText(cookie)
			c.packing.End(packed.Cookie)
		}
	}
}

func (c *call) packHeaders(in *eventInput) {
	p, proto := &c.packing, false
	for i := range c.headers {
		h := &c.headers[i]
		if h.chained || string(h.name) == "cookie" || isHopByHop(h.name) || isForwarded(h.name) {
			continue
		}
		proto = proto || string(h.name) == "x-forwarded-proto"
		p.WriteText(h.name)
		p.End(packed.Header)
		p.WriteText(h.value)
		for j := h.next; j != 0; j = c.headers[j].next {
			p.Write(comma)
			p.WriteText(c.headers[j].value)
		}
		p.End(packed.Header)
	}
	p.AddString(packed.Header, "x-forwarded-for")
	for i := range c.headers {
		if string(c.headers[i].name) == "x-forwarded-for" {
			p.WriteText(c.headers[i].value)
			p.Write([]byte(", "))
		}
	}
	p.Wrote(in.remote.AppendTo(p.Buffer()))
	p.End(packed.Header)
	p.AddString(packed.Header, "x-forwarded-port")
	p.WriteText(portOf(in.host, in.secure))
	p.End(packed.Header)
	if !proto {
		p.AddString(packed.Header, "x-forwarded-proto")
		p.AddString(packed.Header, scheme(in.secure))
	}
	if len(in.prefix) > 0 {
		p.AddString(packed.Header, "x-forwarded-prefix")
		p.WriteText(in.prefix)
		p.End(packed.Header)
	}
}

var comma = []byte(",")

func (c *call) packQuery(query []byte) {
	c.readQuery(query)
	p := &c.packing
	for i := range c.pairs {
		pair := &c.pairs[i]
		if pair.chained {
			continue
		}
		p.Add(packed.Query, pair.name)
		p.Write(pair.value)
		for j := pair.next; j != 0; j = c.pairs[j].next {
			p.Write(comma)
			p.Write(c.pairs[j].value)
		}
		p.End(packed.Query)
	}
}

func (c *call) packParameters(m *httpMatch) {
	if m == nil {
		return
	}
	for i, value := range m.values {
		c.packing.AddString(packed.PathParameter, m.names[i])
		c.packing.Add(packed.PathParameter, appendUnescaped(nil, []byte(value), false))
	}
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
