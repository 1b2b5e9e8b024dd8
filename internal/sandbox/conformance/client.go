package conformance

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

// inside is a sandbox with a probe that takes orders.
type inside struct {
	t *testing.T
	sandbox.Sandbox
	answers *bufio.Reader
	printed *collector
}

type reply struct {
	N   int64
	Out string
	Err string
}

// start starts a sandbox with a probe. It is destroyed at the end of the test.
func (s *suite) start(t *testing.T, d sandbox.Driver, change ...func(*sandbox.Spec)) *inside {
	t.Helper()
	spec := s.spec()
	for _, c := range change {
		c(&spec)
	}
	return s.startSpec(t, d, spec)
}

func (s *suite) startSpec(t *testing.T, d sandbox.Driver, spec sandbox.Spec) *inside {
	t.Helper()
	sb, err := d.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	in := &inside{t: t, Sandbox: sb, answers: bufio.NewReader(sb.Conn()), printed: collect(sb.Output())}
	t.Cleanup(func() { in.end(t) })
	return in
}

// end destroys the sandbox and lets go of what the caller of Start owns.
func (in *inside) end(t *testing.T) {
	t.Helper()
	if err := in.Destroy(bounded(t)); err != nil {
		t.Error(err)
	}
	in.Conn().Close()
	in.printed.wait(t)
}

// try gives an order and returns what came of it.
func (in *inside) try(op string, args ...string) reply {
	in.t.Helper()
	r, err := in.order(op, args...)
	if err != nil {
		in.t.Fatalf("%s %q: %v (exit %+v, output %q)", op, args, err, in.Exit(), in.printed.text())
	}
	return r
}

// must is try for orders that have to succeed.
func (in *inside) must(op string, args ...string) reply {
	in.t.Helper()
	r := in.try(op, args...)
	if r.Err != "" {
		in.t.Fatalf("%s %q: %s", op, args, r.Err)
	}
	return r
}

// refused is try for orders that must fail, with one of the errors.
func (in *inside) refused(errors []string, op string, args ...string) {
	in.t.Helper()
	r := in.try(op, args...)
	for _, e := range errors {
		if r.Err == e {
			return
		}
	}
	in.t.Errorf("%s %q: got %q (%q), want one of %q", op, args, r.Err, r.Out, errors)
}

func (in *inside) order(op string, args ...string) (reply, error) {
	if err := in.send(op, args...); err != nil {
		return reply{}, err
	}
	return in.receive()
}

func (in *inside) send(op string, args ...string) error {
	_ = in.Conn().SetDeadline(time.Now().Add(patience))
	return json.NewEncoder(in.Conn()).Encode(struct {
		Op   string
		Args []string
	}{op, args})
}

func (in *inside) receive() (reply, error) {
	var r reply
	line, err := in.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	return r, err
}

// ended waits for the first process.
func (in *inside) ended() sandbox.Exit {
	in.t.Helper()
	return waitExit(in.t, in.Sandbox)
}

func waitExit(t *testing.T, sb sandbox.Sandbox) sandbox.Exit {
	t.Helper()
	select {
	case <-sb.Done():
	case <-time.After(patience):
		t.Fatalf("sandbox %s has not ended", sb.ID())
	}
	return sb.Exit()
}

// collector reads a sandbox's output to its end and closes it then.
type collector struct {
	done chan struct{}
	mu   sync.Mutex
	all  []byte
}

func collect(f *os.File) *collector {
	c := &collector{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer f.Close()
		_, _ = io.Copy(c, f) // until the last writer has gone
	}()
	return c
}

func (c *collector) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, b...)
	return len(b), nil
}

func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.all)
}

// wait waits for the end of the output: after Destroy it must come.
func (c *collector) wait(t *testing.T) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Error("the output has not ended")
	}
}
