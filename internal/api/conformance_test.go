package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
)

const invokeEcho = "POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: h\r\n"

func read(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestPipelining(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	const n = 50
	var all strings.Builder
	for i := range n {
		body := fmt.Sprintf(`{"n":%d}`, i)
		fmt.Fprintf(&all, "%sContent-Length: %d\r\n\r\n%s", invokeEcho, len(body), body)
	}
	send(t, c, all.String())
	for i := range n {
		resp, body := read(t, r, "POST")
		if want := fmt.Sprintf(`{"n":%d}`, i); resp.StatusCode != 200 || body != want {
			t.Fatalf("answer %d is %d %q, want 200 %q", i, resp.StatusCode, body, want)
		}
	}
}

func TestChunkedBody(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	send(t, c, invokeEcho+"Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3;ext=1\r\n:1}\r\n0\r\n\r\n")
	if resp, body := read(t, r, "POST"); resp.StatusCode != 200 || body != `{"a":1}` {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
	// The connection is still good.
	send(t, c, invokeEcho+"Content-Length: 2\r\n\r\n[]")
	if resp, body := read(t, r, "POST"); resp.StatusCode != 200 || body != "[]" {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}

func TestChunkedBodyTooLarge(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	go func() { // a client that does not listen while it sends
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat(" ", 1<<20))
		_, _ = io.WriteString(c, invokeEcho+"Transfer-Encoding: chunked\r\n\r\n")
		for range 8 {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
		}
	}()
	if resp, body := read(t, r, "POST"); resp.StatusCode != 413 || !strings.Contains(body, "6291556") {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}

// TestTooLarge: a body is refused by its announced length, and a client that sends it
// all before it listens still gets the answer.
func TestTooLarge(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	for _, tc := range []struct {
		head string
		size int
		want string
	}{
		{"POST /2015-03-31/functions/echo/invocations", hearth.MaxPayloadBytes, ""},
		{"POST /2015-03-31/functions/echo/invocations", hearth.MaxPayloadBytes + 1, `{"Type":"User","message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"}`},
		{"POST /fn/echo/", hearth.MaxPayloadBytes + 1, `{"Type":"User","message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"}`},
		{"POST /fn/echo/", hearth.MaxPayloadBytes - 10, "a function takes 6291556"},
		{"POST /2015-03-31/functions", maxUploadBody + 1, `{"Type":"User","message":"Request must be smaller than 70167211 bytes for the CreateFunction operation"}`},
		{"PUT /hearth/v1/functions/echo", maxUploadBody + 1, `"code":"too_large"`},
		{"POST /2021-10-31/functions/echo/url", maxOtherBody + 1, "1048576"},
	} {
		c, r := w.dial(t)
		go func() {
			_, _ = fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", tc.head, tc.size)
			piece := bytes.Repeat([]byte("1"), 1<<20)
			for left := tc.size; left > 0; left -= len(piece) {
				if _, err := c.Write(piece[:min(left, len(piece))]); err != nil {
					return
				}
			}
		}()
		resp, body := read(t, r, "POST")
		switch {
		case tc.want == "" && (resp.StatusCode != 200 || len(body) != tc.size):
			t.Errorf("%s with %d bytes: %d, %d bytes back", tc.head, tc.size, resp.StatusCode, len(body))
		case tc.want != "" && (resp.StatusCode != 413 || !strings.Contains(body, tc.want)):
			t.Errorf("%s with %d bytes: %d %.300q", tc.head, tc.size, resp.StatusCode, body)
		}
		c.Close()
	}
}

// TestExpectContinue: curl asks before it sends more than a megabyte.
func TestExpectContinue(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	send(t, c, invokeEcho+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	send(t, c, "{}")
	if resp, body := read(t, r, "POST"); resp.StatusCode != 200 || body != "{}" {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
	send(t, c, invokeEcho+"Expect: 100-continue\r\nContent-Length: 7000000\r\n\r\n")
	resp, body := read(t, r, "POST")
	if resp.StatusCode != 413 || !strings.Contains(body, "6291556") || resp.Header.Get("X-Amzn-Errortype") != "RequestTooLargeException" {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}

func TestSlowHeaders(t *testing.T) {
	d := opened(t, ways()[1], Config{HeaderTimeout: 200 * time.Millisecond})
	_, r := d.heard(t, "GET /healthz HTTP/1.1\r\nHost:")
	resp, body := read(t, r, "GET")
	if resp.StatusCode != 408 || !strings.Contains(body, "in time") {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("the connection is still open: %v", err)
	}
}

func TestSlowBody(t *testing.T) {
	w := start(t, Config{BodyTimeout: 100 * time.Millisecond})
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	send(t, c, invokeEcho+"Content-Length: 10\r\n\r\n{")
	if resp, body := read(t, r, "POST"); resp.StatusCode != 408 {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}

// TestSlowFunction: the timeouts are for clients, not for functions.
func TestSlowFunction(t *testing.T) {
	const limit = time.Second
	w := start(t, Config{HeaderTimeout: limit, BodyTimeout: limit, WriteTimeout: limit})
	w.deploy(t, "wait", "wait", "")
	c, r := w.dial(t)
	send(t, c, strings.Replace(invokeEcho, "echo", "wait", 1)+"Content-Length: 2\r\n\r\n{}")
	<-w.invoker.waiting
	time.AfterFunc(3*limit/2, func() { close(w.invoker.block) })
	if resp, body := read(t, r, "POST"); resp.StatusCode != 200 || body != `"waited"` {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}

func TestHugeHeaders(t *testing.T) {
	w := start(t, Config{})
	for _, raw := range []string{
		"GET /healthz HTTP/1.1\r\nHost: h\r\nX-Big: " + strings.Repeat("a", 20<<10) + "\r\n\r\n",
		"GET /healthz?" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		if resp, body := w.exchange(t, raw); resp.StatusCode != 431 || !strings.Contains(body, "16384") {
			t.Errorf("got %d %q", resp.StatusCode, body)
		}
	}
}

func TestMalformed(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	for _, raw := range []string{
		"GET /healthz HTTP/1.1\r\nHost h\r\n\r\n",
		"GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
		"nonsense\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n",
		"GET /health\x01z HTTP/1.1\r\nHost: h\r\n\r\n",
		invokeEcho + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
		invokeEcho + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		invokeEcho + "Content-Length: -1\r\n\r\n",
		invokeEcho + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		resp, body := w.exchange(t, raw)
		if resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%q: got %d %q, closing: %v", raw, resp.StatusCode, body, resp.Close)
		}
	}
}

func TestHead(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "say", "say", `{"statusCode":200,"body":"hello"}`)
	c, r := w.dial(t)
	for range 2 { // the second answer shows that no body followed the first
		send(t, c, "HEAD /fn/say/ HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, body := read(t, r, "HEAD"); resp.StatusCode != 200 || resp.ContentLength != 5 || body != "" {
			t.Fatalf("got %d, length %d, %q", resp.StatusCode, resp.ContentLength, body)
		}
	}
}

func TestHTTP10AndAbsoluteTarget(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	if resp, body := w.exchange(t, "GET /healthz HTTP/1.0\r\n\r\n"); resp.StatusCode != 200 || body != "ok\n" || !resp.Close {
		t.Errorf("HTTP/1.0: %d %q", resp.StatusCode, body)
	}
	if resp, body := w.exchange(t, "GET http://h:1/fn/echo/a//b?c=http://d HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"); resp.StatusCode != 200 ||
		!strings.Contains(body, `"rawPath":"/a//b","rawQueryString":"c=http://d"`) || !strings.Contains(body, `"x-forwarded-prefix":"/fn/echo"`) {
		t.Errorf("absolute target: %d %q", resp.StatusCode, body)
	}
}

func TestCode(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "echo", "echo", "")
	resp, body := w.exchange(t, "GET /hearth/v1/functions/echo/code HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if resp.StatusCode != 200 || body != string(archive("index.js", "exports.echo")) {
		t.Fatalf("got %d and %d bytes", resp.StatusCode, len(body))
	}
}

// TestFollow reads a stream while it grows, and sees it end when the server drains.
func TestFollow(t *testing.T) {
	w := start(t, Config{Heartbeat: 20 * time.Millisecond})
	w.deploy(t, "echo", "echo", "")
	line := func(text string) {
		w.logs.Open("echo", "i00000000000a").Line(w.now(), "r", 1, []byte(text+"\n"))
	}
	line("before")
	c, r := w.dial(t)
	send(t, c, "GET /hearth/v1/functions/echo/logs?follow=1 HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	next := func() string {
		for {
			text, err := body.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if text != "\n" {
				return text
			}
		}
	}
	if got := next(); !strings.Contains(got, `"text":"before"`) {
		t.Fatalf("got %q", got)
	}
	for i := range 3 {
		line(fmt.Sprint("live ", i))
		if got := next(); !strings.Contains(got, fmt.Sprintf(`"text":"live %d"`, i)) {
			t.Fatalf("got %q", got)
		}
	}
	if beat, err := body.ReadString('\n'); err != nil || beat != "\n" {
		t.Fatalf("no heartbeat: %q, %v", beat, err)
	}
	done := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, body); done <- err }()
	w.stop(t)
	if err := <-done; err != nil {
		t.Fatalf("the stream did not end well: %v", err)
	}
}

// TestFollowerGone: a stream whose reader has gone is found out by its heartbeats.
// That its goroutines end is what goleak checks.
func TestFollowerGone(t *testing.T) {
	w := start(t, Config{Heartbeat: 10 * time.Millisecond})
	c, r := w.dial(t)
	send(t, c, "GET /hearth/v1/events?follow=1 HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	eventually(t, "the stream has ended", func() bool { return len(w.openConns()) == 0 })
}

// eventually waits for what nothing tells of when it happens.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// TestShutdownDrains: what is in flight finishes, idle and silent connections close,
// and nothing new is accepted.
func TestShutdownDrains(t *testing.T) {
	w := startAs(t, Config{DrainGrace: 50 * time.Millisecond}) // with loops, the conformance suite has it
	w.deploy(t, "wait", "wait", "")
	busy, busyReader := w.dial(t)
	send(t, busy, strings.Replace(invokeEcho, "echo", "wait", 1)+"Content-Length: 2\r\n\r\n{}")
	<-w.invoker.waiting
	_, silentReader := w.dial(t)
	half, halfReader := w.dial(t)
	send(t, half, "GET /heal")
	idle, idleReader := w.dial(t)
	send(t, idle, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
	read(t, idleReader, "GET")

	eventually(t, "the server has heard three clients", func() bool {
		heard := 0
		for _, c := range w.openConns() {
			if c.heard.Load() {
				heard++
			}
		}
		return heard == 3
	})
	down := make(chan error, 1)
	go func() { down <- w.Shutdown(context.Background()) }()
	if _, err := silentReader.ReadByte(); err == nil {
		t.Error("the silent connection got an answer")
	}
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection is still open: %v", err)
	}
	if _, err := io.Copy(io.Discard, halfReader); err != nil {
		t.Errorf("the half request: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned with an invocation in flight: %v", err)
	default:
	}
	close(w.invoker.block)
	if resp, body := read(t, busyReader, "POST"); resp.StatusCode != 200 || body != `"waited"` || !resp.Close {
		t.Errorf("in flight: %d %q, closing: %v", resp.StatusCode, body, resp.Close)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if c, err := net.Dial("tcp", w.addr); err == nil {
		c.Close()
		t.Error("a new connection was accepted")
	}
}

// TestShutdownLosesPatience: what does not finish in time is cancelled.
func TestShutdownLosesPatience(t *testing.T) {
	w := start(t, Config{DrainGrace: time.Millisecond})
	w.deploy(t, "wait", "wait", "")
	c, _ := w.dial(t)
	send(t, c, strings.Replace(invokeEcho, "echo", "wait", 1)+"Content-Length: 2\r\n\r\n{}")
	<-w.invoker.waiting
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Fatalf("Shutdown: %v", err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
}

// TestPanicCostsOneRequest: the connection and the process go on.
func TestPanicCostsOneRequest(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "panic", "panic", "")
	w.deploy(t, "echo", "echo", "")
	c, r := w.dial(t)
	for _, path := range []string{"/2015-03-31/functions/panic/invocations", "/fn/panic/"} {
		send(t, c, "POST "+path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		if resp, body := read(t, r, "POST"); resp.StatusCode != 500 || !strings.Contains(body, "request id 0000") {
			t.Fatalf("got %d %q", resp.StatusCode, body)
		}
		send(t, c, invokeEcho+"Content-Length: 2\r\n\r\n[]")
		if resp, body := read(t, r, "POST"); resp.StatusCode != 200 || body != "[]" {
			t.Fatalf("got %d %q", resp.StatusCode, body)
		}
	}
}

func TestHideErrors(t *testing.T) {
	w := start(t, Config{HideErrors: true})
	w.deploy(t, "fail", "fail", "")
	resp, body := w.exchange(t, "GET /fn/fail/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if resp.StatusCode != 502 || strings.Contains(body, "TypeError") || resp.Header.Get("X-Hearth-Error") != "" ||
		!strings.Contains(body, `"Message":"Internal Server Error"`) {
		t.Fatalf("got %d %q %v", resp.StatusCode, body, resp.Header)
	}
}

// TestHostFindsFoldedName: a browser writes hosts in lower case.
func TestHostFindsFoldedName(t *testing.T) {
	w := start(t, Config{})
	w.deploy(t, "MyFunction", "echo", "")
	if resp, body := w.exchange(t, "GET / HTTP/1.1\r\nHost: myfunction.localhost:9000\r\nConnection: close\r\n\r\n"); resp.StatusCode != 200 || !strings.Contains(body, `"apiId":"MyFunction"`) {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
	w.deploy(t, "MYFUNCTION", "echo", "")
	if resp, body := w.exchange(t, "GET / HTTP/1.1\r\nHost: myfunction.localhost:9000\r\nConnection: close\r\n\r\n"); resp.StatusCode != 404 {
		t.Fatalf("got %d %q", resp.StatusCode, body)
	}
}
