package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hearth/internal/hearth"
	"hearth/internal/link/shim"
	"hearth/internal/policy"
	"hearth/internal/pool"
	"hearth/internal/sandbox"
)

// blank is a sandbox in which interpreter and shim wait for a function.
type blank struct {
	id     string
	kind   policy.Kind
	spare  *pool.Spare
	since  time.Time
	cancel context.CancelFunc // gives up making it
	made   chan struct{}      // closed when it waits, or has failed
	doomed bool               // it has to make room; guarded by blanks.mu

	sb      sandbox.Blank // nil if it has failed
	gone    sync.Once
	goneErr error
}

// blankTimeout bounds the making of a blank sandbox, until its shim has spoken.
const blankTimeout = 20 * time.Second

// blankCPUs is the share of processor time of a sandbox that nobody waits for, which
// is next to none: it gets what the others leave.
const blankCPUs = 0.02

// kindOf tells which blank sandboxes could become an instance of v: none, if the
// function sets variables that an interpreter reads only when it starts, or if its
// language starts no interpreter.
func kindOf(v *hearth.Version) (kind policy.Kind, ok bool) {
	language, err := hearth.Language(v.Config.Runtime)
	if err != nil || language == hearth.LangCustom {
		return kind, false
	}
	for name := range v.Config.Env {
		if readAtStart(name) {
			return kind, false
		}
	}
	kind.Language = language
	if language == hearth.LangNode {
		kind.MemoryMB = v.Config.MemoryMB // V8 takes the size of its heap at its start only
	}
	return kind, true
}

// readAtStart tells whether an interpreter, or a library that it is linked with, looks
// at a variable before the owner's environment comes.
func readAtStart(name string) bool {
	switch name {
	case "NODE_ENV", "NODE_PATH", "NODE_TLS_REJECT_UNAUTHORIZED": // read when they are needed
		return false
	case "LANG", "LANGUAGE", "LOCPATH", "GCONV_PATH", "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES", "FORCE_COLOR", "NO_COLOR":
		return true
	}
	for _, prefix := range []string{"NODE_", "LD_", "LC_", "GLIBC_", "MALLOC_", "UV_", "OPENSSL_", "SSL_", "V8_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// fillBlank makes the sandbox and waits until its shim has said hello.
func (w *Worker) fillBlank(ctx context.Context, p sandbox.Preparer, b *blank) error {
	ctx, cancel := context.WithTimeout(ctx, blankTimeout)
	defer cancel()
	interpreter, err := w.interpreter(b.kind.Language)
	if err != nil {
		return err
	}
	inside := w.inside("")
	memory := max(b.kind.MemoryMB, hearth.MinMemoryMB)
	sb, err := p.StartBlank(ctx, sandbox.Spec{
		ID:       b.id,
		Args:     shim.Command(b.kind.Language, interpreter, memory, inside.shim),
		Env:      pairs(blankEnvironment(inside)),
		ShimDir:  w.cfg.ShimDir,
		MemoryMB: memory,
		CPUs:     blankCPUs,
		TmpMB:    hearth.DefaultTmpMB,
	})
	if err != nil {
		return err
	}
	b.sb = sb
	if err := awaitWord(ctx, sb); err != nil {
		return errors.Join(fmt.Errorf("wait for the shim: %w", err), b.destroy())
	}
	return nil
}

// blankEnvironment is what every function's environment has at the start. The rest
// comes with INIT.
func blankEnvironment(place place) map[string]string {
	return map[string]string{"PATH": searchPath, "LANG": locale, "TZ": timeZone, "HOME": place.tmp, "TMPDIR": place.tmp}
}

// awaitWord waits until there is something to read from a sandbox, and leaves it there.
func awaitWord(ctx context.Context, sb sandbox.Sandbox) error {
	socket, ok := sb.Conn().(syscall.Conn)
	if !ok {
		return errors.New("descriptor 3 is no socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = sb.Conn().SetReadDeadline(time.Unix(1, 0))
	})
	var n int
	var peek error
	err = raw.Read(func(fd uintptr) bool {
		n, _, peek = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(peek, unix.EAGAIN) && !errors.Is(peek, unix.EINTR)
	})
	if !stop() {
		<-cut
		_ = sb.Conn().SetReadDeadline(time.Time{})
		return ctx.Err()
	}
	switch {
	case err != nil:
		return err
	case peek != nil:
		return peek
	case n == 0:
		return errors.New("it ended before it said hello")
	}
	return nil
}

// ended tells whether the sandbox is of no use any more.
func (b *blank) ended() bool {
	select {
	case <-b.sb.Done():
		return true
	default:
		return false
	}
}

// charge makes the charge what the sandbox really uses, in MiB, and returns it.
func (b *blank) charge() int {
	stats, err := b.sb.Stats()
	if err != nil {
		return 0
	}
	used := mb(stats.MemoryBytes)
	b.spare.Resize(used)
	return used
}

// destroy removes the sandbox, if there is one, and gives its room back. Whoever calls
// it again waits until that is done.
func (b *blank) destroy() error {
	b.gone.Do(func() {
		defer b.spare.Release()
		if b.sb == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), destroyTimeout)
		defer cancel()
		b.sb.Conn().Close()
		b.goneErr = b.sb.Destroy(ctx)
		_ = b.sb.Output().Close()
		if errors.Is(b.goneErr, os.ErrClosed) {
			b.goneErr = nil
		}
	})
	return b.goneErr
}

// adopt makes the instance's blank sandbox, if it has one, the function's. It returns
// nil when the instance needs one of its own.
func (w *Worker) adopt(ctx context.Context, inst *instance, codeDir string) sandbox.Sandbox {
	b := inst.blank
	if b == nil {
		return nil
	}
	inst.blank = nil
	c := &inst.version.Config
	err := b.sb.Specialise(ctx, sandbox.Assignment{
		CodeDir: codeDir, MemoryMB: c.MemoryMB, CPUs: float64(c.MemoryMB) / hearth.MBPerCPU, TmpMB: c.TmpMB,
	})
	inst.watch.lap("sandbox")
	if err == nil {
		return b.sb
	}
	w.cfg.Log.Warn("a prewarmed sandbox was of no use", "instance", b.id, "function", inst.version.Function, "err", err)
	if err := b.destroy(); err != nil {
		w.cfg.Log.Error("sandbox not removed cleanly", "instance", b.id, "err", err)
	}
	return nil
}
