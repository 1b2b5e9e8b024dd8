package shim_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/link"
	"hearth/internal/link/shim/shimtest"
)

func TestNodeLogFormat(t *testing.T) {
	t.Parallel()
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files = js(`
			console.log('loading');
			process.stdout.write('unfinished at load');
			exports.handler = async () => {
				console.log('number %d', 1, { a: [1] });
				console.info('i'); console.debug('d'); console.warn('w'); console.error('e'); console.trace('t');
				console.log('two\nlines');
				console.dir({ dir: 1 });
				process.stdout.write('raw ');
				process.stdout.write(Buffer.from('line €\nrest'));
				process.stderr.end('err\n');
				process.stdout.destroy();
				require('stream').Readable.from(['piped\n']).pipe(process.stdout);
				new console.Console(process.stdout).log('own console');
				await new Promise((ok) => process.stdout.write('', ok));
			}`)
		in := startNode(t, o)
		in.Call(t, "r1", "{}")
		const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`
		expectLog(t, in.Log("", 0), stamp+`\t\tINFO\tloading\nunfinished at load`)
		expectLog(t, in.Log("r1", 1),
			stamp+`\tr1\tINFO\tnumber 1 { a: \[ 1 \] }\n`+stamp+`\tr1\tINFO\ti\n`+stamp+`\tr1\tDEBUG\td\n`+
				stamp+`\tr1\tINFO\ttwo\nlines\n`+`{ dir: 1 }\nraw line €\nrestown console\npiped\n`)
		expectLog(t, in.Log("r1", 2),
			stamp+`\tr1\tWARN\tw\n`+stamp+`\tr1\tERROR\te\n`+stamp+`\tr1\tTRACE\tt\nerr\n`)
		for _, entry := range in.Logs() {
			if strings.Contains(entry.Text, "two") && !strings.HasSuffix(entry.Text, "two\nlines\n") {
				t.Errorf("the two lines are not one entry: %q", entry.Text)
			}
		}
		in.Conn.Close()
		if out := in.Output(t); out != "" {
			t.Errorf("the real output got %q", out)
		}
	})
}

func expectLog(t *testing.T, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`^` + pattern + `$`).MatchString(got) {
		t.Errorf("log %q\ndoes not match %q", got, pattern)
	}
}

// TestNodeRealDescriptors: what bypasses node's streams goes to the real output.
func TestNodeRealDescriptors(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(`exports.handler = async () => {
		require('fs').writeSync(1, 'direct ');
		require('child_process').execFileSync('/bin/echo', ['child'], { stdio: 'inherit' }) }`)})
	in.Call(t, "r1", "{}")
	in.Conn.Close()
	if out := in.Output(t); out != "direct child\n" {
		t.Errorf("the real output got %q", out)
	}
}

// TestNodeLogsAreAttributed interleaves invocations that log through everything that
// loses a context easily: timers, promises, emitters, streams.
func TestNodeLogsAreAttributed(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Slots: 8, Files: js(`
		const { EventEmitter } = require('events');
		const fs = require('fs/promises');
		const shared = new EventEmitter();
		const pause = (ms) => new Promise((ok) => setTimeout(ok, ms));
		exports.handler = async (me) => {
			const own = new EventEmitter(), late = [];
			own.on('x', () => console.log('emitter', me));
			shared.once('all' + me, () => process.stdout.write('shared ' + me + '\n'));
			for (let i = 0; i < 5; i++) {
				process.stdout.write('part ' + me); await pause(Math.random() * 4);
				process.stdout.write(' whole ' + me + '\n');
				late.push(new Promise((ok) => setTimeout(() => { console.error('timer', me); ok() }, 1)));
				process.nextTick(() => console.log('tick', me));
				queueMicrotask(() => console.log('micro', me));
				late.push(new Promise((ok) => setImmediate(() => { own.emit('x'); ok() })));
				await fs.stat('/');
				await new Promise((ok) => fs.readFile('/proc/self/stat').then(() => { console.log('file', me); ok() }));
			}
			shared.emit('all' + me);
			await Promise.all(late);
			return me;
		}`)})
	const rounds, width = 4, 8
	for round := range rounds {
		var waits []func() shimtest.Result
		for i := range width {
			id := fmt.Sprint(round*width + i)
			waits = append(waits, in.Begin(t, newNodeCall(id, id)))
		}
		for i, wait := range waits {
			if got := wait(); got.Response != fmt.Sprint(round*width+i) {
				t.Fatalf("got %v", got)
			}
		}
	}
	for _, entry := range in.Logs() {
		for line := range strings.Lines(entry.Text) {
			if words := strings.Fields(line); words[len(words)-1] != entry.Request {
				t.Errorf("request %q logged %q", entry.Request, line)
			}
		}
	}
	for id := range rounds * width {
		if log := in.Log(fmt.Sprint(id), 0); strings.Count(log, "\n") != 5*6+1 {
			t.Errorf("request %d has %d lines:\n%s", id, strings.Count(log, "\n"), log)
		}
	}
}

// TestNodeLateLog: what an invocation logs after its result belongs to the instance,
// and still names the request.
func TestNodeLateLog(t *testing.T) {
	t.Parallel()
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files = js(`
			let later;
			exports.handler = async (event) => {
				if (event.wait) { await later; return 1 }
				later = new Promise((ok) => setTimeout(() => { console.log('late'); ok() }, 20));
				return 0
			}`)
		in := startNode(t, o)
		in.Call(t, "r1", "{}")
		in.Call(t, "r2", `{"wait":true}`)
		if strings.Contains(in.Log("r1", 0), "late") {
			t.Errorf("the ended invocation logged")
		}
		owner, id := "", "r1"
		if o.Slots < 2 { // as in Lambda, where the context is not followed
			owner, id = "r2", "r2"
		}
		if log := in.Log(owner, 0); !strings.Contains(log, id+"\tINFO\tlate") {
			t.Errorf("log of %q: %q", owner, log)
		}
	})
}

func TestNodeLongLogLine(t *testing.T) {
	t.Parallel()
	in := startNode(t, shimtest.Options{Files: js(`exports.handler = async () => { process.stdout.write('😀x'.repeat(100000) + '\n'); process.stdout.write('y'.repeat(1e6)) }`)})
	in.Call(t, "r1", "{}")
	if want := strings.Repeat("😀x", 100_000) + "\n" + strings.Repeat("y", 1_000_000); in.Log("r1", 1) != want {
		t.Errorf("the long lines did not arrive whole: %d bytes of %d", len(in.Log("r1", 1)), len(want))
	}
}

// TestNodeLogFlood: a handler that logs without end, towards a host that reads slowly,
// is blocked; its memory stays bounded and nothing is lost.
func TestNodeLogFlood(t *testing.T) {
	t.Parallel()
	const lines = 40_000
	gate, open := make(chan struct{}), false
	received := 0
	in := startNode(t, shimtest.Options{
		Files: js(`exports.handler = async (n) => { for (let i = 0; i < n; i++) console.log(i, 'x'.repeat(1000)); return process.memoryUsage().rss }`),
		OnLog: func(call *link.Call, fd int, text []byte) {
			if !open {
				<-gate
				open = true
			}
			received += len(text)
		},
	})
	before := rss(t, in.Process.Pid)
	wait := in.Begin(t, newNodeCall("r1", strconv.Itoa(lines)))
	// The reader is held up at the first line until the handler sleeps, blocked.
	waitFor(t, func() bool { return blocked(t, in.Process.Pid) })
	if grown := rss(t, in.Process.Pid) - before; grown > 64<<20 {
		t.Errorf("the flood took %d MB before it was blocked", grown>>20)
	}
	close(gate)
	if got := wait(); got.Failed || got.Err != nil {
		t.Fatalf("got %v", got)
	}
	if received < lines*1000 || strings.Count(in.Log("r1", 1), "\n") != lines {
		t.Errorf("received %d bytes in %d lines; want %d lines", received, strings.Count(in.Log("r1", 1), "\n"), lines)
	}
}

// rss is the resident memory of a process, in bytes.
func rss(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

// blocked tells whether the main thread of a process waits in Atomics.wait.
func blocked(t *testing.T, pid int) bool {
	t.Helper()
	where, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(where), "202 ") // futex
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	timeout, tick := time.After(shimtest.Patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if what() {
				return
			}
		case <-timeout:
			t.Fatal("it did not happen in time")
		}
	}
}

func TestNodeLargePayloads(t *testing.T) {
	t.Parallel()
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Files = js(`exports.handler = async (event) => event`)
		in := startNode(t, o)
		for _, size := range []int{1, 65_000, 65_536, 70_000, 262_144, 1_000_003, 6_291_556} {
			payload := "7"
			if inside := size - 2; inside > 0 { // the quotes count, too
				payload = `"` + strings.Repeat("a€", inside/4) + strings.Repeat("z", inside%4) + `"`
			}
			if got := in.Call(t, fmt.Sprint(size), payload); got.Response != payload {
				t.Errorf("%d bytes came back as %d: failed %v, %v", len(payload), len(got.Response), got.Failed, got.Err)
			}
		}
	})
}

func TestNodeMany(t *testing.T) {
	t.Parallel()
	const width = 200
	in := startNode(t, shimtest.Options{Slots: width, Files: js(`
		let n = 0, most = 0;
		exports.handler = async (event) => {
			most = Math.max(most, ++n);
			await new Promise((ok) => setTimeout(ok, 30));
			n--;
			return { event, most, pad: 'x'.repeat(event.n % 7 === 0 ? 100000 : 10) }
		}`)})
	var waits []func() shimtest.Result
	for i := range width {
		waits = append(waits, in.Begin(t, newNodeCall(fmt.Sprint("r", i), fmt.Sprintf(`{"n":%d}`, i))))
	}
	most := 0
	for i, wait := range waits {
		got := wait()
		prefix := fmt.Sprintf(`{"event":{"n":%d},"most":`, i)
		if !strings.HasPrefix(got.Response, prefix) {
			t.Fatalf("call %d got %.100s, %v", i, got.Response, got.Err)
		}
		n, _, _ := strings.Cut(got.Response[len(prefix):], ",")
		if seen, _ := strconv.Atoi(n); seen > most {
			most = seen
		}
	}
	if most != width {
		t.Errorf("at most %d ran at a time; want %d", most, width)
	}
}

// More comes at once than the host writes at once.
func TestNodeManyLargePayloads(t *testing.T) {
	t.Parallel()
	const width = 60
	in := startNode(t, shimtest.Options{Slots: width, Files: js(`exports.handler = async (event) => event`)})
	manyLarge(t, in, width)
}

func manyLarge(t *testing.T, in *shimtest.Instance, width int) {
	t.Helper()
	var waits []func() shimtest.Result
	payload := func(i int) string { return `"` + strings.Repeat(fmt.Sprintf("%04d", i), 30_000) + `"` }
	for i := range width {
		waits = append(waits, in.Begin(t, newNodeCall(fmt.Sprint("r", i), payload(i))))
	}
	for i, wait := range waits {
		if got := wait(); got.Response != payload(i) {
			t.Errorf("call %d: %d bytes, failed %v, %v", i, len(got.Response), got.Failed, got.Err)
		}
	}
}

// Lambda's JSON format: one object a line, a single value in its own form, errors with
// their stack; nothing below the level.
func TestNodeLogsInJSON(t *testing.T) {
	t.Parallel()
	bothModels(t, func(t *testing.T, o shimtest.Options) {
		o.Env = map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "info"}
		o.Files = js(`
			console.log('loading');
			exports.handler = async () => {
				console.debug('below'); console.trace('below');
				console.log({ a: [1], e: new RangeError('within') });
				console.warn('number %d', 1, new TypeError('beside'));
				const circle = {}; circle.own = circle;
				console.log(circle); console.log(1n);
				process.stdout.write('as it is\n');
				throw new RangeError('end');
			}`)
		in := startNode(t, o)
		if r := in.Call(t, "r1", "{}"); !r.Failed {
			t.Fatalf("%v", r)
		}
		const stamp = `"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`
		expectLog(t, in.Log("", 0), `{`+stamp+`,"level":"INFO","message":"loading"}\n`)
		expectLog(t, in.Log("r1", 1), `{`+stamp+`,"level":"INFO","requestId":"r1","message":{"a":\[1\],"e":{"errorType":"RangeError","errorMessage":"within","stackTrace":\[.*\]}}}\n`+
			`{`+stamp+`,"level":"INFO","requestId":"r1","message":"<ref \*1> { own: \[Circular \*1\] }"}\n`+
			`{`+stamp+`,"level":"INFO","requestId":"r1","message":"1n"}\nas it is\n`)
		expectLog(t, in.Log("r1", 2), `{`+stamp+`,"level":"WARN","requestId":"r1","message":"number 1 TypeError: beside.*","errorType":"TypeError","errorMessage":"beside","stackTrace":\[.*\]}\n`+
			`{`+stamp+`,"level":"ERROR","requestId":"r1","message":{"errorType":"RangeError","errorMessage":"end","stackTrace":\[.*\]}}\n`)
	})
}
