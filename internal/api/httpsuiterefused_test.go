package api

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusedCases are about what is not HTTP/1.1 as it should be.
func refusedCases() []httpCase {
	return []httpCase{
		{name: "malformed", under: onH1, run: malformed},
		{name: "malformed amid a pipeline", under: onH1, run: malformedAmidPipeline},
		{name: "garbage", under: onH1, cfg: Config{HeaderTimeout: 500 * time.Millisecond, BodyTimeout: 200 * time.Millisecond}, run: garbage},
	}
}

// malformedRequests could mean one thing to us and another to a proxy in front
// (RFC 9112, 2.2 to 7.1), or mean nothing at all.
func malformedRequests() []string {
	const get, echo = "GET /healthz HTTP/1.1\r\n", "POST " + echoPath + " HTTP/1.1\r\nHost: h\r\n"
	chunked := func(chunks string) string { return echo + "Transfer-Encoding: chunked\r\n\r\n" + chunks }
	return []string{
		// The request line.
		"nonsense\r\n\r\n",
		"GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
		" GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /healthz\r\nHost: h\r\n\r\n",
		"GET /health\x01z HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /health z HTTP/1.1\r\nHost: h\r\n\r\n",
		"G\x00T /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /healthz HTTP/9.9\r\nHost: h\r\n\r\n",
		"GET /healthz HTTP/1.1x\r\nHost: h\r\n\r\n",
		"GET /healthz FTP/1.1\r\nHost: h\r\n\r\n",
		// Headers.
		get + "Host h\r\n\r\n",
		get + "Host: h\r\n folded: x\r\n\r\n",
		get + "Host: h\r\nX-A: b\r\n c\r\n\r\n",
		get + "Host: h\r\nX-A: b\r\n\tc\r\n\r\n",
		get + "Host : h\r\n\r\n",
		get + "Host: h\r\nX A: b\r\n\r\n",
		get + " Host: h\r\n\r\n",
		get + "Host: h\r\n: b\r\n\r\n",
		get + "Host: h\r\nX-A: b\x00c\r\n\r\n",
		get + "Host: h\r\nX-A: b\rc\r\n\r\n",
		get + "Host: h\r\nHost: g\r\n\r\n",
		get + "\r\n",
		// Lengths.
		echo + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
		echo + "Content-Length: 2, 3\r\n\r\n{}}",
		echo + "Content-Length: -1\r\n\r\n",
		echo + "Content-Length: +2\r\n\r\n{}",
		echo + "Content-Length: 0x2\r\n\r\n{}",
		echo + "Content-Length: 2 2\r\n\r\n{}",
		echo + "Content-Length: \r\n\r\n{}",
		echo + "Content-Length: 99999999999999999999\r\n\r\n{}",
		echo + "Content-Length : 2\r\n\r\n{}",
		echo + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
		echo + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		// Chunks.
		chunked("zz\r\n"),
		chunked("-1\r\n"),
		chunked("+2\r\n{}\r\n0\r\n\r\n"),
		chunked("0x2\r\n{}\r\n0\r\n\r\n"),
		chunked("\r\n{}\r\n0\r\n\r\n"),
		chunked("2\r\n{}}\r\n0\r\n\r\n"),
		chunked("2\r\n{}0\r\n\r\n"),
		chunked("fffffffffffffffff\r\n"),
		chunked("ffffffffffffffff\r\n"),
	}
}

func malformed(t *testing.T, d *door) {
	for _, raw := range malformedRequests() {
		c, r := d.knock(t)
		send(t, c, raw)
		shut(t, c)
		if err := refusal(r); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		c.Close()
	}
	d.left(t)
}

// refusal reads one answer that refuses what came, and the end of the connection.
func refusal(r *bufio.Reader) error {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != 400 && resp.StatusCode != 501 && resp.StatusCode != 505 || !resp.Close {
		return fmt.Errorf("%s %q, closing: %v", resp.Status, body, resp.Close)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		return fmt.Errorf("after the refusal came %q, %v", rest, err)
	}
	return nil
}

// malformedAmidPipeline: what comes after it is not read as a request: it may have been
// meant as its body.
func malformedAmidPipeline(t *testing.T, d *door) {
	for _, raw := range []string{
		"POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"nonsense\r\n\r\n",
		"POST " + echoPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		c, r := d.knock(t)
		send(t, c, post(echoPath, "1")+raw+post(waitPath, "{}"))
		wants(t, r, "POST", 200, "1")
		if resp := wants(t, r, "POST", 400, ""); !resp.Close {
			t.Errorf("%q: the connection is to go on", raw)
		}
		ends(t, r)
		select {
		case <-d.invoker.waiting:
			t.Errorf("%q: what followed was served", raw)
		default:
		}
	}
}

// garbage of many kinds and lengths: each connection ends, and the server goes on.
func garbage(t *testing.T, d *door) {
	seeded := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(seeded.Uint32())
		}
		return string(b)
	}
	texts := []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random(500), // a TLS ClientHello, in the clear
		"SSH-2.0-OpenSSH_9.2\r\n", "\x00", strings.Repeat("\x00", 100_000), strings.Repeat("\r\n", 50_000), strings.Repeat("A", 100_000),
		strings.Repeat("GET ", 10_000), "GET /" + random(5000) + " HTTP/1.1\r\n\r\n", post(echoPath, "{}") + random(1000),
	}
	for range 100 {
		texts = append(texts, random(1+seeded.IntN(2000)))
	}
	var senders sync.WaitGroup
	for _, text := range texts {
		c, r := d.knock(t)
		senders.Go(func() { _, _ = io.WriteString(c, text) })
		senders.Go(func() {
			if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%.100q: %v", text, err)
			}
			c.Close()
		})
	}
	senders.Wait()
	d.left(t)
	if resp, body := do(t, d.client(t), d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("%s %q", resp.Status, body)
	}
}
