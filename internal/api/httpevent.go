package api

import (
	"bytes"
	"strconv"

	"hearth/internal/hearth"
	"hearth/internal/hearth/jsontext"
)

// lacksStatus tells whether a result is JSON without a statusCode. What else is wrong with
// one, writeAnswer finds.
func lacksStatus(payload []byte) bool {
	if !validJSON(payload) { // which readAnswer relies on
		return false
	}
	_, proxy := readAnswer(payload[skipSpace(payload, 0):])
	return !proxy
}

// buildEvent1 writes the event of payload format 1.0 into c.event (API Gateway's
// Lambda proxy integration for REST APIs), without its body, and how it is written into
// c.req.HTTP.
func (c *call) buildEvent1(in *eventInput, m *httpMatch) {
	names := rawNames(in.headers)
	c.readHeaders(in.headers)
	path := in.path
	if len(path) == 0 {
		path = []byte("/")
	}
	b := append(c.event[:0], `{"version":"1.0","resource":`...)
	b = jsontext.AppendQuotedString(b, m.Path)
	b = append(b, `,"path":`...)
	b = jsontext.AppendQuoted(b, path)
	b = append(b, `,"httpMethod":`...)
	b = jsontext.AppendQuoted(b, in.method)
	b = c.appendHeaders1(b, in, names)
	b = c.appendQuery1(b, in.query)
	b = c.appendParameters(b, m)
	b = append(b, `,"stageVariables":null`...)
	b = c.appendContext1(b, in, m, path)
	if len(in.body) == 0 {
		b = append(b, `,"body":null,"isBase64Encoded":false`...)
	}
	c.event = append(b, '}')
	c.req.HTTP = hearth.HTTPEvent{Form: hearth.EventJSON, Kind: textKind(in.body), Body: in.body}
}

// separated appends open before the first element and a comma before the others.
func separated(b []byte, first *bool, open string) []byte {
	if *first {
		*first = false
		return append(b, open...)
	}
	return append(b, ',')
}

// rawNames are the names of headers as they were sent, in the order of readHeaders,
// which turns them to lower case where they stand.
func rawNames(raw []byte) []string {
	var names []string
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names
}

// appendHeaders1 appends headers, where the last value of a name counts, and
// multiValueHeaders.
func (c *call) appendHeaders1(b []byte, in *eventInput, names []string) []byte {
	from := in.remote.String()
	if before := c.header("x-forwarded-for"); before != nil {
		from = string(before) + ", " + from
	}
	forwarded := [][2]string{{"X-Forwarded-For", from}, {"X-Forwarded-Port", string(portOf(in.host, in.secure))},
		{"X-Forwarded-Proto", scheme(in.secure)}, {"X-Forwarded-Prefix", string(in.prefix)}}
	each := func(open string, write func(b []byte, i int) []byte, own func(b []byte, value string) []byte) {
		b = append(b, open...)
		first := true
		for i := range c.headers {
			h := &c.headers[i]
			if h.chained || isHopByHop(h.name) || isForwarded(h.name) {
				continue
			}
			b = separated(b, &first, "")
			b = append(appendText(b, []byte(names[i])), ':')
			b = write(b, i)
		}
		for _, h := range forwarded {
			b = separated(b, &first, "")
			b = append(appendText(b, []byte(h[0])), ':')
			b = own(b, h[1])
		}
		b = append(b, '}')
	}
	each(`,"headers":{`, func(b []byte, i int) []byte {
		for c.headers[i].next != 0 {
			i = c.headers[i].next
		}
		return appendText(b, c.headers[i].value)
	}, func(b []byte, value string) []byte { return appendText(b, []byte(value)) })
	each(`,"multiValueHeaders":{`, func(b []byte, i int) []byte {
		b = appendText(append(b, '['), c.headers[i].value)
		for i = c.headers[i].next; i != 0; i = c.headers[i].next {
			b = appendText(append(b, ','), c.headers[i].value)
		}
		return append(b, ']')
	}, func(b []byte, value string) []byte { return append(appendText(append(b, '['), []byte(value)), ']') })
	return b
}

// appendQuery1 appends the query's members: null when there is none.
func (c *call) appendQuery1(b []byte, query []byte) []byte {
	c.readQuery(query)
	if len(c.pairs) == 0 {
		return append(b, `,"queryStringParameters":null,"multiValueQueryStringParameters":null`...)
	}
	b = append(b, `,"queryStringParameters":{`...)
	first := true
	for i := range c.pairs {
		if c.pairs[i].chained {
			continue
		}
		last := i
		for c.pairs[last].next != 0 {
			last = c.pairs[last].next
		}
		b = separated(b, &first, "")
		b = append(jsontext.AppendQuoted(b, c.pairs[i].name), ':')
		b = jsontext.AppendQuoted(b, c.pairs[last].value)
	}
	b = append(b, `},"multiValueQueryStringParameters":{`...)
	first = true
	for i := range c.pairs {
		if c.pairs[i].chained {
			continue
		}
		b = separated(b, &first, "")
		b = append(jsontext.AppendQuoted(b, c.pairs[i].name), ':', '[')
		b = jsontext.AppendQuoted(b, c.pairs[i].value)
		for j := c.pairs[i].next; j != 0; j = c.pairs[j].next {
			b = jsontext.AppendQuoted(append(b, ','), c.pairs[j].value)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendParameters appends pathParameters; where there are none, null or nothing.
func (c *call) appendParameters(b []byte, m *httpMatch) []byte {
	if len(m.values) == 0 {
		return append(b, `,"pathParameters":null`...)
	}
	first := true
	for i, value := range m.values {
		b = separated(b, &first, `,"pathParameters":{`)
		b = append(jsontext.AppendQuotedString(b, m.names[i]), ':')
		b = jsontext.AppendQuoted(b, appendUnescaped(nil, []byte(value), false))
	}
	return append(b, '}')
}

func (c *call) appendContext1(b []byte, in *eventInput, m *httpMatch, path []byte) []byte {
	str := func(name string, value []byte) {
		b = append(append(append(b, ',', '"'), name...), '"', ':')
		b = appendText(b, value)
	}
	b = append(b, `,"requestContext":{"accountId":"`...)
	b = append(b, hearth.DefaultAccount...)
	b = append(b, '"')
	str("apiId", []byte(m.Service))
	str("domainName", bareHost(in.host))
	str("domainPrefix", []byte(m.Service))
	str("extendedRequestId", []byte(in.requestID))
	str("httpMethod", in.method)
	b = append(b, `,"identity":{"accessKey":null,"accountId":null,"caller":null,"cognitoAuthenticationProvider":null,`+
		`"cognitoAuthenticationType":null,"cognitoIdentityId":null,"cognitoIdentityPoolId":null,"principalOrgId":null,"sourceIp":"`...)
	b = in.remote.AppendTo(b)
	b = append(b, `","user":null`...)
	str("userAgent", c.header("user-agent"))
	b = append(b, `,"userArn":null},"path":`...)
	b = jsontext.AppendQuoted(b, append(append([]byte("/"), m.Stage...), path...))
	str("protocol", in.protocol)
	str("requestId", []byte(in.requestID))
	b = append(b, `,"requestTime":"`...)
	b = append(b, stampOf(in.now).event...)
	b = append(b, `","requestTimeEpoch":`...)
	b = strconv.AppendInt(b, in.now.UnixMilli(), 10)
	str("resourceId", []byte(m.key))
	str("resourcePath", []byte(m.Path))
	str("stage", []byte(m.Stage))
	return append(b, '}')
}

// bareHost is a host without its port.
func bareHost(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		return host[:i]
	}
	return host
}
