package conformance

import (
	"testing"
	"time"

	"hearth/internal/sandbox"
)

// freeze: a frozen sandbox uses no processor time, answers once it is thawed, and can
// be destroyed as it stands.
func freeze(t *testing.T, s *suite) {
	d := s.promises(t, func(i sandbox.Isolation) bool { return i.Freeze })
	in := s.start(t, d)
	f, ok := in.Sandbox.(sandbox.Freezer)
	if !ok {
		t.Fatalf("a %T cannot be frozen", in.Sandbox)
	}
	in.must("exec", "/bin/sh", "-c", "while :; do :; done >/dev/null 2>&1 </dev/null &")
	in.awaitWork(time.Millisecond)
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := in.send("echo", "hello"); err != nil {
		t.Fatal(err)
	}
	in.awaitStill()
	// One that the kernel comes to only now has to run for a moment to be stopped.
	if worked := in.workIn(100 * time.Millisecond); worked > time.Millisecond {
		t.Errorf("frozen, but it used %v of processor time", worked)
	}
	began := time.Now()
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	r, err := in.receive()
	if err != nil || r.Out != "hello" {
		t.Fatalf("%+v, %v", r, err)
	}
	t.Logf("answered %v after it was thawed", time.Since(began))
	in.awaitWork(time.Millisecond)
	for range 100 { // quick changes, the last of which counts
		if err := f.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	in.must("echo", "again")
	if err := f.Freeze(); err != nil { // and so it is destroyed
		t.Fatal(err)
	}
}

// awaitWork waits until the sandbox has used more processor time.
func (in *inside) awaitWork(more time.Duration) {
	in.t.Helper()
	before := in.work()
	for end := time.Now().Add(patience); in.work() < before+more; {
		if time.Now().After(end) {
			in.t.Fatal("nothing works in it")
		}
	}
}

// awaitStill waits until for a while no processor time has been used.
func (in *inside) awaitStill() {
	in.t.Helper()
	for end := time.Now().Add(patience); in.workIn(50*time.Millisecond) > 0; {
		if time.Now().After(end) {
			in.t.Fatal("it does not stand still")
		}
	}
}

// workIn is the processor time that it uses within so long.
func (in *inside) workIn(span time.Duration) time.Duration {
	in.t.Helper()
	before := in.work()
	for end := time.Now().Add(span); time.Now().Before(end); {
		in.work()
	}
	return in.work() - before
}

func (in *inside) work() time.Duration {
	in.t.Helper()
	stats, err := in.Stats()
	if err != nil {
		in.t.Fatal(err)
	}
	return stats.CPU
}
