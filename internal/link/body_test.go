package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"hearth/internal/hearth"
	"hearth/internal/link"
)

// httpCall is a call with an event and a request's body.
func httpCall(id, event, body string) *link.Call {
	call := newCall(id, event)
	call.HTTP = hearth.HTTPEvent{Form: hearth.EventJSON, Kind: hearth.BodyText, Body: []byte(body)}
	return call
}

// A request's body travels behind its event, in frames of any number.
func TestBodyBehindEvent(t *testing.T) {
	c, p := ready(t, link.Options{MaxInFlight: 3})
	for _, size := range []struct{ event, body int }{{2, 0}, {2, 5}, {2, 1 << 16}, {1 << 16, 5}, {1 << 17, 1 << 18}, {2, 6 << 20}} {
		event, body := strings.Repeat("e", size.event), strings.Repeat("b", size.body)
		call := httpCall("r", event, body)
		if err := c.Send(call); err != nil {
			t.Fatal(err)
		}
		first := p.expect(tInvoke)
		got := first.body
		for flags := first.flags; flags&more != 0; {
			next := p.expect(tData)
			if len(next.body) == 0 || len(next.body) > 128<<10 {
				t.Errorf("DATA of %d bytes", len(next.body))
			}
			got, flags = append(got, next.body...), next.flags
		}
		want := binary.LittleEndian.AppendUint32(nil, uint32(size.event))
		want = append(want, byte(hearth.EventJSON), byte(hearth.BodyText))
		want = binary.LittleEndian.AppendUint32(want, uint32(size.body))
		want = append(append(want, event...), body...)
		if i := bytes.Index(got, want[:10]); i < 0 || !bytes.Equal(got[i:], want) {
			t.Errorf("%+v: an event of %d bytes arrived from %d on", size, len(got), i)
		}
		p.write(frame(tResult, 0, first.stream, []byte("null")))
		await(t, call)
		call.Release()
	}
}

// A payload's memory is its owner's again once it has cancelled the call: what is still to
// be sent must not change.
func TestCancelledPayloadStays(t *testing.T) {
	c, p := ready(t, link.Options{})
	body := strings.Repeat("b", 8<<20) // more than the socket takes
	call := httpCall("r", "{}", body)
	if err := c.Send(call); err != nil {
		t.Fatal(err)
	}
	c.Cancel(call)
	clear(call.HTTP.Body)
	first := p.expect(tInvoke)
	got := bytes.Clone(first.body)
	for flags := first.flags; flags&more != 0; {
		r, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		if r.kind == tData {
			got, flags = append(got, r.body...), r.flags
		}
	}
	if !bytes.HasSuffix(got, []byte("{}"+body)) {
		t.Error("what was sent after the call was cancelled is not what it was sent with")
	}
	p.write(frame(tResult, 0, first.stream, []byte("null")))
	await(t, call)
	call.Release()
}

// answerBeside is a RESULT's content with a body of its own.
func answerBeside(head, body string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(head)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	return append(append(b, head...), body...)
}

func TestBodyBesideAnswer(t *testing.T) {
	c, p := ready(t, link.Options{MaxResponseBytes: 3 << 20})
	for _, size := range []struct {
		head, body int
		tooLarge   bool
	}{{2, 0, false}, {200_000, 0, false}, {2, 5, false}, {5, 200_000, false}, {100_000, 3<<20 - 100_000, false}, {100_000, 3<<20 - 99_999, true}} {
		head, body := strings.Repeat("h", size.head), strings.Repeat("b", size.body)
		call := httpCall("r", "{}", "")
		if err := c.Send(call); err != nil {
			t.Fatal(err)
		}
		stream := p.expect(tInvoke).stream
		all, kind, flags := answerBeside(head, body), byte(tResult), byte(bodied)
		for len(all) > 1<<16 {
			p.write(frame(kind, flags|more, stream, all[:1<<16]))
			all, kind, flags = all[1<<16:], tResData, 0
		}
		p.write(frame(kind, flags, stream, all))
		await(t, call)
		switch {
		case size.tooLarge:
			if !errors.Is(call.Err, link.ErrResponseTooLarge) {
				t.Errorf("%+v: %v", size, call.Err)
			}
		case call.Err != nil || string(call.Response) != head || string(call.Body) != body:
			t.Errorf("%+v: %d and %d bytes, %v", size, len(call.Response), len(call.Body), call.Err)
		}
		call.Release()
	}
}

// A RESULT with a body that is not what it says ends the connection, and its call with it.
func TestBodyBesideAnswerRules(t *testing.T) {
	for name, test := range map[string]struct {
		http  bool
		flags byte
		body  []byte
	}{
		"for no HTTP event": {false, bodied, answerBeside("{}", "b")},
		"without sizes":     {true, bodied, []byte("1234567")},
		"and failed":        {true, bodied | failed, answerBeside("{}", "b")},
		"and streamed":      {true, bodied | 4, answerBeside("{}", "b")},
		"too short":         {true, bodied, answerBeside("{}", "body")[:11]},
		"too long":          {true, bodied, append(answerBeside("{}", "body"), 'x')},
		"of nearly 2^33":    {true, bodied, bytes.Repeat([]byte{0xff}, 8)},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := ready(t, link.Options{})
			call := newCall("r", "{}")
			if test.http {
				call = httpCall("r", "{}", "")
			}
			if err := c.Send(call); err != nil {
				t.Fatal(err)
			}
			p.write(frame(tResult, test.flags, p.expect(tInvoke).stream, test.body))
			await(t, call)
			if name == "of nearly 2^33" {
				if !errors.Is(call.Err, link.ErrResponseTooLarge) {
					t.Errorf("%v", call.Err)
				}
				return
			}
			var broken *link.ProtocolError
			if !errors.As(call.Err, &broken) {
				t.Errorf("%v", call.Err)
			}
			<-c.Done()
		})
	}
}

// A call may be cancelled by a timer before whoever sends it comes to that: its payload is
// its owner's again, so it is not sent.
func TestCancelledBeforeSent(t *testing.T) {
	c, p := ready(t, link.Options{})
	call := httpCall("late", "{}", "body")
	c.Cancel(call)
	if err := c.Send(call); !errors.Is(err, link.ErrCancelled) {
		t.Fatalf("Send of a cancelled call: %v", err)
	}
	call.Release()
	next := httpCall("next", "{}", "body")
	if err := c.Send(next); err != nil {
		t.Fatal(err)
	}
	first := p.expect(tInvoke)
	if !bytes.Contains(first.body, []byte("next")) {
		t.Errorf("sent %q", first.body)
	}
	p.write(frame(tResult, 0, first.stream, []byte("null")))
	await(t, next)
	next.Release()
}
