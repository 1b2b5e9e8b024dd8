package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

// sameResult answers every call with the one result, so that only the api is
// measured.
type sameResult struct{ result hearth.Result }

func (s *sameResult) Invoke(context.Context, *invoke.Request) (*hearth.Result, error) {
	return &s.result, nil
}

func (s *sameResult) Start(_ *invoke.Request, done hearth.Completion) { done.Complete(&s.result, nil) }

// roundabout is a connection on which one request comes again and again, for n times, and
// on which answers vanish.
type roundabout struct {
	net.Conn
	request []byte
	left    int
	rest    []byte
}

func (l *roundabout) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		if l.left == 0 {
			return 0, io.EOF
		}
		l.left--
		l.rest = l.request
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *roundabout) Write(p []byte) (int, error)      { return len(p), nil }
func (l *roundabout) Close() error                     { return nil }
func (l *roundabout) SetDeadline(time.Time) error      { return nil }
func (l *roundabout) SetReadDeadline(time.Time) error  { return nil }
func (l *roundabout) SetWriteDeadline(time.Time) error { return nil }
func (l *roundabout) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}
func (l *roundabout) LocalAddr() net.Addr { return l.RemoteAddr() }

const (
	benchInvoke = "POST /2015-03-31/functions/hello/invocations HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"name\":\"you!\"}"
	benchURL    = "POST /fn/hello/any/path?x=1&y=2 HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"name\":\"you!\"}"
	benchProxy  = `{"statusCode":200,"headers":{"Content-Type":"application/json"},"body":"{\"hello\":\"you!\"}"}`
)

// serveLoop serves request n times and returns.
func serveLoop(b testing.TB, request, payload string, n int) {
	functions := &memFunctions{functions: map[string]*hearth.Function{"hello": {Name: "hello"}}}
	s := New(Config{}, Deps{Functions: functions, Invoker: &sameResult{hearth.Result{Payload: []byte(payload), Instance: "i00000000000a", Seq: 7}}})
	if err := s.http.ServeConn(&roundabout{request: []byte(request), left: n}); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkInvoke(b *testing.B) {
	b.ReportAllocs()
	serveLoop(b, benchInvoke, `{"hello":"you!"}`, b.N)
}

func BenchmarkFunctionURL(b *testing.B) {
	b.ReportAllocs()
	serveLoop(b, benchURL, benchProxy, b.N)
}

// TestAllocations holds the hot paths to what they may allocate: request id, request
// and little else.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	for name, run := range map[string]func(*testing.B){"Invoke": BenchmarkInvoke, "function URL": BenchmarkFunctionURL} {
		if got := testing.Benchmark(run).AllocsPerOp(); got > 3 {
			t.Errorf("%s allocates %d times per request, at most 3 are allowed", name, got)
		}
	}
}

// BenchmarkBuildEvent is the event alone.
func BenchmarkBuildEvent(b *testing.B) {
	b.ReportAllocs()
	var ctx fasthttp.RequestCtx
	if err := ctx.Request.Read(bufio.NewReader(&roundabout{request: []byte(benchURL), left: 1})); err != nil {
		b.Fatal(err)
	}
	c := new(call)
	in := eventInput{
		name: "hello", prefix: []byte("/fn/hello"), method: ctx.Method(), path: []byte("/any/path"), query: []byte("x=1&y=2"), protocol: []byte("HTTP/1.1"),
		host: ctx.Request.Header.Host(), remote: remoteAddr((&roundabout{}).RemoteAddr()), headers: ctx.Request.Header.RawHeaders(), body: ctx.Request.Body(), requestID: "id", now: time.Unix(0, 0),
	}
	for b.Loop() {
		c.buildEvent(&in)
	}
}
