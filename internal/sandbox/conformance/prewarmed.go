package conformance

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"hearth/internal/sandbox"
)

// RunPrewarmed runs those parts of the suite that could turn out otherwise for a
// sandbox that was started blank and became a function's while it ran: its network and
// its number of processes are what they were.
func RunPrewarmed(t *testing.T, h Harness) {
	plain := h.New
	h.prewarmed = true
	h.New = func(tb testing.TB, dir string) sandbox.Driver {
		d, ok := plain(tb, dir).(sandbox.Preparer)
		if !ok {
			tb.Fatal("the driver cannot start blank sandboxes")
		}
		return &prewarmed{Preparer: d}
	}
	Run(t, h)
}

// ofPrewarmed names the tests that RunPrewarmed runs.
var ofPrewarmed = []string{
	"Identity", "Privileges", "SystemCalls", "FileSystemIsReadOnly", "HostIsInvisible", "ProcFileSystem",
	"Descriptors", "TmpLimit", "TmpIsPrivateAndLasts", "Memory", "CPUShare", "Environment", "Stats", "Destroy",
	"Close", "Leaks", "KillAndRecover", "Specialise",
}

func (s *suite) runs(test string) bool { return !s.prewarmed || slices.Contains(ofPrewarmed, test) }

// prewarmed is a driver whose sandboxes were all blank once.
type prewarmed struct {
	sandbox.Preparer
	made atomic.Int64
}

// Start starts a sandbox with other limits and without code and makes it what spec
// says. Commands that end by themselves would not wait for that, and are started as
// ever.
func (p *prewarmed) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if spec.CodeDir == "" || !slices.Contains(spec.Args, "serve") {
		return p.Preparer.Start(ctx, spec)
	}
	blank := spec
	blank.CodeDir, blank.MemoryMB, blank.CPUs = "", 64, 0.02
	if p.made.Add(1)%2 == 0 {
		blank.TmpMB = 64
	}
	b, err := p.StartBlank(ctx, blank)
	if err != nil {
		return nil, err
	}
	a := sandbox.Assignment{CodeDir: spec.CodeDir, MemoryMB: spec.MemoryMB, CPUs: spec.CPUs, TmpMB: spec.TmpMB}
	if err := b.Specialise(ctx, a); err != nil {
		b.Conn().Close()
		b.Output().Close()
		return nil, errors.Join(err, b.Destroy(ctx))
	}
	return b, nil
}

// specialise looks at a blank sandbox before and after it becomes a function's.
func specialise(t *testing.T, s *suite) {
	d, _ := s.driver(t)
	p, ok := d.(sandbox.Preparer)
	if !ok {
		t.Skip("the driver makes no blank sandboxes")
	}
	s.mustNotHaveCode(t, p)
	spec := s.spec()
	spec.CodeDir, spec.TmpMB = "", 64
	b, err := p.StartBlank(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	in := &inside{t: t, Sandbox: b, answers: bufio.NewReader(b.Conn()), printed: collect(b.Output())}
	t.Cleanup(func() { in.end(t) })
	if r := in.try("exists", sandbox.TaskRoot+"/index.js"); r.Err != "ENOENT" {
		t.Errorf("a blank sandbox has code: %+v", r)
	}
	if err := b.Specialise(t.Context(), sandbox.Assignment{}); err == nil {
		t.Error("specialised for nothing")
	}
	err = b.Specialise(t.Context(), sandbox.Assignment{CodeDir: s.code, MemoryMB: 200, CPUs: 0.1, TmpMB: 96})
	if err != nil {
		t.Fatal(err)
	}
	if got := in.must("read", b.CodeDir()+"/index.js").Out; got != "the code" {
		t.Errorf("the code reads %q", got)
	}
	if d.Isolation().FileSystem {
		in.refused([]string{"EROFS"}, "write", b.CodeDir()+"/x", "x")
	}
	in.must("write", b.TmpDir()+"/f", "x")
}

// mustNotHaveCode: a blank sandbox with code is refused.
func (s *suite) mustNotHaveCode(t *testing.T, p sandbox.Preparer) {
	t.Helper()
	if _, err := p.StartBlank(t.Context(), s.spec()); err == nil {
		t.Error("a blank sandbox with code was started")
	}
}
