package api

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// way is one way in: how a server is started, and how a client reaches it. The cases
// of the conformance suite (httpsuite_test.go) run against each of the ways.
type way struct {
	name   string
	speaks protocol
	tls    bool
	start  func(t testing.TB, cfg Config) *world
	// conns is how many connections the server still holds.
	conns func(w *world) int
}

// protocol is a set of protocols.
type protocol int

const (
	onH1 protocol = 1 << iota
	onH2
	onAny = onH1 | onH2
)

// ways are those that must pass the suite.
func ways() []way {
	conns := func(w *world) int {
		open := len(w.openConns())
		if w.front != nil {
			open += w.front.Connections()
		}
		return open
	}
	return []way{
		{name: "h1 without loops", speaks: onH1, start: startAs, conns: conns},
		{name: "h1", speaks: onH1, start: start, conns: conns},
		{name: "h1 TLS", speaks: onH1, tls: true, start: startTLS, conns: conns},
		{name: "h2c", speaks: onH2, start: start, conns: conns},
		{name: "h2 TLS", speaks: onH2, tls: true, start: startTLS, conns: conns},
	}
}

// door is a server of one case, with what is needed to knock at it.
type door struct {
	*world
	way way
}

// opened starts a server with the functions that most cases call.
func opened(t testing.TB, y way, cfg Config) *door {
	d := &door{world: y.start(t, cfg), way: y}
	d.deploy(t, "echo", "echo", "")
	d.deploy(t, "proxy", "proxy", "")
	d.deploy(t, "wait", "wait", "")
	d.deploy(t, "panic", "panic", "")
	d.deploy(t, "say", "say", `{"statusCode":200,"headers":{"x-said":"yes"},"cookies":["a=b","c=d"],"body":"hello"}`)
	return d
}

// knock opens a connection, past the TLS handshake if there is one, with a deadline for
// everything on it. Where the server has little patience on purpose, a handshake may come
// too late and is made again.
func (d *door) knock(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	for tries := 1; ; tries++ {
		c, r := d.dial(t)
		if !d.way.tls {
			return c, r
		}
		secured, err := d.handshake(t, c)
		if err == nil {
			return secured, bufio.NewReader(secured)
		}
		if d.cfg.HeaderTimeout > time.Second || tries == 10 {
			t.Fatal(err)
		}
	}
}

func (d *door) handshake(t testing.TB, c net.Conn) (net.Conn, error) {
	t.Helper()
	conf := &tls.Config{RootCAs: testRoots(t), ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}
	if d.way.speaks == onH2 {
		conf.NextProtos = []string{"h2"}
	}
	secured := tls.Client(c, conf)
	if err := secured.HandshakeContext(t.Context()); err != nil {
		return nil, err
	}
	if got := secured.ConnectionState().NegotiatedProtocol; got != conf.NextProtos[0] {
		t.Fatalf("the server chose %q instead of %q", got, conf.NextProtos[0])
	}
	return secured, nil
}

// heard opens a connection and sends text, until something comes back: a server with
// little patience may end a connection before it has heard anything on it.
func (d *door) heard(t testing.TB, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	for range 10 {
		c, r := d.knock(t)
		_, _ = io.WriteString(c, text)
		if _, err := r.Peek(1); err == nil {
			return c, r
		}
		c.Close()
	}
	t.Fatalf("nothing comes back on %.100q", text)
	panic("unreachable")
}

// client is an HTTP client with connections of its own.
func (d *door) client(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: patience}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(d.way.speaks == onH1)
	tr.Protocols.SetHTTP2(d.way.speaks == onH2 && d.way.tls)
	tr.Protocols.SetUnencryptedHTTP2(d.way.speaks == onH2 && !d.way.tls)
	if d.way.tls {
		tr.TLSClientConfig = &tls.Config{RootCAs: testRoots(t)}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// url is where path is.
func (d *door) url(path string) string { return scheme(d.way.tls) + "://" + d.addr + path }

// request makes a request of text.
func (d *door) request(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.url(path), body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends a request and reads the answer whole.
func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(body)
}

// left waits until the server holds no connection any more; the clients keep none for
// later.
func (d *door) left(t testing.TB, clients ...*http.Client) {
	t.Helper()
	eventually(t, "the server has let go of its connections", func() bool {
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		return d.way.conns(d.world) == 0
	})
}

const (
	echoPath = "/2015-03-31/functions/echo/invocations"
	waitPath = "/2015-03-31/functions/wait/invocations"
)

// post is an HTTP/1.1 request with a body of a known length.
func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

// wants reads one answer of HTTP/1.1 and compares it.
func wants(t testing.TB, r *bufio.Reader, method string, status int, body string) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v; want %d %q", err, status, body)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	if resp.StatusCode != status || !strings.Contains(string(got), body) {
		t.Fatalf("got %d %.300q, want %d %.300q", resp.StatusCode, got, status, body)
	}
	return resp
}

// ends wants the connection to end in an orderly way, with nothing more on it.
func ends(t testing.TB, r *bufio.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("the connection did not just end: %.200q, %v", rest, err)
	}
}

// shut ends the client's side of a connection; it can still listen.
func shut(t testing.TB, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}
