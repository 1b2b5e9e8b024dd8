package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wireCases are about HTTP/1.1 as bytes on a connection.
func wireCases() []httpCase {
	return []httpCase{
		{name: "1,000 pipelined", under: onH1, run: pipelined},
		{name: "pipelined behind a slow one", under: onH1, run: pipelinedBehindSlow},
		{name: "pipelined of every kind", under: onH1, run: pipelinedMixed},
		{name: "pipelined without listening", under: onH1, cfg: Config{WriteTimeout: 300 * time.Millisecond}, run: pipelinedDeaf},
		{name: "Connection: close amid a pipeline", under: onH1, run: closeAmidPipeline},
		{name: "byte by byte", under: onH1, run: byteByByte},
		{name: "split at every byte", under: onH1, run: splitEverywhere},
		{name: "split amid a pipeline", under: onH1, run: splitAmidPipeline},
		{name: "chunked, in odd chunks", under: onH1, run: oddChunks},
		{name: "HTTP/1.0", under: onH1, run: http10},
		{name: "absolute targets", under: onH1, run: absoluteTargets},
		{name: "empty lines before a request", under: onH1, run: emptyLinesBefore},
		{name: "half closed", under: onH1, run: halfClosed},
		{name: "half closed while the function runs", under: onH1, run: halfClosedWaiting},
		{name: "half closed amid a stream", under: onH1, run: halfClosedStream},
		{name: "end amid the headers", under: onH1, run: endAmidHeaders},
		{name: "headers that stop coming", under: onH1, cfg: Config{HeaderTimeout: 500 * time.Millisecond}, run: headersStop},
		{name: "headers that trickle", under: onH1, cfg: Config{HeaderTimeout: 500 * time.Millisecond}, run: headersTrickle},
		{name: "Expect and a pipelined body", under: onH1, run: expectWithBody},
	}
}

// pipelineOf sends text while the answers are read.
func pipelineOf(c net.Conn, text string) {
	go func() { _, _ = io.WriteString(c, text) }()
}

func pipelined(t *testing.T, d *door) {
	c, r := d.knock(t)
	const n = 1000
	var all strings.Builder
	for i := range n {
		all.WriteString(post(echoPath, fmt.Sprintf(`{"n":%d}`, i)))
	}
	pipelineOf(c, all.String())
	for i := range n {
		wants(t, r, "POST", 200, fmt.Sprintf(`{"n":%d}`, i))
	}
}

// pipelinedBehindSlow: answers come in the order of the requests, whichever is ready
// first.
func pipelinedBehindSlow(t *testing.T, d *door) {
	c, r := d.knock(t)
	send(t, c, post(waitPath, "{}")+post(echoPath, "1")+post(waitPath, "{}")+post(echoPath, "2"))
	<-d.invoker.waiting
	close(d.invoker.block)
	for _, want := range []string{`"waited"`, "1", `"waited"`, "2"} {
		wants(t, r, "POST", 200, want)
	}
}

func pipelinedMixed(t *testing.T, d *door) {
	c, r := d.knock(t)
	chunked := "POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
	head, get, lost := "HEAD /fn/say/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET /fn/say/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
	big := string(bigJSON(200_000))
	const rounds = 20
	pipelineOf(c, strings.Repeat(post(echoPath, "1")+chunked+head+get+lost+post(echoPath, big)+post("/fn/panic/", "{}"), rounds))
	for range rounds {
		wants(t, r, "POST", 200, "1")
		wants(t, r, "POST", 200, "[1,2]")
		wants(t, r, "HEAD", 200, "")
		wants(t, r, "GET", 200, "hello")
		wants(t, r, "GET", 404, "nothing at /nowhere")
		wants(t, r, "POST", 200, big)
		wants(t, r, "POST", 500, "request id")
	}
}

// pipelinedDeaf: a client that sends on and on and never listens is neither served
// without end nor kept.
func pipelinedDeaf(t *testing.T, d *door) {
	c, _ := d.knock(t)
	one := strings.Repeat(post(echoPath, string(bigJSON(1<<20))), 4)
	for {
		if _, err := io.WriteString(c, one); err != nil {
			break
		}
	}
	c.Close()
	d.left(t)
}

func closeAmidPipeline(t *testing.T, d *door) {
	c, r := d.knock(t)
	last := strings.Replace(post(echoPath, "2"), "Host: h\r\n", "Host: h\r\nConnection: close\r\n", 1)
	send(t, c, post(echoPath, "1")+last+post(waitPath, "3"))
	wants(t, r, "POST", 200, "1")
	if resp := wants(t, r, "POST", 200, "2"); !resp.Close {
		t.Error("the last answer does not say that it is the last")
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 { // the end may be a reset: there was more to read
		t.Errorf("after the last answer came %q", rest)
	}
	select {
	case <-d.invoker.waiting:
		t.Error("a request after Connection: close was served")
	default:
	}
}

func byteByByte(t *testing.T, d *door) {
	c, r := d.knock(t)
	chunked := "POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
	go func() {
		for _, b := range []byte(post(echoPath, `{"a":1}`) + chunked) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	wants(t, r, "POST", 200, `{"a":1}`)
	wants(t, r, "POST", 200, `[1,2]`)
}

// splitEverywhere sends requests in two pieces, cut at every possible place. The server
// has the time to read the first piece alone: another client is served meanwhile.
func splitEverywhere(t *testing.T, d *door) {
	c, r := d.knock(t)
	other, otherReader := d.knock(t)
	texts := map[string]string{
		post(echoPath, `{"a":1}`): `{"a":1}`,
		"POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n[1,\r\n2\r\n2]\r\n0\r\nX-T: r\r\n\r\n": `[1,2]`,
	}
	for text, want := range texts {
		for i := range len(text) {
			send(t, c, text[:i])
			send(t, other, post(echoPath, "0"))
			wants(t, otherReader, "POST", 200, "0")
			send(t, c, text[i:])
			wants(t, r, "POST", 200, want)
		}
	}
}

// splitAmidPipeline: who has sent one request and the headers of the next so far gets
// the first answer before they send on.
func splitAmidPipeline(t *testing.T, d *door) {
	c, r := d.knock(t)
	text := "GET /fn/say/ HTTP/1.1\r\nHost: h\r\nX-Header: some value\r\n\r\n"
	for i := range len(text) {
		send(t, c, post(echoPath, "0")+text[:i])
		wants(t, r, "POST", 200, "0")
		send(t, c, text[i:])
		wants(t, r, "GET", 200, "hello")
	}
}

func oddChunks(t *testing.T, d *door) {
	c, r := d.knock(t)
	head := "POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: %s\r\n\r\n"
	for _, chunks := range []string{
		"7\r\n{\"a\":1}\r\n0\r\n\r\n",
		"007\r\n{\"a\":1}\r\n000\r\n\r\n",
		"7;name=value\r\n{\"a\":1}\r\n0;last\r\n\r\n",
		"1\r\n{\r\n1\r\n\"\r\n1\r\na\r\n1\r\n\"\r\n1\r\n:\r\n1\r\n1\r\n1\r\n}\r\n0\r\n\r\n",
		"7\r\n{\"a\":1}\r\n0\r\nTrailer-Field: value\r\nAnother: one\r\n\r\n",
	} {
		for _, coding := range []string{"chunked", "Chunked"} {
			send(t, c, fmt.Sprintf(head, coding)+chunks)
			wants(t, r, "POST", 200, `{"a":1}`)
		}
	}
	text := string(bigJSON(0xFFFF))
	send(t, c, fmt.Sprintf(head, "chunked")+"fFfF\r\n"+text+"\r\n0\r\n\r\n")
	wants(t, r, "POST", 200, text)
}

func http10(t *testing.T, d *door) {
	c, r := d.knock(t)
	send(t, c, "GET /healthz HTTP/1.0\r\n\r\n")
	wants(t, r, "GET", 200, "ok")
	ends(t, r)
	c, r = d.knock(t)
	for range 3 {
		send(t, c, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if resp := wants(t, r, "GET", 200, "ok"); !strings.EqualFold(resp.Header.Get("Connection"), "keep-alive") {
			t.Errorf("an HTTP/1.0 client is not told that the connection stays: %v", resp.Header)
		}
	}
	send(t, c, "POST "+echoPath+" HTTP/1.0\r\nContent-Length: 2\r\n\r\n[]")
	wants(t, r, "POST", 200, "[]")
	ends(t, r)
}

func absoluteTargets(t *testing.T, d *door) {
	c, r := d.knock(t)
	for _, target := range []string{"http://h:1/fn/echo/a//b?c=http://d", "https://h:1/fn/echo/a//b?c=http://d", "HTTP://h:1/fn/echo/a//b?c=http://d"} {
		send(t, c, "GET "+target+" HTTP/1.1\r\nHost: h:1\r\n\r\n")
		wants(t, r, "GET", 200, `"rawPath":"/a//b","rawQueryString":"c=http://d"`)
	}
	send(t, c, "GET http://h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")
	wants(t, r, "GET", 404, "nothing at")
	send(t, c, "GET http://h/healthz HTTP/1.1\r\nHost: h\r\n\r\n")
	wants(t, r, "GET", 200, "ok")
}

// emptyLinesBefore: at least one is to be ignored (RFC 9112, 2.2).
func emptyLinesBefore(t *testing.T, d *door) {
	c, r := d.knock(t)
	for range 2 {
		send(t, c, "\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
		wants(t, r, "GET", 200, "ok")
	}
}

// halfClosed: a client that says it will send no more still gets its answers.
func halfClosed(t *testing.T, d *door) {
	for _, n := range []int{1, 3} {
		c, r := d.knock(t)
		send(t, c, strings.Repeat(post(echoPath, `{"a":1}`), n))
		shut(t, c)
		for range n {
			wants(t, r, "POST", 200, `{"a":1}`)
		}
		ends(t, r)
	}
	text := string(bigJSON(6 << 20))
	c, r := d.knock(t)
	send(t, c, post(echoPath, text))
	shut(t, c)
	wants(t, r, "POST", 200, text)
	ends(t, r)
}

func halfClosedWaiting(t *testing.T, d *door) {
	c, r := d.knock(t)
	send(t, c, post(waitPath, "{}"))
	<-d.invoker.waiting
	shut(t, c)
	// The server has time to notice: another client is served meanwhile.
	for range 10 {
		do(t, d.client(t), d.request(t, "GET", "/healthz", nil))
	}
	close(d.invoker.block)
	wants(t, r, "POST", 200, `"waited"`)
	ends(t, r)
}

func halfClosedStream(t *testing.T, d *door) {
	m := newMemStream("text/plain")
	d.streams(m)
	c, r := d.knock(t)
	send(t, c, "GET /fn/say/ HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.write("one")
	shut(t, c)
	go func() { m.write("two"); m.end(nil) }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "onetwo" {
		t.Errorf("%q, %v", body, err)
	}
	ends(t, r)
}

func endAmidHeaders(t *testing.T, d *door) {
	for _, text := range []string{"G", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: h\r\n", post(echoPath, "{}")[:20]} {
		c, r := d.knock(t)
		send(t, c, text)
		shut(t, c)
		answer, err := io.ReadAll(r)
		if err != nil || len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("after %q: %.100q, %v", text, answer, err)
		}
	}
	d.left(t)
}

func headersStop(t *testing.T, d *door) {
	_, r := d.heard(t, "GET /healthz HTTP/1.1\r\nHost:")
	wants(t, r, "GET", 408, "in time")
	ends(t, r)
	_, r = d.heard(t, post(echoPath, "1")+"GET /healthz HTTP/1.1\r\nHost:") // as the second request of its connection
	wants(t, r, "POST", 200, "1")
	wants(t, r, "GET", 408, "in time")
	ends(t, r)
	d.left(t)
}

// headersTrickle: it is the whole of the headers that must come in time.
func headersTrickle(t *testing.T, d *door) {
	for range 10 {
		c, r := d.knock(t)
		gone := trickle(c)
		_, err := r.Peek(1)
		if err == nil { // else the server had heard nothing when the time was over
			wants(t, r, "GET", 408, "in time")
		}
		c.Close()
		<-gone
		if err == nil {
			d.left(t)
			return
		}
	}
	t.Fatal("nothing comes back")
}

// trickle sends headers for ever, slowly; the channel tells when the connection is gone.
func trickle(c net.Conn) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for text := "GET /healthz HTTP/1.1\r\n"; ; text = "X: y\r\n" {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			<-tick.C
		}
	}()
	return gone
}

// expectWithBody: a client may send its body without waiting for the word.
func expectWithBody(t *testing.T, d *door) {
	c, r := d.knock(t)
	text := strings.Replace(post(echoPath, "[1]"), "Host: h\r\n", "Host: h\r\nExpect: 100-continue\r\n", 1)
	send(t, c, text+post(echoPath, "2"))
	resp := continued(t, r)
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil || string(body) != "[1]" {
		t.Errorf("%s %q %v", resp.Status, body, err)
	}
	wants(t, r, "POST", 200, "2")
}

// continued reads an answer, past a 100 (Continue) if there is one.
func continued(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusContinue {
			return resp
		}
	}
}
