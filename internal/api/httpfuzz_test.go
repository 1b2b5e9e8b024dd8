package api

import (
	"io"
	"net"
	"testing"
	"time"
)

// FuzzConnection sends arbitrary bytes, in two pieces, and then ends its side. Whatever
// they are, the server answers or not, ends the connection in time, and serves others.
func FuzzConnection(f *testing.F) {
	for _, raw := range malformedRequests() {
		f.Add([]byte(raw), 10)
	}
	get := asks(1, true, "GET", "/healthz")
	for _, text := range []string{
		post(echoPath, `{"a":1}`), post(echoPath, "1") + post(echoPath, "2"), post("/fn/say/", ""), "GET /healthz HTTP/1.0\r\n\r\n",
		string(get.append(frame{kind: frameSettings}.append([]byte(preface)))), preface, "\x16\x03\x01\x02\x00\x01",
	} {
		f.Add([]byte(text), len(text)/2)
	}
	const soon = time.Second
	w := start(f, Config{HeaderTimeout: soon, BodyTimeout: soon, WriteTimeout: soon, IdleTimeout: soon})
	w.deploy(f, "echo", "echo", "")
	w.deploy(f, "say", "say", `"hello"`)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		cut = min(max(cut, 0), len(text))
		for _, piece := range [][]byte{text[:cut], text[cut:]} {
			if _, err := c.Write(piece); err != nil {
				break // the server has seen enough
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, err = io.Copy(io.Discard, c)
		if late, ok := err.(net.Error); ok && late.Timeout() {
			t.Fatalf("%q: the connection is still open", text)
		}
		if resp, body := w.exchange(t, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); resp.StatusCode != 200 {
			t.Fatalf("after %q others get %s %q", text, resp.Status, body)
		}
	})
}
