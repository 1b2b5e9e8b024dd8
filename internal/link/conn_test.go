package link_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

func TestRoundTrip(t *testing.T) {
	c, p := ready(t, link.Options{})
	call := newCall("req-1", `{"a":1}`)
	call.ARN, call.TraceID, call.ClientContext = "arn:x", "Root=1", []byte(`{"c":2}`)
	if err := c.Send(call); err != nil {
		t.Fatal(err)
	}
	got := p.expect(tInvoke)
	want := []byte{byte(call.Deadline.UnixMilli())}
	if !bytes.HasPrefix(got.body, want) || got.flags != 0 || got.stream == 0 {
		t.Errorf("INVOKE %+v", got)
	}
	if !bytes.Equal(got.body[8:], []byte("\x05req-1\x05\x00arn:x\x06\x00Root=1\x07\x00{\"c\":2}\x07\x00\x00\x00{\"a\":1}")) {
		t.Errorf("body %q", got.body[8:])
	}
	if c.InFlight() != 1 {
		t.Errorf("in flight: %d", c.InFlight())
	}
	p.write(frame(tResult, failed, got.stream, []byte(`{"errorType":"E"}`)))
	await(t, call)
	if string(call.Response) != `{"errorType":"E"}` || !call.Failed || call.Err != nil || c.InFlight() != 0 {
		t.Errorf("call %+v, in flight %d", call, c.InFlight())
	}
	call.Release()
}

// The shim must know an HTTP request from a caller's payload of the same shape.
func TestHTTPFlag(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	for _, test := range []struct {
		http bool // of the call
		size int
		want uint8
	}{{false, 2, 0}, {true, 2, ofHTTP}, {false, 1 << 17, more}, {true, 1 << 17, ofHTTP | more}} {
		call := newCall("r", strings.Repeat("x", test.size))
		if test.http {
			call.HTTP.Form = hearth.EventJSON
		}
		if err := c.Send(call); err != nil {
			t.Fatal(err)
		}
		first, err := p.read()
		for r := first; err == nil && r.flags&more != 0; {
			r, err = p.read()
		}
		if err != nil || first.flags != test.want {
			t.Errorf("%+v: flags %#x, error %v", test, first.flags, err)
		}
		p.write(frame(tResult, 0, first.stream, []byte("null")))
		await(t, call)
		call.Release()
	}
}

func TestPayloadInParts(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	large := newCall("large", strings.Repeat("x", 1<<20))
	small := newCall("small", "{}")
	for _, call := range []*link.Call{large, small} {
		if err := c.Send(call); err != nil {
			t.Fatal(err)
		}
	}
	// The small one need not wait for the whole of the large one.
	got := map[uint32][]byte{}
	var order []uint32
	for done := 0; done < 2; {
		r, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.body) > 128<<10 {
			t.Errorf("frame of %d bytes", len(r.body))
		}
		part := r.body
		if r.kind == tInvoke {
			_, part = payloadOf(r.body)
		}
		got[r.stream] = append(got[r.stream], part...)
		if r.flags&more == 0 {
			order = append(order, r.stream)
			done++
		}
	}
	if string(got[order[0]]) != "{}" || string(got[order[1]]) != string(large.Payload) {
		t.Errorf("payloads of %d and %d bytes, in this order", len(got[order[0]]), len(got[order[1]]))
	}
	p.write(frame(tResult, more, order[1], []byte("one ")), frame(tResult, 0, order[0], nil),
		frame(tResData, more, order[1], []byte("two ")), frame(tResData, 0, order[1], nil))
	await(t, small)
	await(t, large)
	if string(large.Response) != "one two " || len(small.Response) != 0 {
		t.Errorf("responses %q and %q", large.Response, small.Response)
	}
}

func TestSendRefuses(t *testing.T) {
	near, far := pair(t)
	defer far.Close()
	c := connect(near, link.Options{MaxInFlight: 2})
	defer c.Close()
	if err := c.Send(newCall("early", "")); !errors.Is(err, link.ErrNotReady) {
		t.Errorf("before init: %v", err)
	}
	initialise(t, c, peer{t, far})
	for _, call := range []*link.Call{newCall("", ""), newCall(strings.Repeat("x", 256), "")} {
		if err := c.Send(call); err == nil {
			t.Errorf("a request id of %d bytes was accepted", len(call.ID))
		}
	}
	wide := newCall("x", "")
	wide.TraceID = strings.Repeat("x", 1<<16)
	if err := c.Send(wide); err == nil || !strings.Contains(err.Error(), "trace id") {
		t.Errorf("trace id of 64 KiB: %v", err)
	}
	for range 2 {
		if err := c.Send(newCall("x", "")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Send(newCall("x", "")); !errors.Is(err, link.ErrBusy) {
		t.Errorf("a third of two: %v", err)
	}
	c.Close()
	if err := c.Send(newCall("x", "")); !errors.Is(err, link.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestInit(t *testing.T) {
	start := func(t *testing.T) (*link.Conn, peer, context.Context) {
		near, far := pair(t)
		c := connect(near, link.Options{})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		t.Cleanup(func() {
			cancel()
			c.Close()
			far.Close()
		})
		return c, peer{t, far}, ctx
	}
	t.Run("error", func(t *testing.T) {
		c, p, ctx := start(t)
		p.write(helloFrame)
		if _, err := c.Hello(ctx); err != nil {
			t.Fatal(err)
		}
		answer := make(chan struct{})
		go func() {
			defer close(answer)
			got := p.expect(tInit)
			var init link.Init
			if err := json.Unmarshal(got.body, &init); err != nil || init.Handler != "a.b" || init.Env["K"] != "V" {
				t.Errorf("init %s: %v", got.body, err)
			}
			p.write(frame(tInitError, 0, 0, []byte(`{"errorType":"T","errorMessage":"M","trace":["1"],"more":1}`)))
			p.conn.Close()
		}()
		err := c.Init(ctx, link.Init{Handler: "a.b", Env: map[string]string{"K": "V"}})
		<-answer
		var failed *link.InitError
		if !errors.As(err, &failed) || failed.Doc.ErrorType != "T" || len(failed.Doc.Trace) != 1 || !bytes.Contains(failed.Raw, []byte(`"more":1`)) {
			t.Errorf("got %v", err)
		}
		<-c.Done()
		if err := c.Send(newCall("x", "")); !errors.Is(err, link.ErrClosed) {
			t.Errorf("send after a failed init: %v", err)
		}
	})
	t.Run("silent shim", func(t *testing.T) {
		c, _, _ := start(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if _, err := c.Hello(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("dies before hello", func(t *testing.T) {
		c, p, ctx := start(t)
		p.conn.Close()
		if _, err := c.Hello(ctx); !errors.Is(err, link.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("dies during init", func(t *testing.T) {
		c, p, ctx := start(t)
		p.write(helloFrame)
		if _, err := c.Hello(ctx); err != nil {
			t.Fatal(err)
		}
		go func() {
			p.expect(tInit)
			p.conn.Close()
		}()
		if err := c.Init(ctx, link.Init{}); !errors.Is(err, link.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("twice", func(t *testing.T) {
		c, p, ctx := start(t)
		initialise(t, c, p)
		if err := c.Init(ctx, link.Init{}); err == nil {
			t.Error("a second Init was accepted")
		}
	})
}

func TestEndOfConnection(t *testing.T) {
	for name, end := range map[string]func(c *link.Conn, p peer){
		"by the host": func(c *link.Conn, p peer) { c.Close() },
		"by the peer": func(c *link.Conn, p peer) { p.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := ready(t, link.Options{MaxInFlight: 10})
			var calls []*link.Call
			for i := range 10 {
				call := newCall(fmt.Sprint(i), "{}")
				if err := c.Send(call); err != nil {
					t.Fatal(err)
				}
				calls = append(calls, call)
			}
			first := p.expect(tInvoke)
			p.write(frame(tResult, more, first.stream, []byte("half of a resp")))
			end(c, p)
			for _, call := range calls {
				await(t, call)
				if !errors.Is(call.Err, link.ErrClosed) || call.Response != nil {
					t.Errorf("call %s: %v, %q", call.ID, call.Err, call.Response)
				}
				call.Release()
			}
			<-c.Done()
			if !errors.Is(c.Err(), link.ErrClosed) {
				t.Errorf("err %v", c.Err())
			}
			c.Close()
			c.Close()
		})
	}
}

// TestLastWords: what the peer sent before it died is still delivered.
func TestLastWords(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	call, orphan := newCall("1", "{}"), newCall("2", "{}")
	c.Send(call)
	c.Send(orphan)
	stream := p.expect(tInvoke).stream
	p.write(frame(tResult, failed, stream, []byte("{}")))
	p.conn.Close() // with the second INVOKE unread
	await(t, call)
	await(t, orphan)
	if call.Err != nil || !call.Failed {
		t.Errorf("the answered call: %v", call.Err)
	}
	if !errors.Is(orphan.Err, link.ErrClosed) {
		t.Errorf("the other call: %v", orphan.Err)
	}
}

func TestResponseTooLarge(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2, MaxResponseBytes: 100})
	call := newCall("1", "{}")
	c.Send(call)
	stream := p.expect(tInvoke).stream
	p.write(frame(tResult, more, stream, make([]byte, 60)))
	for range 100 {
		p.write(frame(tResData, more, stream, make([]byte, 60)))
	}
	p.write(frame(tResData, 0, stream, nil))
	await(t, call)
	if !errors.Is(call.Err, link.ErrResponseTooLarge) || call.Response != nil {
		t.Errorf("got %v and %d bytes", call.Err, len(call.Response))
	}
	exact := newCall("2", "{}")
	c.Send(exact)
	p.write(frame(tResult, 0, p.expect(tInvoke).stream, make([]byte, 100)))
	await(t, exact)
	if exact.Err != nil || len(exact.Response) != 100 {
		t.Errorf("a response of just the bound: %v", exact.Err)
	}
}

func TestCancel(t *testing.T) {
	c, p := ready(t, link.Options{})
	call := newCall("1", "{}")
	c.Send(call)
	stream := p.expect(tInvoke).stream
	c.Cancel(call)
	c.Cancel(call)
	if got := p.expect(tCancel); got.stream != stream {
		t.Errorf("cancelled stream %d; want %d", got.stream, stream)
	}
	if err := c.Send(newCall("2", "")); !errors.Is(err, link.ErrBusy) {
		t.Errorf("the slot was given away: %v", err)
	}
	p.write(frame(tResult, 0, stream, []byte("late")))
	await(t, call)
	if !errors.Is(call.Err, link.ErrCancelled) || call.Response != nil {
		t.Errorf("got %v, %q", call.Err, call.Response)
	}
	c.Cancel(call)
	if c.InFlight() != 0 {
		t.Error("still in flight")
	}
}

func TestShutdown(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 2})
	call := newCall("1", "{}")
	c.Send(call)
	stream := p.expect(tInvoke).stream
	c.Shutdown(1500 * time.Millisecond)
	if got := p.expect(tShutdown); !bytes.Equal(got.body, []byte{0xdc, 5, 0, 0}) {
		t.Errorf("grace %v", got.body)
	}
	if err := c.Send(newCall("2", "")); !errors.Is(err, link.ErrClosed) {
		t.Errorf("send after shutdown: %v", err)
	}
	p.write(frame(tResult, 0, stream, []byte("1")))
	await(t, call)
	if call.Err != nil {
		t.Errorf("the call in flight: %v", call.Err)
	}
}

// TestDeafPeer: a peer that reads nothing costs memory, not time; others and Close go
// on.
func TestDeafPeer(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 50})
	var calls []*link.Call
	for i := range 50 {
		call := newCall(fmt.Sprint(i), strings.Repeat("x", 200_000))
		if err := c.Send(call); err != nil { // does not block
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	var peers sync.WaitGroup
	echo(p.conn, &peers) // it hears after all
	for _, call := range calls {
		await(t, call)
		if call.Err != nil || len(call.Response) != 200_000 {
			t.Errorf("call %s: %v, %d bytes", call.ID, call.Err, len(call.Response))
		}
	}
	p.conn.(interface{ CloseRead() error }).CloseRead()
	c.Send(newCall("unheard", "{}"))
	select {
	case <-c.Done(): // a half-open connection ends, too
	case <-time.After(patience):
		t.Error("the connection goes on although the peer takes nothing")
	}
	c.Close()
	peers.Wait()
}

// TestRelease: a call given back in flight is a bug of the caller, and says so.
func TestRelease(t *testing.T) {
	c, _ := ready(t, link.Options{})
	call := newCall("1", "{}")
	c.Send(call)
	defer func() {
		if recover() == nil {
			t.Error("a call in flight was released")
		}
	}()
	call.Release()
}
