package worker

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hearth/internal/hearth"
)

// An init that takes too long is done again in a new sandbox, and that counts as a part
// of the first invocation: of its duration, and of the time that it may take.
func TestInitIsDoneAgain(t *testing.T) {
	var tries atomic.Int32
	const second = 600 * time.Millisecond
	var deadline atomic.Int64 // Unix milliseconds
	m := &machine{script: func(b *box) {
		if tries.Add(1) == 1 {
			b.hello()
			<-b.done
			return
		}
		b.hello()
		b.next()
		wait(b, second)
		b.send(frame{kind: frameReady, body: []byte(`{}`)})
		for f := b.next(); f.kind != 0; f = b.next() {
			if f.kind == frameInvoke {
				deadline.Store(int64(binary.LittleEndian.Uint64(f.body)))
				b.send(frame{kind: frameResult, stream: f.stream, body: []byte(`"ok"`)})
			}
		}
	}}
	w := newWorker(t, m, func(cfg *Config) { cfg.InitTimeout = 100 * time.Millisecond })
	v := version("f", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = 5 * time.Second })
	res, err := w.call(v)
	if err != nil || res.FunctionError != "" || string(res.Payload) != `"ok"` {
		t.Fatalf("%+v, %v", res, err)
	}
	if res.Report.Duration < second || res.Report.Init != 0 {
		t.Errorf("duration %v, init %v: the second init belongs to the duration", res.Report.Duration, res.Report.Init)
	}
	if left := time.Until(time.UnixMilli(deadline.Load())); left > v.Config.Timeout-second {
		t.Errorf("the function had %v left", left)
	}
	if log := w.cfg.Logs.Open("f", res.Instance).Tail("", hearth.MaxLogTailBytes); !bytes.Contains(log, []byte("INIT_REPORT Init Duration: ")) || !bytes.Contains(log, []byte(" ms\tPhase: init\tStatus: timeout")) {
		t.Errorf("log %s", log)
	}
	again, err := w.call(v)
	if err != nil || again.Seq != 2 || again.Report.Duration > second {
		t.Errorf("the next one: %+v, %v", again, err)
	}
}

// A handler has what the second init has left of the function's time.
func TestInitThatLeavesNoTime(t *testing.T) {
	const second, limit = 200 * time.Millisecond, 600 * time.Millisecond
	var tries atomic.Int32
	left := make(chan time.Duration, 1)
	m := &machine{script: func(b *box) {
		first := tries.Add(1) == 1
		b.hello()
		b.next()
		if first {
			<-b.done
			return
		}
		wait(b, second)
		b.send(frame{kind: frameReady, body: []byte(`{}`)})
		ready := time.Now()
		if f := b.next(); f.kind == frameInvoke {
			left <- time.UnixMilli(int64(binary.LittleEndian.Uint64(f.body))).Sub(ready)
		}
		<-b.done // it answers nothing
	}}
	w := newWorker(t, m, func(cfg *Config) { cfg.InitTimeout = 50 * time.Millisecond })
	begin := time.Now()
	res, err := w.call(version("f", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = limit }))
	if err != nil {
		t.Fatal(err)
	}
	if doc := failure(t, res); doc.ErrorType != hearth.TypeTimedOut || !strings.HasSuffix(doc.ErrorMessage, "Task timed out after 0.60 seconds") {
		t.Errorf("%s: %s", doc.ErrorType, doc.ErrorMessage)
	}
	if took := time.Since(begin); took < limit {
		t.Errorf("it took %v", took)
	}
	select {
	case left := <-left:
		if left > limit-second {
			t.Errorf("the handler had %v left", left)
		}
	default: // so late that there was nothing left to begin with
	}
}

// Nobody waits for a provisioned instance: it has longer, and no second try.
func TestProvisionedInitsHaveLonger(t *testing.T) {
	var tries atomic.Int32
	m := &machine{script: func(b *box) {
		tries.Add(1)
		b.hello()
		b.next()
		wait(b, 200*time.Millisecond)
		b.send(frame{kind: frameReady, body: []byte(`{}`)})
		<-b.done
	}}
	w := newWorker(t, m, func(cfg *Config) { cfg.InitTimeout = 50 * time.Millisecond })
	v := version("f", hearth.Exclusive, func(c *hearth.Config) { c.Timeout = 10 * time.Millisecond })
	w.Provision("f", []hearth.ProvisionedVersion{{Version: v, Executions: 1}})
	waitUntil(t, func() bool { return w.Provisioned(v).Available == 1 })
	if n := tries.Load(); n != 1 {
		t.Errorf("%d inits", n)
	}
	w.Provision("f", nil)
}

// wait lets time pass in a sandbox, or its end come.
func wait(b *box, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.done:
	}
}
