package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// bodyCases are about the bodies of requests: how they come, and which are refused.
func bodyCases() []httpCase {
	return []httpCase{
		{name: "6 MB in and out", under: onAny, run: largeBodies},
		{name: "body of unknown length", under: onAny, run: unknownLength},
		{name: "body piece by piece", under: onAny, run: slowButSteady},
		{name: "announced too large", under: onAny, run: announcedTooLarge},
		{name: "found too large", under: onAny, run: foundTooLarge},
		{name: "limits of each route", under: onAny, run: limitsOfRoutes},
		{name: "Expect: 100-continue", under: onAny, run: expectContinue},
		{name: "Expect with too much", under: onAny, run: expectTooMuch},
		{name: "a body that stops coming", under: onAny, cfg: Config{BodyTimeout: 100 * time.Millisecond}, run: bodyStops},
		{name: "GET with a body", under: onAny, run: getWithBody},
	}
}

// pieces is a body of unknown length; it calls next for each piece until that is nil.
type pieces struct {
	next func() []byte
	rest []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.rest = p.next(); p.rest == nil {
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// piecesOf hands out text in pieces of size bytes.
func piecesOf(text []byte, size int) *pieces {
	return &pieces{next: func() []byte {
		if len(text) == 0 {
			return nil
		}
		piece := text[:min(size, len(text))]
		text = text[len(piece):]
		return piece
	}}
}

// bigJSON is a string of JSON of size bytes in which no two places look alike.
func bigJSON(size int) []byte {
	b := make([]byte, 0, size+16)
	b = append(b, '"')
	for i := 0; len(b) < size-1; i++ {
		b = fmt.Appendf(b, "%x.", i*7919)
	}
	return append(b[:size-1], '"')
}

func largeBodies(t *testing.T, d *door) {
	c := d.client(t)
	text := bigJSON(6 << 20)
	for range 2 {
		resp, body := do(t, c, d.request(t, "POST", echoPath, bytes.NewReader(text)))
		if resp.StatusCode != 200 || body != string(text) {
			t.Fatalf("%s, %d bytes of %d, alike: %v", resp.Status, len(body), len(text), body == string(text))
		}
	}
}

func unknownLength(t *testing.T, d *door) {
	c := d.client(t)
	for _, size := range []int{1, 7, 4096, 100_000} {
		text := bigJSON(min(300_000, 70_000*size)) // each is more than a window of HTTP/2
		resp, body := do(t, c, d.request(t, "POST", echoPath, piecesOf(text, size)))
		if resp.StatusCode != 200 || body != string(text) {
			t.Fatalf("in pieces of %d: %s, %d bytes", size, resp.Status, len(body))
		}
	}
	if resp, body := do(t, c, d.request(t, "POST", echoPath, piecesOf(nil, 1))); resp.StatusCode != 200 || body != "{}" {
		t.Fatalf("nothing at all: %s %q", resp.Status, body)
	}
}

// slowButSteady: a body may be written with pauses, each a turn of the other side.
func slowButSteady(t *testing.T, d *door) {
	r, w := io.Pipe()
	go func() {
		for _, piece := range []string{`{"a"`, `:`, `[1,2`, `,3]`, `}`} {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
		w.Close()
	}()
	req := d.request(t, "POST", echoPath, r)
	req.ContentLength = int64(len(`{"a":[1,2,3]}`))
	if resp, body := do(t, d.client(t), req); resp.StatusCode != 200 || body != `{"a":[1,2,3]}` {
		t.Fatalf("%s %q", resp.Status, body)
	}
}

// tooLargeAnswer sends a request whose body is too large and wants to be told so. The
// client may not get rid of all of the body, but it gets the answer.
func tooLargeAnswer(t *testing.T, d *door, c *http.Client, req *http.Request, words string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 413 || !strings.Contains(string(body), words) {
		t.Errorf("%s %s: %s %.300q %v", req.Method, req.URL, resp.Status, body, err)
	}
	// Whoever comes next, on this connection or another, is served.
	if resp, body := do(t, c, d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("the next one got %s %q", resp.Status, body)
	}
}

func announcedTooLarge(t *testing.T, d *door) {
	text := bytes.Repeat([]byte("1"), hearth.MaxPayloadBytes+1)
	tooLargeAnswer(t, d, d.client(t), d.request(t, "POST", echoPath, bytes.NewReader(text)),
		`"message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"`)
}

func foundTooLarge(t *testing.T, d *door) {
	text := bytes.Repeat([]byte("1"), hearth.MaxPayloadBytes+1)
	tooLargeAnswer(t, d, d.client(t), d.request(t, "POST", echoPath, piecesOf(text, 64<<10)), "6291556")
}

func limitsOfRoutes(t *testing.T, d *door) {
	c := d.client(t)
	for _, r := range []struct {
		method, path string
		limit        int
	}{
		{"POST", "/fn/echo/", hearth.MaxPayloadBytes},
		{"POST", "/http/a/b", hearth.MaxPayloadBytes},
		{"POST", "/2021-10-31/functions/echo/url", maxOtherBody},
		{"POST", "/nowhere", maxOtherBody},
	} {
		req := d.request(t, r.method, r.path, bytes.NewReader(make([]byte, r.limit+1)))
		tooLargeAnswer(t, d, c, req, fmt.Sprint(r.limit))
	}
	whole := bytes.Repeat([]byte("1"), hearth.MaxPayloadBytes)
	if resp, body := do(t, c, d.request(t, "POST", echoPath, bytes.NewReader(whole))); resp.StatusCode != 200 || len(body) != len(whole) {
		t.Errorf("exactly the limit: %s, %d bytes", resp.Status, len(body))
	}
	text := bytes.Repeat([]byte(" "), 8<<20) // more than an invocation's, as an upload may be
	if resp, body := do(t, c, d.request(t, "PUT", "/hearth/v1/functions/new", bytes.NewReader(text))); resp.StatusCode != 400 {
		t.Errorf("an upload: %s %.200q", resp.Status, body)
	}
}

func expectContinue(t *testing.T, d *door) {
	req := d.request(t, "POST", echoPath, strings.NewReader(`{"a":1}`))
	req.Header.Set("Expect", "100-continue")
	continued := false
	trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
	resp, body := do(t, d.client(t), req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if resp.StatusCode != 200 || body != `{"a":1}` || !continued {
		t.Errorf("%s %q, told to go on: %v", resp.Status, body, continued)
	}
}

// expectTooMuch: who asks before it sends too much is refused without sending it.
func expectTooMuch(t *testing.T, d *door) {
	sent := 0
	body := &pieces{next: func() []byte { sent++; return make([]byte, 1024) }}
	req := d.request(t, "POST", echoPath, body)
	req.ContentLength = hearth.MaxPayloadBytes + 1
	req.Header.Set("Expect", "100-continue")
	resp, text := do(t, d.client(t), req)
	if resp.StatusCode != 413 || !strings.Contains(text, "6291556") || resp.Header.Get("X-Amzn-Errortype") != "RequestTooLargeException" {
		t.Errorf("%s %q", resp.Status, text)
	}
	if sent > 0 {
		t.Errorf("%d pieces were sent nevertheless", sent)
	}
}

func bodyStops(t *testing.T, d *door) {
	req, _ := d.halfSent(t, echoPath)
	resp, err := d.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); resp.StatusCode != 408 || err != nil || !strings.Contains(string(text), "in time") {
		t.Errorf("%s %q %v", resp.Status, text, err)
	}
}

// halfSent is a request whose body begins and then does not go on; the channel tells
// when the beginning has been sent.
func (d *door) halfSent(t testing.TB, path string) (*http.Request, <-chan struct{}) {
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(w, "{")
	}()
	t.Cleanup(func() { r.Close() })
	req := d.request(t, "POST", path, r)
	req.ContentLength = 10
	return req, sent
}

func getWithBody(t *testing.T, d *door) {
	c := d.client(t)
	for range 2 { // the second shows that the first one's body was taken for what it is
		req := d.request(t, "GET", "/fn/echo/", strings.NewReader("hi"))
		req.Header.Set("Content-Type", "text/plain")
		if resp, body := do(t, c, req); resp.StatusCode != 200 || !strings.Contains(body, `"body":"hi"`) {
			t.Fatalf("%s %q", resp.Status, body)
		}
	}
}
