package link_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/internal/link"
)

const patience = 30 * time.Second

// pair returns a connected pair of stream sockets.
func pair(tb testing.TB) (near, far net.Conn) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		conns[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			tb.Fatal(err)
		}
	}
	return conns[0], conns[1]
}

// Frame types, as PROTOCOL.md numbers them.
const (
	tInit, tInvoke, tData, tCancel, tShutdown           = 1, 2, 3, 4, 5
	tHello, tReady, tInitError, tResult, tResData, tLog = 16, 17, 18, 19, 20, 21
	more, failed                                        = 1, 2
	ofHTTP, bodied                                      = 8, 32
)

// frame encodes one frame, apart from the code under test.
func frame(kind, flags byte, stream uint32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, kind, flags, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, stream)
	return append(b, body...)
}

var helloFrame = frame(tHello, 0, 0, []byte(`{"protocol":1,"runtime":"test1","pid":1}`))
var readyFrame = frame(tReady, 0, 0, []byte(`{}`))

// received is a frame from the host.
type received struct {
	kind, flags byte
	stream      uint32
	body        []byte
}

// peer is the shim's end, spoken by the test.
type peer struct {
	tb   testing.TB
	conn net.Conn
}

func (p peer) read() (received, error) {
	var head [12]byte
	if _, err := io.ReadFull(p.conn, head[:]); err != nil {
		return received{}, err
	}
	r := received{kind: head[4], flags: head[5], stream: binary.LittleEndian.Uint32(head[8:])}
	r.body = make([]byte, binary.LittleEndian.Uint32(head[:]))
	_, err := io.ReadFull(p.conn, r.body)
	return r, err
}

func (p peer) expect(kind byte) received {
	p.tb.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	r, err := p.read()
	p.conn.SetReadDeadline(time.Time{})
	if err != nil || r.kind != kind {
		p.tb.Fatalf("got frame %d, error %v; want frame %d", r.kind, err, kind)
	}
	return r
}

func (p peer) write(frames ...[]byte) {
	p.tb.Helper()
	for _, f := range frames {
		if _, err := p.conn.Write(f); err != nil {
			p.tb.Fatalf("write: %v", err)
		}
	}
}

// payloadOf splits INVOKE's body, whose payload is no HTTP event.
func payloadOf(body []byte) (id string, payload []byte) {
	at := 8
	id = string(body[at+1 : at+1+int(body[at])])
	at += 1 + int(body[at])
	for range 3 {
		at += 2 + int(binary.LittleEndian.Uint16(body[at:]))
	}
	return id, body[at+4:]
}

// ready returns a Conn that is initialised, and its peer.
func ready(tb testing.TB, opts link.Options) (*link.Conn, peer) {
	tb.Helper()
	near, far := pair(tb)
	c := connect(near, opts)
	p := peer{tb, far}
	tb.Cleanup(func() {
		c.Close()
		far.Close()
	})
	initialise(tb, c, p)
	return c, p
}

func initialise(tb testing.TB, c *link.Conn, p peer) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.write(helloFrame)
	hello, err := c.Hello(ctx)
	if err != nil || hello.Runtime != "test1" {
		tb.Fatalf("hello: %+v, %v", hello, err)
	}
	failure := make(chan error, 1)
	go func() { failure <- c.Init(ctx, link.Init{Handler: "index.handler"}) }()
	p.expect(tInit)
	p.write(readyFrame)
	if err := <-failure; err != nil {
		tb.Fatalf("init: %v", err)
	}
}

func newCall(id, payload string) *link.Call {
	call := link.NewCall()
	call.ID, call.Payload, call.Deadline = id, []byte(payload), time.Now().Add(time.Minute)
	return call
}

// fataler is what testing and rapid have in common.
type fataler interface {
	Fatalf(format string, args ...any)
}

func await(tb fataler, call *link.Call) {
	select {
	case <-call.Done():
	case <-time.After(patience):
		tb.Fatalf("call %s did not end", call.ID)
	}
}

// echo answers every invocation with its payload until the connection ends; it
// answers all frames of one read in one write, as the shims do.
func echo(conn net.Conn, wg *sync.WaitGroup) {
	wg.Go(func() {
		in, kept, out := make([]byte, 1<<20), 0, []byte(nil)
		for {
			n, err := conn.Read(in[kept:])
			if err != nil {
				return
			}
			data := in[:kept+n]
			out = out[:0]
			for len(data) >= 12 {
				size := 12 + int(binary.LittleEndian.Uint32(data))
				if len(data) < size {
					break
				}
				f := data[:size]
				data = data[size:]
				switch f[4] {
				case tInvoke:
					_, payload := payloadOf(f[12:])
					out = append(out, frame(tResult, f[5], binary.LittleEndian.Uint32(f[8:]), payload)...)
				case tData:
					out = append(out, frame(tResData, f[5], binary.LittleEndian.Uint32(f[8:]), f[12:])...)
				}
			}
			kept = copy(in, data)
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	})
}
