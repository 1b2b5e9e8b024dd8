package front

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"hearth/internal/loop/looptest"
)

const testPatience = time.Minute

// held is a Handler whose exchanges are answered by the test.
type held struct{ begun chan *Exchange }

func (h held) Takes(x *Exchange) bool { x.Memory = h; return true }
func (h held) Begin(x *Exchange)      { h.begun <- x }
func (held) Done(*Exchange)           {}

func (h held) Late() []byte { return nil }

func answer(x *Exchange, size int) {
	x.Answer(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), bytes.Repeat([]byte("a"), size), false)
}

// connect opens a Front, and a connection to it.
func connect(t *testing.T, h Handler) (*Front, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	f, err := New(l, Config{
		Loops: looptest.Group(t), Handler: h, HandOver: func(c net.Conn, _ []byte) { c.Close() },
		MaxHeaderBytes: 16 << 10, MaxBodyBytes: 8 << 20, HeaderTimeout: testPatience, BodyTimeout: testPatience,
		WriteTimeout: testPatience, IdleTimeout: testPatience, DrainGrace: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	return f, c
}

func send(t *testing.T, c net.Conn, size int) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("b", size)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, r *bufio.Reader) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
}

func locked(c *conn, what func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return what()
}

// until waits until what holds, which it looks at under the connection's lock.
func until(t *testing.T, c *conn, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); ; runtime.Gosched() {
		if locked(c, what) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

// A client who sends the next request before each answer costs no more memory with time.
func TestAlwaysOneMoreRequest(t *testing.T) {
	h := held{make(chan *Exchange, 1)}
	_, c := connect(t, h)
	r := bufio.NewReader(c)
	send(t, c, 1000)
	for range 500 {
		x := <-h.begun
		send(t, c, 1000)
		until(t, x.conn, func() bool { return len(x.conn.in) > x.conn.at+x.conn.size })
		answer(x, 2)
		receive(t, r)
	}
	x := <-h.begun
	until(t, x.conn, func() bool {
		if have := cap(x.conn.in); have > 4*keepBuffer {
			t.Fatalf("a buffer of %d bytes for requests of 1000", have)
		}
		return true
	})
	answer(x, 2)
	receive(t, r)
}

// What a large exchange has needed goes when the connection is idle: the handler's memory
// holds on to its payload and its answer.
func TestIdleAfterALargeExchange(t *testing.T) {
	for _, size := range []struct{ request, answer int }{{10, 1 << 20}, {1 << 20, 10}} {
		h := held{make(chan *Exchange, 1)}
		_, c := connect(t, h)
		r := bufio.NewReader(c)
		for _, small := range []bool{true, false} {
			request, back := size.request, size.answer
			if small {
				request, back = 10, 10
			}
			send(t, c, request)
			x := <-h.begun
			answered := make(chan struct{})
			go func() { defer close(answered); answer(x, back) }()
			receive(t, r)
			<-answered
			until(t, x.conn, func() bool { return x.conn.waitsFor == idle })
			until(t, x.conn, func() bool {
				if kept := x.Memory != nil; kept != small {
					t.Errorf("%d bytes, then %d: the handler's memory is kept: %v", request, back, kept)
				}
				return true
			})
		}
	}
}

// A client who announces much and sends little has no more room than trust says, whatever
// size the buffers have that are used again.
func TestWidenTrusts(t *testing.T) {
	for come := 1 << 10; come <= 1<<20; come += come / 4 {
		c := &conn{in: make([]byte, come)}
		c.widen(8 << 20)
		if len(c.in) != come || cap(c.in) > trust*come {
			t.Fatalf("%d bytes have come and have room for %d", len(c.in), cap(c.in))
		}
	}
}

// A request that is served holds little more memory than it has bytes: thousands may wait for
// a slow function.
func TestHeldRequestCostsLittle(t *testing.T) {
	h := held{make(chan *Exchange, 1)}
	_, c := connect(t, h)
	r := bufio.NewReader(c)
	for size := 1 << 10; size <= 1<<20; size += size / 3 {
		send(t, c, size)
		x := <-h.begun
		if room := cap(x.conn.in); room > max(4*size, keepBuffer) {
			t.Errorf("a request of %d bytes holds %d", size, room)
		}
		answer(x, 1)
		receive(t, r)
	}
}

// A client may go away while its request is served: what it has sent stays as it is until
// it is answered, though nobody will have the answer.
func TestGoneClientsBodyStays(t *testing.T) {
	const size = 128 << 10
	h := held{make(chan *Exchange, 1)}
	f, c := connect(t, h)
	addr := c.RemoteAddr().String()
	post := func(c net.Conn, fill string) *Exchange {
		t.Helper()
		if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat(fill, size)); err != nil {
			t.Fatal(err)
		}
		select {
		case x := <-h.begun:
			return x
		case <-time.After(testPatience):
			t.Fatal("the request has not begun")
			return nil
		}
	}
	x := post(c, "a")
	body := x.Body
	if err := c.(*net.TCPConn).SetLinger(0); err != nil { // a reset, not half a close
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(testPatience); f.Connections() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still there")
		}
	}
	for range 8 { // on any of the loops
		other, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		answer(post(other, "b"), 1)
	}
	if n := bytes.Count(body, []byte("a")); n != size {
		t.Errorf("%d of %d bytes are others now", size-n, size)
	}
	answer(x, 1)
}
