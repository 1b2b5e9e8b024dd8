package worker

import (
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sandbox"
)

const (
	frameData    = 20
	flagMore     = 1
	flagStreamed = 4
)

func (w *Worker) callStream(t *testing.T, v *hearth.Version) hearth.ResponseStream {
	t.Helper()
	res, err := w.invoke(&hearth.Invocation{ID: hearth.NewRequestID(), Version: v, Payload: []byte("{}"), WantStream: true, WantLog: true})
	if err != nil || res.Stream == nil {
		t.Fatalf("%+v, %v", res, err)
	}
	return res.Stream
}

func readAll(s hearth.ResponseStream) string {
	var all strings.Builder
	for {
		part, err := s.Next()
		all.Write(part)
		if err == io.EOF {
			return all.String()
		}
	}
}

// streamer answers in two parts; what comes after them is the test's.
func streamer(last func(b *box, stream uint32)) func(b *box) {
	return func(b *box) {
		b.serve(func(f frame) {
			b.send(frame{kind: frameResult, flags: flagStreamed | flagMore, stream: f.stream, body: []byte("\x04a/b one")})
			b.send(frame{kind: frameData, flags: flagMore, stream: f.stream, body: []byte(" two")})
			last(b, f.stream)
		})
	}
}

func endWell(b *box, stream uint32) { b.send(frame{kind: frameData, stream: stream}) }

// TestStreamsFreeTheirSlot: when the function has ended, its slot is free and its end
// told, though nobody has read a byte.
func TestStreamsFreeTheirSlot(t *testing.T) {
	w := newWorker(t, &machine{script: streamer(endWell)}, nil)
	v := version("f", hearth.Exclusive, nil)
	var streams []hearth.ResponseStream
	for range 3 {
		s := w.callStream(t, v)
		ended := make(chan *hearth.Result, 1)
		s.OnEnd(func(res *hearth.Result) { ended <- res })
		if res := <-ended; res.FunctionError != "" || !strings.Contains(string(res.LogTail), "REPORT") {
			t.Errorf("%+v", res)
		}
		streams = append(streams, s)
	}
	if n := len(w.Instances("f")); n != 1 {
		t.Errorf("%d instances for one call after the other", n)
	}
	for _, s := range streams {
		if got := readAll(s); s.ContentType() != "a/b " || got != "one two" || s.Result() == nil {
			t.Errorf("%q %q", s.ContentType(), got)
		}
	}
}

func TestStreamsThatFail(t *testing.T) {
	for name, test := range map[string]struct {
		last func(b *box, stream uint32)
		kind string
		time time.Duration
	}{
		"by themselves": {func(b *box, stream uint32) {
			b.send(frame{kind: frameData, flags: flagFailed, stream: stream, body: []byte(`{"errorType":"E"}`)})
		}, `"E"`, time.Minute},
		"with their instance": {func(b *box, _ uint32) { b.exit(sandbox.Exit{Code: 3}) }, hearth.TypeExit, time.Minute},
		"by their time":       {func(*box, uint32) {}, hearth.TypeTimedOut, time.Second},
		"by the protocol": {func(b *box, stream uint32) {
			b.send(frame{kind: frameResult, stream: stream})
		}, hearth.TypeProtocol, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorker(t, &machine{script: streamer(test.last)}, nil)
			v := version("f", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = test.time })
			s := w.callStream(t, v)
			if got := readAll(s); got != "one two" {
				t.Errorf("what was written is %q", got)
			}
			if res := s.Result(); res.FunctionError == "" || !strings.Contains(string(res.Payload), test.kind) {
				t.Errorf("%s %s", res.FunctionError, res.Payload)
			}
			// For a caller who wants it whole it is a failure, whatever came before.
			if res, err := w.call(v); err != nil || res.FunctionError == "" || !strings.Contains(string(res.Payload), test.kind) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestStreamsAreCollected(t *testing.T) {
	w := newWorker(t, &machine{script: streamer(endWell)}, nil)
	if res, err := w.call(version("f", hearth.Exclusive, nil)); err != nil || string(res.Payload) != "one two" || res.Stream != nil {
		t.Errorf("%+v, %v", res, err)
	}
	large := streamer(func(b *box, stream uint32) {
		for n := 0; n < hearth.MaxPayloadBytes; {
			for room := 0; room < 128<<10; { // the host asks for half a window at a time, or more
				b.send(frame{kind: frameData, flags: flagMore, stream: stream, body: make([]byte, 64<<10)})
				room += 64 << 10
			}
			n += 128 << 10
			if f := b.next(); f.kind != 6 {
				return
			}
		}
		endWell(b, stream)
	})
	w = newWorker(t, &machine{script: large}, nil)
	if res, err := w.call(version("g", hearth.Exclusive, nil)); err != nil || !strings.Contains(string(res.Payload), hearth.TypeResponseTooLarge) {
		t.Errorf("%.200s, %v", res.Payload, err)
	}
}

// A call whose time is up at the very moment when it begins to stream ends all the same.
func TestTimeIsUpAsTheStreamBegins(t *testing.T) {
	const rounds = 100_000
	calls := make([]call, rounds)
	for i := range calls {
		calls[i].stage.Store(stageRunning)
	}
	var at atomic.Int64 // the call that both are about to change
	var streamer sync.WaitGroup
	streamer.Go(func() {
		for i := range calls {
			for at.Load() < int64(i) {
				runtime.Gosched()
			}
			calls[i].stage.CompareAndSwap(stageRunning, stageStreaming)
		}
	})
	for i := range calls {
		at.Store(int64(i))
		if _, first := calls[i].leave(); !first {
			t.Errorf("call %d goes on for ever", i)
			break
		}
	}
	at.Store(rounds)
	streamer.Wait()
}
