package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

// streamCases are about answers that come in parts, and about readers that are slow or
// leave.
func streamCases() []httpCase {
	return []httpCase{
		{name: "each part at once", under: onAny, run: partsAtOnce},
		{name: "a stream of nothing", under: onAny, run: emptyStream},
		{name: "a stream that fails midway", under: onAny, run: failsMidway},
		{name: "HEAD of a stream", under: onAny, run: headOfStream},
		{name: "a slow reader holds the function back", under: onAny, run: slowReader},
		{name: "a reader that stalls", under: onAny, cfg: Config{WriteTimeout: 200 * time.Millisecond}, run: stalledReader},
		{name: "a reader that leaves a stream", under: onAny, run: readerLeaves},
		{name: "a reader that leaves a silent stream", under: onAny, cfg: Config{Heartbeat: 20 * time.Millisecond}, run: followerLeaves},
		{name: "a caller that leaves while the function runs", under: onAny, run: callerLeaves},
		{name: "following a log", under: onAny, cfg: Config{Heartbeat: 50 * time.Millisecond}, run: followsLog},
	}
}

// streams lets every function of d answer with m.
func (d *door) streams(m *memStream) {
	d.deps.Invoker = invokerFunc(func(context.Context, *invoke.Request) (*hearth.Result, error) {
		return &hearth.Result{Stream: m, Instance: "i00000000000a", Seq: 1, Version: hearth.Latest}, nil
	})
}

// open sends a request and leaves the body of the answer unread.
func (d *door) open(t testing.TB, c *http.Client, req *http.Request) *http.Response {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func partsAtOnce(t *testing.T, d *door) {
	m := newMemStream("text/event-stream")
	d.streams(m)
	// The head is here before the function has written anything.
	resp := d.open(t, d.client(t), d.request(t, "GET", "/fn/say/", nil))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.ContentLength != -1 {
		t.Fatalf("%s %v, length %d", resp.Status, resp.Header, resp.ContentLength)
	}
	part := make([]byte, 5)
	for range 20 {
		m.write("part\n")
		if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != "part\n" {
			t.Fatalf("%q, %v", part, err)
		}
	}
	m.end(nil)
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

func emptyStream(t *testing.T, d *door) {
	m := newMemStream("text/plain")
	d.streams(m)
	m.end(nil)
	if resp, body := do(t, d.client(t), d.request(t, "GET", "/fn/say/", nil)); resp.StatusCode != 200 || body != "" {
		t.Errorf("%s %q", resp.Status, body)
	}
}

// failsMidway: the client can tell an answer that was cut off from one that ended.
func failsMidway(t *testing.T, d *door) {
	m := newMemStream("text/plain")
	d.streams(m)
	go func() { m.write("half"); m.end(errorResult) }()
	resp := d.open(t, d.client(t), d.request(t, "GET", "/fn/say/", nil))
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "half" {
		t.Errorf("%s %q, %v", resp.Status, body, err)
	}
}

func headOfStream(t *testing.T, d *door) {
	m := newMemStream("text/plain")
	d.streams(m)
	c := d.client(t)
	if resp, body := do(t, c, d.request(t, "HEAD", "/fn/say/", nil)); resp.StatusCode != 200 || body != "" || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%s %v %q", resp.Status, resp.Header, body)
	}
	<-m.closed
	if resp, _ := do(t, c, d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("the next one got %s", resp.Status)
	}
}

// slowReader: what a reader does not take is not piled up in memory. Once all buffers
// on the way are full, the function waits; then everything arrives.
func slowReader(t *testing.T, d *door) {
	const part, most = 64 << 10, 64 << 20
	m := newMemStream("application/octet-stream")
	d.streams(m)
	var written atomic.Int64
	text := strings.Repeat("0123456789abcdef", part/16)
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		for written.Load() < most && m.write(text) {
			written.Add(part)
		}
		m.end(nil)
	}()
	resp := d.open(t, d.client(t), d.request(t, "GET", "/fn/say/", nil))
	// Nothing tells that a writer waits, so it is watched for a while of no progress.
	stuck, last := time.NewTicker(200*time.Millisecond), int64(-1)
	defer stuck.Stop()
	for range stuck.C {
		now := written.Load()
		if now == last {
			break
		}
		last = now
	}
	if last >= most {
		t.Fatalf("%d bytes went to a reader who read none", last)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != most {
		t.Fatalf("%d bytes arrived of %d: %v", n, most, err)
	}
	<-writer
}

// stalledReader: one who takes nothing for longer than the write timeout is cut off.
func stalledReader(t *testing.T, d *door) {
	m := newMemStream("application/octet-stream")
	d.streams(m)
	text := strings.Repeat("0123456789abcdef", 4096)
	resp := d.open(t, d.client(t), d.request(t, "GET", "/fn/say/", nil))
	for m.write(text) {
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the answer seems whole")
	}
}

func readerLeaves(t *testing.T, d *door) {
	m := newMemStream("application/octet-stream")
	d.streams(m)
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		for m.write("on and on\n") {
		}
	}()
	ctx, leave := context.WithCancel(t.Context())
	resp := d.open(t, d.client(t), d.request(t, "GET", "/fn/say/", nil).WithContext(ctx))
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	leave()
	<-m.closed
	<-writer
}

func followerLeaves(t *testing.T, d *door) {
	ctx, leave := context.WithCancel(t.Context())
	c := d.client(t)
	resp := d.open(t, c, d.request(t, "GET", "/hearth/v1/events?follow=1", nil).WithContext(ctx))
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	leave()
	d.left(t, c)
}

// callerLeaves: the function goes on to its end, and the server on to others.
func callerLeaves(t *testing.T, d *door) {
	ctx, leave := context.WithCancel(t.Context())
	c := d.client(t)
	gone := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "POST", d.url(waitPath), strings.NewReader("{}"))
		if err == nil {
			var resp *http.Response
			if resp, err = c.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		gone <- err
	}()
	<-d.invoker.waiting
	leave()
	if err := <-gone; err == nil {
		t.Error("an answer came before the function had one")
	}
	close(d.invoker.block)
	if resp, body := do(t, c, d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("%s %q", resp.Status, body)
	}
	d.left(t, c)
}

func followsLog(t *testing.T, d *door) {
	line := func(text string) {
		d.logs.Open("echo", "i00000000000a").Line(d.now(), "r", 1, []byte(text+"\n"))
	}
	line("before")
	resp := d.open(t, d.client(t), d.request(t, "GET", "/hearth/v1/functions/echo/logs?follow=1", nil))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != typeLines {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	awaitText(t, resp.Body, `"text":"before"`)
	line("after")
	awaitText(t, resp.Body, `"text":"after"`)
	awaitText(t, resp.Body, "\n\n") // a heartbeat
}

// awaitText reads until text has come.
func awaitText(t testing.TB, r io.Reader, text string) {
	t.Helper()
	var all []byte
	piece := make([]byte, 512)
	for !strings.Contains(string(all), text) {
		n, err := r.Read(piece)
		if all = append(all, piece[:n]...); err != nil {
			t.Fatalf("%v before %q came, after %q", err, text, all)
		}
	}
}
