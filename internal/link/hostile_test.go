package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hearth/internal/link"
)

func raw(length uint32, kind, flags, zero byte, stream uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, length)
	b = append(b, kind, flags, 0, zero)
	return binary.LittleEndian.AppendUint32(b, stream)
}

// TestViolations: each thing that a shim must not do ends its connection, in words
// that name it.
func TestViolations(t *testing.T) {
	const s = 1 << 31 // stands for the stream in flight
	cases := []struct {
		name   string
		frames [][]byte
		want   string
	}{
		{"too long a frame", [][]byte{raw(262_145, tLog, 0, 0, 0)}, "262145 bytes"},
		{"absurd length", [][]byte{raw(1<<32-1, tResult, 0, 0, 1)}, "4294967295 bytes"},
		{"reserved bytes", [][]byte{raw(1, tLog, 0, 1, 0)}, "bytes 6 and 7"},
		{"a host's type", [][]byte{frame(tInvoke, 0, 1, nil)}, "type 2"},
		{"unknown type", [][]byte{frame(22, 0, 0, nil)}, "type 22"},
		{"unknown flag", [][]byte{frame(tResult, 8, s, nil)}, "flags 0x08"},
		{"FAILED on DATA", [][]byte{frame(tResult, more, s, nil), frame(tResData, failed, s, nil)}, "tells of a failure"},
		{"STREAMED and no content type", [][]byte{frame(tResult, streamed, s, nil)}, "too short"},
		{"STREAMED, beyond the window", [][]byte{frame(tResult, streamed|more, s, make([]byte, 262_144)), frame(tResData, 0, s, make([]byte, 2))}, "more bytes"},
		{"MORE on LOG", [][]byte{frame(tLog, more, 0, []byte("\x01a"))}, "flags 0x01"},
		{"RESULT for no invocation", [][]byte{frame(tResult, 0, 0, nil)}, "stream 0"},
		{"RESULT for an unknown stream", [][]byte{frame(tResult, 0, 77, nil)}, "stream 77, which is not in flight"},
		{"RESULT twice", [][]byte{frame(tResult, 0, s, nil), frame(tResult, 0, s, nil)}, "not in flight"},
		{"RESULT twice, the first with MORE", [][]byte{frame(tResult, more, s, nil), frame(tResult, 0, s, nil)}, "second RESULT"},
		{"DATA without RESULT", [][]byte{frame(tResData, 0, s, nil)}, "whose RESULT has not come"},
		{"DATA after the end", [][]byte{frame(tResult, 0, s, nil), frame(tResData, 0, s, nil)}, "or has ended"},
		{"DATA that is empty and goes on", [][]byte{frame(tResult, more, s, nil), frame(tResData, more, s, nil)}, "empty DATA"},
		{"HELLO twice", [][]byte{helloFrame}, "HELLO out of place"},
		{"HELLO for a stream", [][]byte{frame(tHello, 0, 1, nil)}, "stream 1"},
		{"READY twice", [][]byte{readyFrame}, "READY out of place"},
		{"INIT_ERROR after READY", [][]byte{frame(tInitError, 0, 0, []byte("{}"))}, "INIT_ERROR out of place"},
		{"LOG without a descriptor", [][]byte{frame(tLog, 0, 0, nil)}, "neither standard output"},
		{"LOG of descriptor 3", [][]byte{frame(tLog, 0, 0, []byte("\x03x"))}, "neither standard output"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c, p := ready(t, link.Options{MaxInFlight: 2})
			call, other := newCall("1", "{}"), newCall("2", "{}")
			c.Send(call)
			stream := p.expect(tInvoke).stream
			c.Send(other)
			for _, f := range test.frames {
				if binary.LittleEndian.Uint32(f[8:]) == s {
					binary.LittleEndian.PutUint32(f[8:], stream)
				}
				p.write(f)
			}
			await(t, call)
			await(t, other)
			<-c.Done()
			for _, err := range []error{c.Err(), other.Err} {
				var broken *link.ProtocolError
				if !errors.As(err, &broken) || !strings.Contains(broken.Reason, test.want) {
					t.Errorf("error %v; want a ProtocolError with %q", err, test.want)
				}
			}
		})
	}
}

func TestViolationsBeforeReady(t *testing.T) {
	cases := []struct {
		name  string
		first []byte
		want  string
	}{
		{"READY before HELLO", readyFrame, "READY out of place"},
		{"LOG before HELLO", frame(tLog, 0, 0, []byte("\x01x")), "LOG before HELLO"},
		{"RESULT before HELLO", frame(tResult, 0, 1, nil), "not in flight"},
		{"HELLO that is no JSON", frame(tHello, 0, 0, []byte("hi")), "HELLO is not the JSON"},
		{"HELLO of another version", frame(tHello, 0, 0, []byte(`{"protocol":2}`)), "version 2"},
		{"HELLO without end", frame(tHello, 0, 0, []byte(`{"protocol":1,"x":"`+strings.Repeat("x", 5000)+`"}`)), "HELLO of 50"},
		{"long name", frame(tHello, 0, 0, []byte(`{"protocol":1,"runtime":"`+strings.Repeat("x", 200)+`"}`)), "longer than 128"},
		{"READY before INIT", append(helloFrame[:len(helloFrame):len(helloFrame)], readyFrame...), "READY out of place"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			near, far := pair(t)
			defer far.Close()
			c := connect(near, link.Options{})
			defer c.Close()
			peer{t, far}.write(test.first)
			select {
			case <-c.Done():
			case <-time.After(patience):
				t.Fatal("the connection goes on")
			}
			if err := c.Err(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want %q", err, test.want)
			}
		})
	}
}

// TestEarlyResult: an answer to a payload that is still on its way is a lie.
func TestEarlyResult(t *testing.T) {
	c, p := ready(t, link.Options{})
	call := newCall("1", strings.Repeat("x", 4<<20))
	c.Send(call)
	p.write(frame(tResult, 0, p.expect(tInvoke).stream, nil))
	await(t, call)
	if call.Err == nil || !strings.Contains(call.Err.Error(), "before its payload") {
		t.Errorf("got %v", call.Err)
	}
}

// TestFlood: large responses without end take no more memory than they may.
func TestFlood(t *testing.T) {
	const slots, most = 8, 1 << 20
	c, p := ready(t, link.Options{MaxInFlight: slots, MaxResponseBytes: most})
	var streams []uint32
	for range slots {
		c.Send(newCall("x", "{}"))
		streams = append(streams, p.expect(tInvoke).stream)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	data := make([]byte, 250_000)
	for i := range 400 { // 100 MB
		kind := byte(tResData)
		if i < slots {
			kind = tResult
		}
		p.write(frame(kind, more, streams[i%slots], data))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 4*slots*most {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}

// FuzzConn feeds hostile bytes to a connection that has calls in flight. It must
// come to an end without a panic, and every call must.
func FuzzConn(f *testing.F) {
	f.Add(true, frame(tResult, 0, 4, []byte("{}")))
	f.Add(true, append(frame(tResult, more, 4, []byte("a")), frame(tResData, 0, 4, []byte("b"))...))
	f.Add(true, append(frame(tLog, 0, 5, []byte("\x01hi\n")), frame(tResult, failed, 5, []byte("{}"))...))
	f.Add(false, helloFrame)
	f.Add(false, append(helloFrame[:len(helloFrame):len(helloFrame)], frame(tInitError, 0, 0, []byte(`{"errorType":"x"}`))...))
	f.Add(false, raw(1<<31, tHello, 0, 0, 0))
	f.Fuzz(func(t *testing.T, initialised bool, bytes []byte) {
		near, far := pair(t)
		c := connect(near, link.Options{MaxInFlight: 3, MaxResponseBytes: 1000})
		defer c.Close()
		var calls []*link.Call
		if initialised {
			go far.Write(helloFrame)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if _, err := c.Hello(ctx); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.Init(ctx, link.Init{}) }()
			p := peer{t, far}
			p.expect(tInit)
			p.write(readyFrame)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for range 3 {
				call := newCall("x", "{}")
				if err := c.Send(call); err != nil {
					t.Fatal(err)
				}
				calls = append(calls, call)
			}
		}
		far.SetDeadline(time.Now().Add(patience))
		go io.Copy(io.Discard, far)
		far.Write(bytes)
		far.Close()
		<-c.Done()
		for _, call := range calls {
			await(t, call)
			if call.Err == nil && len(call.Response) > 1000 {
				t.Errorf("response of %d bytes", len(call.Response))
			}
		}
	})
}

// A peer that takes nothing any more, but has left room in the socket, keeps no processor
// busy until its time is over.
func TestDeafPeerCostsNoProcessor(t *testing.T) {
	c, p := ready(t, link.Options{})
	if err := c.Send(newCall("a", strings.Repeat("x", 4<<20))); err != nil {
		t.Fatal(err)
	}
	p.expect(tInvoke) // what comes next fills the socket
	sc, err := p.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), syscall.SHUT_RD) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, p.conn) // leaves room
	before := processorTime(t)
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the connection does not end")
	}
	if took := processorTime(t) - before; took > 400*time.Millisecond {
		t.Errorf("the end took %v of a processor", took)
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
