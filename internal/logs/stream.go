package logs

import (
	"bytes"
	"io"
	"time"

	"hearth/internal/hearth"
)

// MaxLineBytes is where longer lines are cut; a marker shows it (CloudWatch's limit of
// an event).
const MaxLineBytes = 256 << 10

const cutMarker = " … line cut at 256 KB"

// Stream is the log of one instance. Its methods may be called from many goroutines;
// none of them blocks but for its function's lock, and none keeps its arguments.
type Stream struct {
	journal  *journal
	instance string
}

// Start notes that an invocation of the version has begun.
func (s *Stream) Start(t time.Time, requestID, version string) {
	s.journal.append(&record{kind: kindStart, time: t.UnixNano(), instance: s.instance, request: clip(requestID), word: version})
}

// Line notes what a handler wrote to standard output (fd 1) or standard error (fd 2):
// whole lines; a newline at the end may be missing. The request id is empty for what
// belongs to no invocation.
func (s *Stream) Line(t time.Time, requestID string, fd int, text []byte) {
	k := kindStdout
	if fd == 2 {
		k = kindStderr
	}
	s.lines(t, k, clip(requestID), text)
}

// Platform notes Hearth's own words about the instance.
func (s *Stream) Platform(t time.Time, text string) {
	s.lines(t, kindPlatform, "", []byte(text))
}

func (s *Stream) lines(t time.Time, k kind, request string, text []byte) {
	text = bytes.TrimSuffix(text, []byte("\n"))
	for more := true; more; {
		var line []byte
		line, text, more = bytes.Cut(text, []byte("\n"))
		r := record{kind: k, time: t.UnixNano(), instance: s.instance, request: request, text: bytes.TrimSuffix(line, []byte("\r"))}
		if len(r.text) > MaxLineBytes {
			r.word = string(r.text[:MaxLineBytes])
			r.text = []byte(cutMarker)
		}
		s.journal.append(&r)
	}
}

// Finish notes that an invocation has ended: the END and the REPORT line. The status
// is "" for success; otherwise a word such as "timeout" or "error".
func (s *Stream) Finish(t time.Time, requestID string, report hearth.Report, status string) {
	s.journal.append(&record{kind: kindFinish, time: t.UnixNano(), instance: s.instance, request: clip(requestID), word: status, report: report})
}

// Tail is the end of one invocation's log, at most limit bytes of it, as text with
// newlines (X-Amz-Log-Result). Call it after Finish. It looks no further back than the
// invocation's START line, and in memory only.
func (s *Stream) Tail(requestID string, limit int) []byte {
	snap := s.journal.since(cursor{})
	var parts [][]byte // newest chunk first
	for i := len(snap.bufs) - 1; i >= 0; i-- {
		part, started := tailOf(snap.bufs[i], s.instance, clip(requestID))
		parts = append(parts, part)
		if started {
			break
		}
	}
	var text []byte
	for i := len(parts) - 1; i >= 0; i-- {
		text = append(text, parts[i]...)
	}
	return text[max(0, len(text)-limit):]
}

// tailOf is the text of an invocation within one chunk, and whether it began there.
func tailOf(b []byte, instance, request string) (text []byte, started bool) {
	for len(b) > 0 {
		v, rest, err := next(b)
		if err != nil {
			panic("logs: " + err.Error() + " in memory")
		}
		b = rest
		if string(v.request) != request || string(v.instance) != instance {
			continue
		}
		started = started || v.kind == kindStart
		v.entries("", func(e hearth.LogEntry) {
			text = append(append(text, e.Text...), '\n')
		})
	}
	return text, started
}

// Writer returns a writer for bytes that come in any pieces, such as a pipe with the
// instance's own output: it collects them to lines. Close writes an unfinished line.
// Unlike the Stream it must not be used from several goroutines at once.
func (s *Stream) Writer(fd int, now func() time.Time) io.WriteCloser {
	return &lineWriter{stream: s, fd: fd, now: now}
}

type lineWriter struct {
	stream *Stream
	fd     int
	now    func() time.Time
	part   []byte // of a line that has no newline yet
}

func (w *lineWriter) Write(p []byte) (int, error) {
	last := bytes.LastIndexByte(p, '\n') + 1
	if last > 0 {
		whole := p[:last]
		if len(w.part) > 0 {
			whole = append(w.part, whole...)
			w.part = w.part[:0]
		}
		w.stream.Line(w.now(), "", w.fd, whole)
	}
	// One byte more than fits, so that Line sees that it is too long.
	room := max(0, MaxLineBytes+1-len(w.part))
	w.part = append(w.part, p[last:min(len(p), last+room)]...)
	return len(p), nil
}

func (w *lineWriter) Close() error {
	if len(w.part) > 0 {
		w.stream.Line(w.now(), "", w.fd, w.part)
		w.part = nil
	}
	return nil
}

// clip bounds an id to what a record can hold.
func clip(id string) string { return id[:min(len(id), 255)] }
