package logs

import (
	"encoding/binary"
	"errors"
	"time"

	"hearth/internal/hearth"
)

// kind of a record. The numbers are on disk: never change one.
type kind uint8

const (
	kindStart    kind = 1
	kindStdout   kind = 2
	kindStderr   kind = 3
	kindPlatform kind = 4
	kindFinish   kind = 5 // END and REPORT
	kindGap      kind = 6 // lines that were dropped before they could be kept
)

// record is one entry of a journal; a finish stands for two. Its form in bytes,
// little-endian:
//
//	u32 size of the rest · u8 kind · u64 seq · i64 time (Unix ns)
//	u8 size, instance · u8 size, request id
//	start: version · lines: text · gap: u64 count
//	finish: i64 duration ns · i64 init ns · u32 MB · u32 peak MB · status
type record struct {
	kind     kind
	seq      uint64
	time     int64
	instance string
	request  string
	word     string // version, or status
	text     []byte
	report   hearth.Report
	count    uint64
}

const (
	headSize   = 4
	fixedSize  = 1 + 8 + 8 + 1 + 1
	reportSize = 8 + 8 + 4 + 4
)

// size is the length of the record in bytes. Instance and request must be clipped.
func (r *record) size() int {
	n := headSize + fixedSize + len(r.instance) + len(r.request) + len(r.word) + len(r.text)
	switch r.kind {
	case kindFinish:
		n += reportSize
	case kindGap:
		n += 8
	}
	return n
}

// entries is how many lines, and sequence numbers, it stands for.
func (r *record) entries() uint64 {
	switch r.kind {
	case kindFinish:
		return 2
	case kindGap:
		return r.count
	}
	return 1
}

func (r *record) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(r.size()-headSize))
	b = append(b, byte(r.kind))
	b = le.AppendUint64(b, r.seq)
	b = le.AppendUint64(b, uint64(r.time))
	b = append(b, byte(len(r.instance)))
	b = append(b, r.instance...)
	b = append(b, byte(len(r.request)))
	b = append(b, r.request...)
	switch r.kind {
	case kindFinish:
		b = le.AppendUint64(b, uint64(r.report.Duration))
		b = le.AppendUint64(b, uint64(r.report.Init))
		b = le.AppendUint32(b, uint32(r.report.MemoryMB))
		b = le.AppendUint32(b, uint32(r.report.MaxMemoryMB))
	case kindGap:
		b = le.AppendUint64(b, r.count)
	}
	b = append(b, r.word...)
	return append(b, r.text...)
}

var errCorrupt = errors.New("log record is corrupt")

// view is a record as it lies in a buffer: nothing is copied.
type view struct {
	kind     kind
	seq      uint64
	time     int64
	instance []byte
	request  []byte
	rest     []byte
}

// next parses the first record of b and returns what follows it.
func next(b []byte) (v view, rest []byte, err error) {
	le := binary.LittleEndian
	if len(b) < headSize {
		return v, nil, errCorrupt
	}
	size := int(le.Uint32(b))
	if size < fixedSize || size > len(b)-headSize {
		return v, nil, errCorrupt
	}
	body, rest := b[headSize:headSize+size], b[headSize+size:]
	v.kind, v.seq, v.time = kind(body[0]), le.Uint64(body[1:]), int64(le.Uint64(body[9:]))
	body = body[17:]
	var ok bool
	if v.instance, body, ok = short(body); !ok {
		return v, nil, errCorrupt
	}
	if v.request, body, ok = short(body); !ok {
		return v, nil, errCorrupt
	}
	v.rest = body
	switch {
	case v.kind < kindStart || v.kind > kindGap,
		v.kind == kindFinish && len(body) < reportSize,
		v.kind == kindGap && len(body) != 8:
		return v, nil, errCorrupt
	}
	return v, rest, nil
}

// short splits a string with a one-byte size from b.
func short(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// entries makes the lines that the record stands for and passes them on.
func (v *view) entries(function string, emit func(hearth.LogEntry)) {
	e := hearth.LogEntry{
		Seq:      v.seq,
		Time:     time.Unix(0, v.time).UTC(),
		Function: function,
		Instance: string(v.instance),
		Request:  string(v.request),
	}
	switch v.kind {
	case kindStart:
		e.Kind, e.Text = hearth.LogStart, startLine(e.Request, string(v.rest))
	case kindStdout:
		e.Kind, e.Text = hearth.LogStdout, string(v.rest)
	case kindStderr:
		e.Kind, e.Text = hearth.LogStderr, string(v.rest)
	case kindPlatform:
		e.Kind, e.Text = hearth.LogPlatform, string(v.rest)
	case kindFinish:
		e.Kind, e.Text = hearth.LogEnd, endLine(e.Request)
		emit(e)
		report, status := v.report()
		e.Seq++
		e.Kind, e.Text = hearth.LogReport, ReportLine(e.Request, report, status)
	case kindGap:
		e.Kind, e.Text = hearth.LogPlatform, droppedLine(v.count())
	}
	emit(e)
}

func (v *view) count() uint64 { return binary.LittleEndian.Uint64(v.rest) }

func (v *view) report() (r hearth.Report, status string) {
	le := binary.LittleEndian
	r.Duration = time.Duration(le.Uint64(v.rest))
	r.Init = time.Duration(le.Uint64(v.rest[8:]))
	r.MemoryMB = int(le.Uint32(v.rest[16:]))
	r.MaxMemoryMB = int(le.Uint32(v.rest[20:]))
	return r, string(v.rest[reportSize:])
}
