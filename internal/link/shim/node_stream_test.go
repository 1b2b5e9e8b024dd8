package shim_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

// beginStream sends a call and waits until its response begins.
func beginStream(tb testing.TB, in *shimtest.Instance, id, payload string) *link.Call {
	tb.Helper()
	if in.InitErr != nil {
		tb.Fatal(in.InitErr)
	}
	call := newNodeCall(id, payload)
	call.Deadline = time.Now().Add(shimtest.Patience)
	if err := in.Conn.Send(call); err != nil {
		tb.Fatal(err)
	}
	done(tb, call)
	return call
}

func done(tb testing.TB, call *link.Call) {
	tb.Helper()
	select {
	case <-call.Done():
	case <-time.After(shimtest.Patience):
		tb.Fatalf("call %s: nothing comes", call.ID)
	}
}

// drain reads a streamed response to its end, and waits for the call's.
func drain(tb testing.TB, call *link.Call) string {
	tb.Helper()
	if call.Stream == nil {
		return string(call.Response)
	}
	var all bytes.Buffer
	for {
		part, err := call.Stream.Next()
		all.Write(part)
		if err != nil {
			break
		}
	}
	done(tb, call)
	return all.String()
}

const streamSource = `
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const pause = (ms) => new Promise((ok) => setTimeout(ok, ms));
let release;
exports.handler = awslambda.streamifyResponse(async (event, out, context) => {
	switch (event.do) {
	case 'hold':
		out.setContentType('text/plain');
		out.write('first ');
		await new Promise((ok) => { release = ok; setTimeout(ok, 15000) });
		out.end('last');
		return;
	case 'release': release(); out.end('released'); return;
	case 'http':
		out = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { 'x-a': 'b' }, cookies: ['c=d'] });
		if (event.body) out.write(event.body);
		out.end();
		return;
	case 'json': out.write({ a: 1 }); out.end(new Uint8Array([33])); return;
	case 'pipeline': await pipeline(Readable.from(['a', 'b', 'c']), out); return;
	case 'unawaited': Readable.from((async function* () { yield 'a'; await pause(5); yield 'b'; })()).pipe(out); return;
	case 'late': out.end('done'); await pause(20); console.log('after the end'); return;
	case 'throw': throw new RangeError('early');
	case 'midway': out.write('half'); await pause(5); throw new RangeError('midway');
	case 'destroy': out.write('half'); await pause(5); out.destroy(new RangeError('destroyed')); return;
	case 'close': out.write('half'); await pause(5); out.destroy(); return;
	case 'late type': out.write('x'); out.setContentType('a/b'); return;
	case 'never ends': out.write('x'); return;
	case 'empty': out.end(); return;
	case 'exit': out.write('half'); await pause(5); process.exit(3);
	case 'large': {
		const part = Buffer.alloc(event.part, 'x');
		for (let left = event.size; left > 0; left -= part.length) {
			if (!out.write(left < part.length ? part.subarray(0, left) : part)) await new Promise((ok) => out.once('drain', ok));
		}
		out.end();
		await new Promise((ok) => out.once('finish', ok));
		console.log('peak', process.memoryUsage().rss >> 20);
		return;
	}
	case 'flood': {
		let waits = 0, written = 0;
		out.on('close', () => console.log('closed after', written));
		try {
			await pipeline(Readable.from((function* () { for (;;) { written += 65536; yield Buffer.alloc(65536) } })()), out);
		} catch (err) { console.log('pipeline', err.code); }
		return;
	}
	}
});`

func TestNodeStreams(t *testing.T) {
	t.Parallel()
	const ok = ""
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files = js(streamSource)
		in := startNode(t, o)
		for i, test := range []struct {
			payload, contentType, body, failure string
			buffered                            bool
		}{
			{`{"do":"http","body":"B"}`, "application/vnd.awslambda.http-integration-response", `{"statusCode":201,"headers":{"x-a":"b"},"cookies":["c=d"]}` + strings.Repeat("\x00", 8) + "B", ok, false},
			{`{"do":"http"}`, "application/vnd.awslambda.http-integration-response", `{"statusCode":201,"headers":{"x-a":"b"},"cookies":["c=d"]}` + strings.Repeat("\x00", 8), ok, false},
			{`{"do":"json"}`, "application/octet-stream", `{"a":1}!`, ok, false},
			{`{"do":"pipeline"}`, "application/octet-stream", `abc`, ok, false},
			{`{"do":"unawaited"}`, "application/octet-stream", `ab`, ok, false},
			{`{"do":"late"}`, "application/octet-stream", `done`, ok, false},
			{`{"do":"empty"}`, "application/octet-stream", ``, ok, false},
			{`{"do":"throw"}`, "", "", "RangeError", true},
			{`{"do":"midway"}`, "application/octet-stream", "half", "RangeError", false},
			{`{"do":"destroy"}`, "application/octet-stream", "half", "RangeError", false},
			{`{"do":"close"}`, "application/octet-stream", "half", "Runtime.StreamError", false},
			{`{"do":"late type"}`, "application/octet-stream", "x", "InvalidStreamingOperation", false},
		} {
			call := beginStream(t, in, fmt.Sprint("r", i), test.payload)
			if test.buffered != (call.Stream == nil) {
				t.Errorf("%s: streamed %v", test.payload, call.Stream != nil)
				continue
			}
			contentType := ""
			if call.Stream != nil {
				contentType = call.Stream.ContentType
			}
			body := drain(t, call)
			if call.Failed && call.Stream == nil {
				body = ""
			}
			if contentType != test.contentType || body != test.body || call.Err != nil || call.Failed != (test.failure != "") ||
				!strings.Contains(string(call.Response), test.failure) {
				t.Errorf("%s: %s %q, failed %v %s, %v", test.payload, contentType, body, call.Failed, call.Response, call.Err)
			}
		}
		if log := in.Log("r5", 0); !strings.Contains(log, "after the end") {
			t.Errorf("the log of an invocation that goes on: %q", log)
		}
	})
}

// TestNodeFirstByte: the first part is here while the handler still waits, and another
// invocation of the same instance ends that.
func TestNodeFirstByte(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(streamSource), Slots: 2})
	call := beginStream(t, in, "r1", `{"do":"hold"}`)
	if part, err := call.Stream.Next(); string(part) != "first " || err != nil || call.Stream.ContentType != "text/plain" {
		t.Fatalf("%q, %v, %s", part, err, call.Stream.ContentType)
	}
	if got := drain(t, beginStream(t, in, "r2", `{"do":"release"}`)); got != "released" {
		t.Errorf("the other: %q", got)
	}
	if got := drain(t, call); got != "last" {
		t.Errorf("the rest: %q", got)
	}
}

func TestNodeStreamThatNeverEnds(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(streamSource)})
	call := beginStream(t, in, "r1", `{"do":"never ends"}`)
	if got := drain(t, call); got != "x" || !strings.Contains(string(call.Response), "responseStream.end()") {
		t.Errorf("%q, %s", got, call.Response)
	}
	if got := drain(t, beginStream(t, in, "r2", `{"do":"json"}`)); got != `{"a":1}!` {
		t.Errorf("the next one: %q", got)
	}
}

func TestNodeStreamOfAnExit(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(streamSource)})
	call := beginStream(t, in, "r1", `{"do":"exit"}`)
	if got := drain(t, call); got != "half" || call.Err == nil || in.Exit(t) != 3 {
		t.Errorf("%q, %v", got, call.Err)
	}
}

// TestNodeBackPressure: a function that floods is held back while nobody reads, in its
// own stream alone; cancelled, it sees its stream closed.
func TestNodeBackPressure(t *testing.T) {
	t.Parallel()
	for _, slots := range []int{1, 2} {
		in := startNode(t, shimtest.Options{Files: js(streamSource), Slots: slots})
		call := beginStream(t, in, "r1", `{"do":"flood"}`)
		if slots > 1 {
			for i := range 20 {
				if got := drain(t, beginStream(t, in, fmt.Sprint("other", i), `{"do":"json"}`)); got != `{"a":1}!` {
					t.Fatalf("beside a flood: %q", got)
				}
			}
		}
		for read := 0; read < 2<<20; {
			part, err := call.Stream.Next()
			if err != nil {
				t.Fatal(err)
			}
			read += len(part)
		}
		in.Conn.Cancel(call)
		call.Stream.End()
		done(t, call)
		log := in.Log("r1", 0)
		if !strings.Contains(log, "pipeline\tERR_STREAM_PREMATURE_CLOSE") && !strings.Contains(log, "pipeline ERR_STREAM_PREMATURE_CLOSE") {
			t.Errorf("%d slots: the handler was not told: %q", slots, log)
		}
		var written int
		if _, err := fmt.Sscanf(log[strings.Index(log, "closed after")+len("closed after"):], "%d", &written); err != nil || written > 4<<20 {
			t.Errorf("%d slots: %d bytes were written while 2 MiB were read (%v): %q", slots, written, err, log)
		}
	}
}

// TestNodeLargeStream: 200 MB in constant memory, within a small part of a second more
// than it takes to move them.
func TestNodeLargeStream(t *testing.T) {
	in := startNode(t, shimtest.Options{Files: js(streamSource)})
	begin := time.Now()
	const size = 209_715_200
	call := beginStream(t, in, "r1", fmt.Sprintf(`{"do":"large","size":%d,"part":65536}`, size))
	n := int64(0)
	for {
		part, err := call.Stream.Next()
		n += int64(len(part))
		if err == io.EOF {
			break
		}
	}
	done(t, call)
	t.Logf("%d bytes in %v: %s", n, time.Since(begin), in.Log("r1", 1))
	var peak int
	log := in.Log("r1", 1)
	if _, err := fmt.Sscanf(log[strings.Index(log, "peak")+4:], "%d", &peak); err != nil || peak > 150 || n != size || call.Err != nil {
		t.Errorf("%d bytes, peak %d MB, %v, %v", n, peak, err, call.Err)
	}
	tooMuch := beginStream(t, in, "r2", fmt.Sprintf(`{"do":"large","size":%d,"part":65536}`, size+1))
	drain(t, tooMuch)
	if tooMuch.Err != link.ErrResponseTooLarge {
		t.Errorf("one byte too many: %v", tooMuch.Err)
	}
}
