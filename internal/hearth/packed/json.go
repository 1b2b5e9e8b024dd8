package packed

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"

	"hearth/internal/hearth"
	"hearth/internal/hearth/jsontext"
)

// ErrMalformed says that bytes are no packed event.
var ErrMalformed = errors.New("not a packed event")

// reader takes a packed event apart.
type reader struct {
	lengths []byte
	text    []byte
	counts  [kinds - singles]int // of strings
}

// open finds the lengths and the strings. Each has been looked at once then, and what
// next gives lies within the event.
func open(event []byte) (r reader, milliseconds int64, err error) {
	if len(event) < fixed || event[flagsAt]&^(flagASCII|flagApart) != 0 {
		return r, 0, ErrMalformed
	}
	rest := event[fixed:]
	strings := uint64(singles)
	for i := range r.counts {
		n := binary.LittleEndian.Uint32(event[countsAt+4*i:])
		if strings += uint64(n); strings > uint64(len(rest)) { // each has a length of a byte at least
			return r, 0, ErrMalformed
		}
		r.counts[i] = int(n)
	}
	at, total := 0, strings // each has a byte behind it
	for range strings {
		length, n := binary.Uvarint(rest[at:])
		if n <= 0 || length > uint64(len(rest)) {
			return r, 0, ErrMalformed
		}
		at += n
		total += length
	}
	if total != uint64(len(rest)-at) || uint64(at) != uint64(binary.LittleEndian.Uint32(event[lengthsAt:])) {
		return r, 0, ErrMalformed
	}
	for _, k := range [...]Kind{Header, Query, PathParameter} {
		if r.counts[k-singles]%2 != 0 {
			return r, 0, ErrMalformed
		}
	}
	r.lengths, r.text = rest[:at], rest[at:]
	return r, int64(binary.LittleEndian.Uint64(event[timeAt:])), nil
}

func (r *reader) next() []byte {
	length, n := binary.Uvarint(r.lengths)
	s := r.text[:length]
	r.lengths, r.text = r.lengths[n:], r.text[length+1:]
	return s
}

// Whole is the event of an HTTP request as JSON, with its body.
func Whole(payload []byte, e hearth.HTTPEvent, requestID string) ([]byte, error) {
	b := make([]byte, 0, 2*len(payload)+len(e.Body)/2*3+256)
	if e.Form == hearth.EventJSON {
		b = append(b, payload...)
		if e.Kind == hearth.BodyNone {
			return b, nil
		}
		if len(b) == 0 || b[len(b)-1] != '}' {
			return nil, ErrMalformed
		}
		b = b[:len(b)-1]
	} else {
		var err error
		if b, err = AppendJSON(b, payload, requestID); err != nil {
			return nil, err
		}
	}
	switch e.Kind {
	case hearth.BodyNone:
		return append(b, `,"isBase64Encoded":false}`...), nil
	case hearth.BodyBinary:
		b = append(b, `,"body":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Body)
		return append(b, `","isBase64Encoded":true}`...), nil
	}
	b = jsontext.AppendQuoted(append(b, `,"body":`...), e.Body)
	return append(b, `,"isBase64Encoded":false}`...), nil
}

// AppendJSON appends a packed event as JSON, but for its end: the body's members and the
// closing brace are still missing. requestID is the invocation's.
func AppendJSON(b, event []byte, requestID string) ([]byte, error) {
	r, milliseconds, err := open(event)
	if err != nil {
		return b, err
	}
	var s [singles][]byte
	for i := range s {
		s[i] = r.next()
	}
	str := func(before string, text []byte) {
		b = jsontext.AppendQuoted(append(b, before...), text)
	}
	str(`{"version":"2.0","routeKey":`, s[RouteKey])
	str(`,"rawPath":`, s[RawPath])
	str(`,"rawQueryString":`, s[RawQuery])
	for i := range r.counts[Cookie-singles] {
		before := ","
		if i == 0 {
			before = `,"cookies":[`
		}
		str(before, r.next())
	}
	if r.counts[Cookie-singles] > 0 {
		b = append(b, ']')
	}
	b = r.appendPairs(append(b, `,"headers":`...), Header)
	if r.counts[Query-singles] > 0 {
		b = r.appendPairs(append(b, `,"queryStringParameters":`...), Query)
	}
	if r.counts[PathParameter-singles] > 0 {
		b = r.appendPairs(append(b, `,"pathParameters":`...), PathParameter)
	}
	str(`,"requestContext":{"accountId":"anonymous","apiId":`, s[APIID])
	str(`,"domainName":`, s[DomainName])
	str(`,"domainPrefix":`, s[APIID])
	str(`,"http":{"method":`, s[Method])
	str(`,"path":`, s[RawPath])
	str(`,"protocol":`, s[Protocol])
	str(`,"sourceIp":`, s[SourceIP])
	str(`,"userAgent":`, s[UserAgent])
	str(`},"requestId":`, []byte(requestID))
	str(`,"routeKey":`, s[RouteKey])
	str(`,"stage":"$default","time":`, s[Time])
	b = strconv.AppendInt(append(b, `,"timeEpoch":`...), milliseconds, 10)
	return append(b, '}'), nil
}

// appendPairs appends an object of the strings of one kind.
func (r *reader) appendPairs(b []byte, k Kind) []byte {
	open := byte('{')
	for range r.counts[k-singles] / 2 {
		b = jsontext.AppendQuoted(append(b, open), r.next())
		b = jsontext.AppendQuoted(append(b, ':'), r.next())
		open = ','
	}
	if open == '{' {
		b = append(b, open)
	}
	return append(b, '}')
}
