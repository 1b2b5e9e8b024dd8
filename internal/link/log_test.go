package link_test

import (
	"bytes"
	"testing"
	"time"

	"hearth/internal/link"
)

func TestLog(t *testing.T) {
	type entry struct {
		id   string
		fd   int
		text string
	}
	logs := make(chan entry, 10)
	c, p := ready(t, link.Options{OnLog: func(call *link.Call, fd int, text []byte) {
		id := ""
		if call != nil {
			id = call.ID
		}
		logs <- entry{id, fd, string(text)}
	}})
	call := newCall("r", "{}")
	c.Send(call)
	stream := p.expect(tInvoke).stream
	p.write(frame(tLog, 0, 0, []byte("\x01instance")), frame(tLog, 0, stream, []byte("\x02mine\n")),
		frame(tLog, 0, stream+1, []byte("\x01nobody")), frame(tLog, 0, stream, []byte("\x01")),
		frame(tResult, 0, stream, nil), frame(tLog, 0, stream, []byte("\x01late")), frame(tLog, 0, 0, []byte("\x02end")))
	await(t, call)
	for _, want := range []entry{{"", 1, "instance"}, {"r", 2, "mine\n"}, {"r", 1, ""}, {"", 2, "end"}} {
		select {
		case got := <-logs:
			if got != want {
				t.Errorf("got %+v; want %+v", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no log; want %+v", want)
		}
	}
}

// TestSlowLogStopsTheReader: while OnLog is busy nothing is read, so that the peer's
// writes stop at the socket's size.
func TestSlowLogStopsTheReader(t *testing.T) {
	gate := make(chan struct{})
	c, p := ready(t, link.Options{OnLog: func(*link.Call, int, []byte) { <-gate }})
	line := frame(tLog, 0, 0, append([]byte{1}, bytes.Repeat([]byte("x"), 10_000)...))
	p.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	sent := 0
	for ; sent < 64<<20; sent += len(line) {
		if _, err := p.conn.Write(line); err != nil {
			break
		}
	}
	if sent >= 8<<20 {
		t.Errorf("the peer could send %d MB towards a busy OnLog", sent>>20)
	}
	close(gate)
	c.Close()
}
