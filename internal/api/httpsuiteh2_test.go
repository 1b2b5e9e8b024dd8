package api

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/invoke"
)

// frameCases are about HTTP/2 as frames on a connection.
func frameCases() []httpCase {
	return []httpCase{
		{name: "frames byte by byte", under: onH2, run: framesByteByByte},
		{name: "drain says GOAWAY", under: onH2, cfg: Config{DrainGrace: 50 * time.Millisecond}, run: drainSaysGoAway},
		{name: "more streams than allowed", under: onH2, run: tooManyStreams},
		{name: "rapid reset", under: onH2, run: rapidReset},
		{name: "endless headers", under: onH2, run: endlessHeaders},
		{name: "a window that never opens", under: onH2, cfg: Config{WriteTimeout: 1500 * time.Millisecond}, run: closedWindow},
		{name: "odd requests", under: onH2, run: oddStreams},
		{name: "broken frames", under: onH2, cfg: Config{IdleTimeout: time.Second, HeaderTimeout: time.Second}, run: brokenFrames},
	}
}

func framesByteByByte(t *testing.T, d *door) {
	c, r := d.knock(t)
	p := &peer{t, c, r}
	text := frame{kind: frameSettings}.append([]byte(preface))
	text = asks(1, false, "POST", echoPath, "content-length", "3").append(text)
	text = frame{kind: frameData, flags: flagEndStream, stream: 1, body: []byte("[1]")}.append(text)
	for i := range text {
		send(t, c, string(text[i:i+1]))
	}
	if f := p.await(frameHeaders, 1); !isStatus200(f) {
		t.Errorf("the status is not 200: %x", f.body)
	}
	if f := p.await(frameData, 1); string(f.body) != "[1]" {
		t.Errorf("the answer is %q", f.body)
	}
}

// drainSaysGoAway: the client hears that it should ask elsewhere, what it asked before
// is answered, and then the connection ends.
func drainSaysGoAway(t *testing.T, d *door) {
	p := d.peer(t)
	p.send(asks(1, true, "POST", waitPath))
	<-d.invoker.waiting
	down := make(chan error, 1)
	go func() { down <- d.Shutdown(context.Background()) }()
	if f := p.await(frameGoAway, 0); f.code() != 0 {
		t.Errorf("GOAWAY has error %d", f.code())
	}
	close(d.invoker.block)
	if f := p.await(frameHeaders, 1); !isStatus200(f) {
		t.Errorf("the status is not 200: %x", f.body)
	}
	if _, _, err := p.end(); err != nil {
		t.Error(err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// crowded counts the invocations of d that run at once. They end with release.
func (d *door) crowded() (running, most *atomic.Int64, release context.CancelFunc) {
	running, most = new(atomic.Int64), new(atomic.Int64)
	hold, release := context.WithCancel(context.Background())
	d.deps.Invoker = invokerFunc(func(ctx context.Context, _ *invoke.Request) (*hearth.Result, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		select {
		case <-hold.Done():
		case <-ctx.Done():
		}
		return &hearth.Result{Payload: []byte("1")}, nil
	})
	return running, most, release
}

func tooManyStreams(t *testing.T, d *door) {
	_, most, release := d.crowded()
	defer release()
	p := d.peer(t)
	var all []frame
	for i := range uint32(maxStreams + 50) {
		all = append(all, asks(2*i+1, true, "POST", echoPath))
	}
	p.send(all...)
	for refused := 0; refused < 50; {
		f, err := p.next()
		if err != nil {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		if f.kind == frameReset {
			if refused++; f.code() != codeRefused {
				t.Errorf("stream %d ended with error %d", f.stream, f.code())
			}
		}
	}
	eventually(t, "all others are under way", func() bool { return most.Load() == maxStreams })
	release()
	for answered := 0; answered < maxStreams; {
		f, err := p.next()
		if err != nil {
			t.Fatalf("after %d answers: %v", answered, err)
		}
		if f.kind == frameHeaders {
			answered++
		}
	}
}

// rapidReset: a client that asks and takes back, again and again, cannot have more under
// way than one that waits for its answers (CVE-2023-44487).
func rapidReset(t *testing.T, d *door) {
	running, most, release := d.crowded()
	defer release()
	p := d.peer(t)
	go func() {
		for { // so that the server is not held up by what it has to say
			if _, err := p.next(); err != nil {
				return
			}
		}
	}()
	for i := range uint32(5000) {
		if p.try(asks(2*i+1, true, "POST", echoPath), frame{kind: frameReset, stream: 2*i + 1, body: []byte{0, 0, 0, 8}}) != nil {
			break // the server has had enough
		}
	}
	if got := most.Load(); got > maxStreams {
		t.Errorf("%d invocations were under way at once", got)
	}
	release()
	p.c.Close()
	eventually(t, "all invocations have ended", func() bool { return running.Load() == 0 })
	if resp, _ := do(t, d.client(t), d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("the next one got %s", resp.Status)
	}
}

func endlessHeaders(t *testing.T, d *door) {
	p := d.peer(t)
	begin := asks(1, true, "GET", "/healthz")
	begin.flags &^= flagEndHeaders
	p.send(begin)
	more := frame{kind: frameContinue, stream: 1}
	for i := range 200 {
		more.body = header(more.body, "x-"+strings.Repeat("a", i), strings.Repeat("b", 60))
	}
	more.body = more.body[:min(len(more.body), 16<<10)]
	go func() {
		for range 1000 {
			if p.try(more) != nil {
				return
			}
		}
	}()
	if _, _, err := p.end(); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	d.left(t)
}

// closedWindow: who does not take an answer loses it, and nothing else.
func closedWindow(t *testing.T, d *door) {
	c, r := d.knock(t)
	p := &peer{t, c, r}
	send(t, c, preface)
	p.send(frame{kind: frameSettings, body: []byte{0, 4, 0, 0, 0, 10}}) // windows of 10 bytes
	p.send(asks(1, true, "GET", "/hearth/v1/functions/echo/code"))
	if f := p.await(frameReset, 1); f.code() == 0 {
		t.Error("the answer seems whole")
	}
	p.send(asks(3, true, "GET", "/healthz"))
	if f := p.await(frameData, 3); string(f.body) != "ok\n" {
		t.Errorf("the next answer is %q", f.body)
	}
}

// oddStreams are requests that HTTP/1.1 could not even have put into words. The
// connection outlives them.
func oddStreams(t *testing.T, d *door) {
	p := d.peer(t)
	stream := uint32(1)
	for _, f := range []frame{
		asks(0, true, "GET", "/health z"),
		asks(0, true, "GET", "/healthz HTTP/1.1"),
		asks(0, true, "GE T", "/healthz"),
		asks(0, true, "GET", "healthz"),
		asks(0, true, "GET", ""),
		asks(0, true, "", "/healthz"),
		asks(0, true, "GET", "/healthz", "x-a", "b\r\nx-evil: yes"),
		asks(0, true, "GET", "/healthz", "x-a", "b\x00"),
		asks(0, true, "GET", "/healthz", "X-A", "b"),
		asks(0, true, "GET", "/healthz", "x a", "b"),
		asks(0, true, "GET", "/healthz", ":path", "/other"),
		asks(0, true, "GET", "/healthz", "connection", "close"),
		asks(0, true, "GET", "/healthz", "transfer-encoding", "chunked"),
		asks(0, true, "POST", echoPath, "content-length", "5"),
		asks(0, true, "POST", echoPath, "content-length", "-5"),
		asks(0, true, "POST", echoPath, "content-length", "0", "content-length", "1"),
	} {
		f.stream = stream
		p.send(f)
		for {
			got, err := p.next()
			if err != nil {
				t.Fatalf("%q: %v", f.body, err)
			}
			if got.kind == frameGoAway {
				t.Fatalf("%q ended the connection: %q", f.body, got.body)
			}
			if got.kind == frameHeaders && !isStatus400(got) {
				t.Errorf("%q was answered %x", f.body, got.body)
			}
			if got.stream == stream && (got.kind == frameReset || got.flags&flagEndStream != 0 && got.kind <= frameHeaders) {
				break
			}
		}
		stream += 2
	}
	p.send(asks(stream, true, "GET", "/healthz"))
	if f := p.await(frameHeaders, stream); !isStatus200(f) {
		t.Errorf("the next one got %x", f.body)
	}
}

// endsSomehow wants the server to end the connection after what it was sent.
func endsSomehow(p *peer, what string) {
	if _, _, err := p.end(); err != nil && !strings.Contains(err.Error(), "reset") {
		p.t.Errorf("%q: %v", what, err)
	}
	p.c.Close()
}

// brokenFrames end the connection, and nothing else.
func brokenFrames(t *testing.T, d *door) {
	seeded := rand.New(rand.NewPCG(3, 4))
	random := make([]byte, 4000)
	for i := range random {
		random[i] = byte(seeded.Uint32())
	}
	get := asks(1, true, "GET", "/healthz")
	var all sync.WaitGroup
	for name, frames := range map[string][]frame{
		"data for nobody":        {{kind: frameData, stream: 0, body: []byte("x")}},
		"data before a request":  {{kind: frameData, stream: 1, body: []byte("x")}},
		"a stream of the server": {asks(2, true, "GET", "/healthz")},
		"streams backwards":      {asks(3, true, "GET", "/healthz"), get},
		"continuing nothing":     {{kind: frameContinue, flags: flagEndHeaders, stream: 1, body: get.body}},
		"headers of nonsense":    {{kind: frameHeaders, flags: flagEndHeaders, stream: 1, body: bytes.Repeat([]byte{0xff}, 50)}},
		"too large a frame":      {{kind: frameHeaders, flags: flagEndHeaders, stream: 1, body: make([]byte, 2<<20)}},
		"a window of nothing":    {{kind: frameWindow, stream: 0, body: make([]byte, 4)}},
		"a window too wide":      {{kind: frameWindow, stream: 0, body: []byte{0x7f, 0xff, 0xff, 0xff}}},
		"half a ping":            {{kind: framePing, body: make([]byte, 4)}},
		"settings of a stream":   {{kind: frameSettings, stream: 1}},
		"half a setting":         {{kind: frameSettings, body: make([]byte, 5)}},
		"impossible settings":    {{kind: frameSettings, body: []byte{0, 5, 0, 0, 0, 1}}},
		"a reset of nothing":     {{kind: frameReset, stream: 1, body: make([]byte, 4)}},
		"random bytes":           {{kind: random[0], flags: random[1], stream: 1 << 31, body: random}},
		"nothing at all":         nil,
	} {
		p := d.peer(t)
		_ = p.try(frames...)
		all.Go(func() { endsSomehow(p, name) })
	}
	for _, text := range []string{preface[:10], preface[:23], preface[:20] + "XX\r\n", preface + "GET / HTTP/1.1\r\n\r\n", preface + preface, preface + string(random)} {
		c, r := d.knock(t)
		send(t, c, text)
		all.Go(func() { endsSomehow(&peer{t, c, r}, text) })
	}
	all.Wait()
	d.left(t)
	if resp, _ := do(t, d.client(t), d.request(t, "GET", "/healthz", nil)); resp.StatusCode != 200 {
		t.Errorf("the next one got %s", resp.Status)
	}
}
