package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net"
	"strconv"
	"sync"
	"time"

	"hearth/internal/events"
	"hearth/internal/hearth"
)

const typeLines = "application/x-ndjson"

// logs sends the log of one function as lines of JSON.
func (s *Server) logs(r *request) error {
	f, err := s.named(r)
	if err != nil {
		return err
	}
	q := r.query
	filter := hearth.LogFilter{Function: f.Name, Instance: q.get("instance"), Request: q.get("request")}
	if filter.Since, err = parseTime(q.get("since"), s.now()); err != nil {
		return err
	}
	if filter.AfterSeq, err = parseNumber("after", q.get("after")); err != nil {
		return err
	}
	limit, err := parseNumber("limit", q.get("limit"))
	if err != nil {
		return err
	}
	filter.Limit = int(min(limit, 1<<30))
	follow, err := parseFlag("follow", q.get("follow"))
	if err != nil {
		return err
	}
	if follow {
		stream(s, r, func(ctx context.Context) iter.Seq[hearth.LogEntry] { return s.deps.Logs.Follow(ctx, filter) })
		return nil
	}
	entries, err := s.deps.Logs.Query(filter)
	if err != nil {
		return err
	}
	writeLines(r, entries)
	return nil
}

// events sends the feed of events as lines of JSON. since is a sequence number, a
// time, or a length of time ago.
func (s *Server) events(r *request) error {
	filter := events.Filter{Function: r.query.get("function"), Instance: r.query.get("instance"), Kind: r.query.get("kind")}
	since := r.query.get("since")
	seq, err := strconv.ParseUint(since, 10, 64)
	var from time.Time
	if err != nil {
		if from, err = parseTime(since, s.now()); err != nil {
			return err
		}
	}
	follow, err := parseFlag("follow", r.query.get("follow"))
	if err != nil {
		return err
	}
	if follow {
		stream(s, r, func(ctx context.Context) iter.Seq[hearth.Event] {
			return notBefore(s.deps.Events.Follow(ctx, seq, filter), from)
		})
		return nil
	}
	list := []hearth.Event{}
	for _, e := range s.deps.Events.Since(seq, filter) {
		if !e.Time.Before(from) {
			list = append(list, e)
		}
	}
	writeLines(r, list)
	return nil
}

func notBefore(all iter.Seq[hearth.Event], from time.Time) iter.Seq[hearth.Event] {
	return func(yield func(hearth.Event) bool) {
		for e := range all {
			if !e.Time.Before(from) && !yield(e) {
				return
			}
		}
	}
}

func writeLines[T any](r *request, list []T) {
	var text []byte
	for i := range list {
		text = appendLine(text, &list[i])
	}
	r.ctx.SetContentType(typeLines)
	r.ctx.Response.SetBodyRaw(text)
}

func appendLine(text []byte, v any) []byte {
	line, err := json.Marshal(v)
	if err != nil {
		panic("api: a line cannot be written as JSON: " + err.Error())
	}
	return append(append(text, line...), '\n')
}

// stream answers with the lines that follow yields, for as long as the client stays
// and the server does not drain.
func stream[T any](s *Server, r *request, follow func(context.Context) iter.Seq[T]) {
	r.ctx.SetContentType(typeLines)
	r.ctx.Response.Header.Set("X-Accel-Buffering", "no") // a proxy in front should pass lines on
	if r.ctx.IsHead() {
		return
	}
	ctx, cancel := context.WithCancel(s.streaming)
	l := &lines[T]{
		conn: r.ctx.Conn(), timeout: s.cfg.WriteTimeout, beat: s.cfg.Heartbeat,
		news: make(chan T), cancel: cancel, done: ctx.Done(),
	}
	l.following.Go(func() {
		defer close(l.news)
		defer s.recoveredStream()
		for v := range follow(ctx) {
			select {
			case l.news <- v:
			case <-ctx.Done():
				return
			}
		}
	})
	r.ctx.Response.ImmediateHeaderFlush = true
	r.ctx.SetBodyStream(l, -1)
}

func (s *Server) recoveredStream() {
	if p := recover(); p != nil {
		s.log.Error("panic while following", "panic", p)
	}
}

// lines is the body of a stream. fasthttp reads it in the connection's goroutine and
// closes it when the client has gone.
type lines[T any] struct {
	conn    net.Conn
	timeout time.Duration // to write one piece
	beat    time.Duration

	news      chan T // closed when there will be no more
	done      <-chan struct{}
	cancel    context.CancelFunc
	following sync.WaitGroup
	rest      []byte // of a line that did not fit
}

// Read blocks until there is a line. It takes what else is there already, and sends
// an empty line when nothing happens, which tells whether the client still listens.
func (l *lines[T]) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		beat := time.NewTimer(l.beat)
		defer beat.Stop()
		select {
		case v, ok := <-l.news:
			if !ok {
				return 0, io.EOF
			}
			l.rest = appendLine(l.rest[:0], &v)
			l.gather(len(p))
		case <-beat.C:
			l.rest = append(l.rest[:0], '\n')
		case <-l.done:
			return 0, io.EOF
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, l.conn.SetWriteDeadline(time.Now().Add(l.timeout))
}

// gather adds lines that are waiting, up to most bytes.
func (l *lines[T]) gather(most int) {
	for len(l.rest) < most {
		select {
		case v, ok := <-l.news:
			if !ok {
				return
			}
			l.rest = appendLine(l.rest, &v)
		default:
			return
		}
	}
}

// hangUp ends the body, at any time: nobody reads it any more.
func (l *lines[T]) hangUp() { l.cancel() }

// Close ends the following and waits for it.
func (l *lines[T]) Close() error {
	l.cancel()
	l.following.Wait()
	return nil
}

// parseTime reads a time, or a length of time before now; "" is the zero time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, hearth.Errorf(hearth.ErrInvalid, "since is %q; it must be a time such as 2026-01-31T12:00:00Z, or a length of time such as 10m.", clip(text))
	}
	return t, nil
}

func parseNumber(name, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, hearth.Errorf(hearth.ErrInvalid, "%s is %q; it must be a number from 0 up.", name, clip(text))
	}
	return n, nil
}

func parseFlag(name, text string) (bool, error) {
	switch text {
	case "", "0", "false":
		return false, nil
	case "1", "true":
		return true, nil
	}
	return false, hearth.Errorf(hearth.ErrInvalid, "%s is %q; it must be 1 or 0.", name, clip(text))
}
