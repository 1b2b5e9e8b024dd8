package sandbox

import (
	"context"
	"errors"
)

// Preparer is a Driver that can start a sandbox before it is known for whom: the
// command runs and waits on descriptor 3, and there is no code yet. So interpreter and
// shim are ready when somebody needs them (seed 004, IV.E).
type Preparer interface {
	Driver
	// StartBlank is Start for such a sandbox. Spec.CodeDir must be empty; the limits
	// of spec hold until Specialise. It fails with ErrNoBlanks where this machine
	// cannot do it.
	StartBlank(ctx context.Context, spec Spec) (Blank, error)
}

// Blank is a sandbox that is nobody's yet. It is as isolated as any other, before and
// after.
type Blank interface {
	Sandbox
	// Specialise makes the sandbox a function's: the code appears read-only at CodeDir,
	// and the limits become the assignment's. Call it once. It blocks for some hundred
	// microseconds, longer when /tmp has to be of another size. After an error the
	// sandbox is of no use, and the caller must Destroy it.
	//
	// The command has started elsewhere than in the code's directory: whoever runs
	// inside has to change it.
	Specialise(ctx context.Context, a Assignment) error
}

// Assignment is what a Blank still lacks. Its fields are those of Spec.
type Assignment struct {
	CodeDir  string
	MemoryMB int
	CPUs     float64
	TmpMB    int
}

// ErrNoBlanks is returned by StartBlank where the kernel cannot bring code into a
// sandbox that runs already.
var ErrNoBlanks = errors.New("this machine's kernel cannot add to the file system of a running sandbox (Linux 5.12 can)")

// Check refuses an assignment that makes no sense.
func (a *Assignment) Check() error {
	if a.CodeDir == "" || a.MemoryMB < 1 || a.TmpMB < 1 || a.CPUs <= 0 {
		return errors.New("an assignment needs code, and memory, /tmp and CPUs that are more than nothing")
	}
	return nil
}
