// Package packed writes the events that function URLs make (payload format 2.0) so that
// taking them apart costs little: their strings lie one behind the other, after their
// lengths, and the names that are the same in each event are not there at all. Who takes
// an event makes of it what its handler expects: see link/PROTOCOL.md, "HTTP events".
package packed

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"
)

// The fixed part of a packed event, in bytes: flags, the time, how many strings of each
// kind there are, and how many bytes their lengths have.
const (
	flagsAt   = 0
	timeAt    = 1
	countsAt  = timeAt + 8
	lengthsAt = countsAt + 4*4
	fixed     = lengthsAt + 4
)

// Flags: what is true of most events, and lets them be read faster.
const (
	flagASCII = 1 << iota // all strings are ASCII
	flagApart             // there are no NULs but those that end the strings
)

// Kind is what a string of an event is. An event has its strings in this order: one of
// each of the first ones, any number of the others, of which all but the cookies come in
// pairs, name and value.
type Kind int

// The strings that each event has, as members of payload format 2.0.
const (
	RouteKey Kind = iota
	RawPath       // also requestContext.http.path
	RawQuery
	APIID // also domainPrefix
	DomainName
	Method
	Protocol
	SourceIP
	UserAgent
	Time // as text
	singles
)

// The strings of which there are as many as the request has.
const (
	Cookie Kind = iota + singles
	Header
	Query
	PathParameter
	kinds
)

// Builder builds packed events, one after another, in memory that it keeps.
type Builder struct {
	head    [fixed]byte
	lengths []byte
	text    []byte
	counts  [kinds - singles]uint32
	strings int // all of them
	begin   int // of the string that is being written, in text
	ascii   bool
}

// Reset begins an event of a request that came at now.
func (b *Builder) Reset(now time.Time) {
	b.lengths, b.text, b.counts = b.lengths[:0], b.text[:0], [kinds - singles]uint32{}
	b.strings, b.begin, b.ascii = 0, 0, true
	binary.LittleEndian.PutUint64(b.head[timeAt:], uint64(now.UnixMilli()))
}

// Add adds a string of one kind. The caller keeps to the order of kinds.
func (b *Builder) Add(k Kind, s []byte) {
	b.Write(s)
	b.End(k)
}

// AddString is Add for a string.
func (b *Builder) AddString(k Kind, s string) {
	begin := len(b.text)
	b.text = append(b.text, s...)
	if !IsASCII(b.text[begin:]) {
		b.text = b.text[:begin]
		b.mend(s)
	}
	b.End(k)
}

// Write adds a part of a string, which End ends. Bytes that are not UTF-8 become U+FFFD.
func (b *Builder) Write(s []byte) {
	if !IsASCII(s) {
		b.mend(string(s))
		return
	}
	b.text = append(b.text, s...)
}

// WriteText is Write for the text of a header: what is not UTF-8 is taken for
// ISO-8859-1, which HTTP headers once were.
func (b *Builder) WriteText(s []byte) {
	switch {
	case IsASCII(s):
		b.text = append(b.text, s...)
	case utf8.Valid(s):
		b.ascii = false
		b.text = append(b.text, s...)
	default:
		b.ascii = false
		for _, c := range s {
			b.text = utf8.AppendRune(b.text, rune(c))
		}
	}
}

// End ends a string of which all parts are written.
func (b *Builder) End(k Kind) {
	if n := len(b.text) - b.begin; n < 0x80 { // nearly all
		b.lengths = append(b.lengths, byte(n))
	} else {
		b.lengths = binary.AppendUvarint(b.lengths, uint64(n))
	}
	b.text = append(b.text, 0)
	b.strings++
	b.begin = len(b.text)
	if k >= singles {
		b.counts[k-singles]++
	}
}

// Buffer lends the text written so far, for appending to it; Wrote takes it back.
func (b *Builder) Buffer() []byte { return b.text }

// Wrote takes back what Buffer has lent, with a part of a string, ASCII, appended.
func (b *Builder) Wrote(text []byte) { b.text = text }

// mend adds what is not all ASCII, as UTF-8.
func (b *Builder) mend(s string) {
	b.ascii = false
	for _, r := range s { // one U+FFFD for each bad byte
		b.text = utf8.AppendRune(b.text, r)
	}
}

// AppendTo appends the event.
func (b *Builder) AppendTo(dst []byte) []byte {
	b.head[flagsAt] = 0
	if b.ascii {
		b.head[flagsAt] = flagASCII
	}
	if bytes.Count(b.text, []byte{0}) == b.strings {
		b.head[flagsAt] |= flagApart
	}
	for i, n := range b.counts {
		binary.LittleEndian.PutUint32(b.head[countsAt+4*i:], n)
	}
	binary.LittleEndian.PutUint32(b.head[lengthsAt:], uint32(len(b.lengths)))
	dst = append(dst, b.head[:]...)
	dst = append(dst, b.lengths...)
	return append(dst, b.text...)
}

// Size is how many bytes of memory the Builder holds on to.
func (b *Builder) Size() int { return cap(b.lengths) + cap(b.text) }

// IsASCII tells whether all of s is ASCII.
func IsASCII(s []byte) bool {
	const highs = 0x8080808080808080
	for len(s) >= 32 {
		some := binary.LittleEndian.Uint64(s) | binary.LittleEndian.Uint64(s[8:]) |
			binary.LittleEndian.Uint64(s[16:]) | binary.LittleEndian.Uint64(s[24:])
		if some&highs != 0 {
			return false
		}
		s = s[32:]
	}
	if len(s) >= 8 {
		last := binary.LittleEndian.Uint64(s[len(s)-8:])
		for len(s) >= 8 {
			last |= binary.LittleEndian.Uint64(s)
			s = s[8:]
		}
		return last&highs == 0
	}
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
