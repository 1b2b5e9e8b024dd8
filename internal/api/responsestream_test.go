package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

// memStream is a streamed response that the test writes.
type memStream struct {
	contentType string
	parts       chan []byte // unbuffered: a write is done when the reader has the part
	closed      chan struct{}
	once        sync.Once
	result      *hearth.Result // how it ends; set before parts is closed
}

func newMemStream(contentType string) *memStream {
	return &memStream{contentType: contentType, parts: make(chan []byte), closed: make(chan struct{}), result: &hearth.Result{}}
}

func (m *memStream) ContentType() string          { return m.contentType }
func (m *memStream) Result() *hearth.Result       { return m.result }
func (m *memStream) OnEnd(f func(*hearth.Result)) {}
func (m *memStream) Close() error                 { m.once.Do(func() { close(m.closed) }); return nil }

func (m *memStream) Next() ([]byte, error) {
	select {
	case part, ok := <-m.parts:
		if ok {
			return part, nil
		}
	case <-m.closed:
	}
	return nil, io.EOF
}

// write gives the reader a part; false when nobody reads any more.
func (m *memStream) write(part string) bool {
	select {
	case m.parts <- []byte(part):
		return true
	case <-m.closed:
		return false
	}
}

// end ends the response.
func (m *memStream) end(res *hearth.Result) {
	if res != nil {
		m.result = res
	}
	close(m.parts)
}

var errorResult = &hearth.Result{FunctionError: hearth.Unhandled, Payload: []byte(`{"errorType":"RangeError","errorMessage":"midway"}`)}

// invokerFunc is an Invoker of a function.
type invokerFunc func(ctx context.Context, r *invoke.Request) (*hearth.Result, error)

func (f invokerFunc) Invoke(ctx context.Context, r *invoke.Request) (*hearth.Result, error) {
	return f(ctx, r)
}

func (f invokerFunc) Start(r *invoke.Request, done hearth.Completion) {
	go func() { done.Complete(f(context.Background(), r)) }()
}

// streaming starts a server whose function f gives this response.
func streaming(t testing.TB, m *memStream) *world {
	w := start(t, Config{})
	w.deploy(t, "f", "stream", "")
	w.deps.Invoker = invokerFunc(func(_ context.Context, r *invoke.Request) (*hearth.Result, error) {
		if !r.WantStream {
			t.Error("the response was not asked for in parts")
		}
		return &hearth.Result{Stream: m, Instance: "i00000000000a", Seq: 1, Version: hearth.Latest}, nil
	})
	return w
}

// ask sends a request and reads the head of the answer.
func (w *world) ask(t testing.TB, method, path string) *http.Response {
	t.Helper()
	c, r := w.dial(t)
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", method, path)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

const preludeText = `{"statusCode":201,"headers":{"x-a":"b","content-type":"text/event-stream"},"cookies":["c=d","e=f"]}` + hearth.PreludeEnd

func TestStreamedURL(t *testing.T) {
	m := newMemStream(hearth.TypeHTTPIntegration)
	w := streaming(t, m)
	go func() {
		m.write(preludeText[:20])
		m.write(preludeText[20 : len(preludeText)-3])
		m.write(preludeText[len(preludeText)-3:] + "one")
	}()
	resp := w.ask(t, "GET", "/fn/f/")
	if resp.StatusCode != 201 || resp.Header.Get("X-A") != "b" || resp.Header.Get("Content-Type") != "text/event-stream" ||
		len(resp.Cookies()) != 2 || resp.Header.Get("X-Hearth-Instance") == "" || resp.TransferEncoding[0] != "chunked" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	// Each part is here while the function waits to write the next.
	part := make([]byte, 3)
	for _, want := range []string{"one", "two", "thr"} {
		if want != "one" {
			m.write(want)
		}
		if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != want {
			t.Fatalf("%q, %v", part, err)
		}
	}
	m.end(nil)
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestStreamedURLWithoutPrelude(t *testing.T) {
	m := newMemStream("text/plain")
	w := streaming(t, m)
	go func() { m.write("plain"); m.end(nil) }()
	resp := w.ask(t, "GET", "/fn/f")
	if body, err := io.ReadAll(resp.Body); string(body) != "plain" || err != nil || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%s %v %q %v", resp.Status, resp.Header, body, err)
	}
}

func TestStreamedURLThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		parts  []string
		end    *hearth.Result
		status int
		words  string // in the body; "" when the body must be cut off
	}{
		"midway":            {[]string{preludeText, "half"}, errorResult, 201, ""},
		"before the body":   {[]string{preludeText[:9]}, errorResult, 502, "RangeError"},
		"no prelude":        {[]string{`{"statusCode":201}`}, nil, 502, "eight NUL bytes"},
		"endless prelude":   {[]string{strings.Repeat("x", maxPrelude+1)}, nil, 502, "no prelude in its first"},
		"prelude no JSON":   {[]string{"{" + hearth.PreludeEnd}, nil, 502, "not a JSON object"},
		"prelude no object": {[]string{"[]" + hearth.PreludeEnd}, nil, 502, "not a JSON object"},
		"bad status":        {[]string{`{"statusCode":99}` + hearth.PreludeEnd}, nil, 502, "200 to 599"},
		"bad header":        {[]string{`{"headers":{"a b":"c"}}` + hearth.PreludeEnd}, nil, 502, "cannot be the name of a header"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemStream(hearth.TypeHTTPIntegration)
			w := streaming(t, m)
			go func() {
				for _, part := range test.parts {
					m.write(part)
				}
				m.end(test.end)
			}()
			resp := w.ask(t, "GET", "/fn/f/")
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != test.status || !strings.Contains(string(body), test.words) || (err != nil) != (test.words == "") {
				t.Errorf("%s %q %v", resp.Status, body, err)
			}
		})
	}
}

// TestStreamedURLWithoutCaller: the caller goes, and the stream is closed.
func TestStreamedURLWithoutCaller(t *testing.T) {
	m := newMemStream("text/plain")
	w := streaming(t, m)
	c, r := w.dial(t)
	fmt.Fprint(c, "GET /fn/f/ HTTP/1.1\r\nHost: x\r\n\r\n")
	m.write("one")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for range 1000 {
		if !m.write(strings.Repeat("x", 100_000)) {
			return
		}
	}
	t.Error("100 MB were written for nobody")
}

func TestStreamedHead(t *testing.T) {
	m := newMemStream(hearth.TypeHTTPIntegration)
	w := streaming(t, m)
	go m.write(preludeText)
	resp := w.ask(t, "HEAD", "/fn/f/")
	if resp.StatusCode != 201 || resp.Header.Get("X-A") != "b" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	<-m.closed
}

// TestShutdownCutsStreams: a client can tell that the stream has not ended well.
func TestShutdownCutsStreams(t *testing.T) {
	m := newMemStream("text/plain")
	w := streaming(t, m)
	go m.write("one")
	resp := w.ask(t, "GET", "/fn/f/")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.Shutdown(ctx)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer ended as if it were whole")
	}
	<-m.closed
}

type streamEvent struct{ kind, contentType, payload string }

// readEvent reads one message of an event stream, by the format's description.
func readEvent(t testing.TB, r io.Reader) (streamEvent, bool) {
	t.Helper()
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err == io.EOF {
		return streamEvent{}, false
	} else if err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head)-12)
	if _, err := io.ReadFull(r, rest); err != nil {
		t.Fatal(err)
	}
	whole := append(head[:12:12], rest...)
	if crc32.ChecksumIEEE(whole[:len(whole)-4]) != binary.BigEndian.Uint32(whole[len(whole)-4:]) {
		t.Fatal("the checksum is wrong")
	}
	size := binary.BigEndian.Uint32(head[4:])
	e := streamEvent{payload: string(rest[size : len(rest)-4])}
	for h := string(rest[:size]); h != ""; {
		name := h[1 : 1+h[0]]
		h = h[2+len(name):]
		value := h[2 : 2+(int(h[0])<<8|int(h[1]))]
		h = h[2+len(value):]
		switch name {
		case ":event-type":
			e.kind = value
		case ":content-type":
			e.contentType = value
		}
	}
	return e, true
}

const streamingInvoke = "/2021-11-15/functions/f/response-streaming-invocations"

func TestInvokeWithResponseStream(t *testing.T) {
	m := newMemStream("text/plain")
	w := streaming(t, m)
	go m.write("one")
	resp := w.ask(t, "POST", streamingInvoke)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" || resp.Header.Get("X-Amz-Executed-Version") != "$LATEST" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	body := bufio.NewReader(resp.Body)
	for _, want := range []string{"one", "two"} {
		if want != "one" {
			m.write(want)
		}
		if e, _ := readEvent(t, body); e != (streamEvent{"PayloadChunk", "application/octet-stream", want}) {
			t.Fatalf("%+v", e)
		}
	}
	m.end(nil)
	if e, _ := readEvent(t, body); e != (streamEvent{"InvokeComplete", "application/json", "{}"}) {
		t.Errorf("%+v", e)
	}
	if e, more := readEvent(t, body); more {
		t.Errorf("after the end: %+v", e)
	}
}

func TestInvokeWithResponseStreamThatFails(t *testing.T) {
	m := newMemStream("")
	w := streaming(t, m)
	go func() { m.write("half"); m.end(errorResult) }()
	resp := w.ask(t, "POST", streamingInvoke)
	readEvent(t, resp.Body)
	e, _ := readEvent(t, resp.Body)
	var complete completeEvent
	if err := json.Unmarshal([]byte(e.payload), &complete); err != nil || complete.ErrorCode != "RangeError" || !strings.Contains(complete.ErrorDetails, "midway") {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestInvokeWithResponseStreamOfOthers: a function that does not stream gives one part.
func TestInvokeWithResponseStreamOfOthers(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "f", "echo", "")
	w.deploy(t, "g", "fail", "")
	resp := w.ask(t, "POST", streamingInvoke)
	one, _ := readEvent(t, resp.Body)
	two, _ := readEvent(t, resp.Body)
	if one.payload != "{}" || two.kind != "InvokeComplete" {
		t.Errorf("%+v, %+v", one, two)
	}
	resp = w.ask(t, "POST", strings.Replace(streamingInvoke, "/f/", "/g/", 1))
	if e, _ := readEvent(t, resp.Body); e.kind != "InvokeComplete" || !strings.Contains(e.payload, `"ErrorCode":"TypeError"`) {
		t.Errorf("%+v", e)
	}
	for path, want := range map[string]int{strings.Replace(streamingInvoke, "/f/", "/none/", 1): 404} {
		if resp := w.ask(t, "POST", path); resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// TestLargeStreamInConstantMemory: 200 MB for a reader that takes its time cost next to
// nothing here, and the function is not far ahead.
func TestLargeStreamInConstantMemory(t *testing.T) {
	m := newMemStream("application/octet-stream")
	w := streaming(t, m)
	part := make([]byte, 256<<10)
	go func() {
		for range 800 {
			m.parts <- part
		}
		m.end(nil)
	}()
	resp := w.ask(t, "GET", "/fn/f/")
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin, total := time.Now(), int64(0)
	buf := make([]byte, 64<<10)
	most := uint64(0)
	for i := 0; ; i++ {
		n, err := resp.Body.Read(buf)
		total += int64(n)
		if i%512 == 0 {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes in %v, %d KB more heap at most", total, time.Since(begin), int64(most-before.HeapAlloc)>>10)
	if total != 800*int64(len(part)) || most > before.HeapAlloc+8<<20 {
		t.Errorf("%d bytes, heap from %d to %d", total, before.HeapAlloc, most)
	}
}
