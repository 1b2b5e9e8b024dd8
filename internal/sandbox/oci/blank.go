package oci

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sandbox/rootfs"
	"hearth/internal/sandbox/scratch"
)

var _ sandbox.Preparer = (*Driver)(nil)

// StartBlank starts a sandbox without code: see sandbox.Preparer.
func (d *Driver) StartBlank(ctx context.Context, spec sandbox.Spec) (sandbox.Blank, error) {
	if spec.CodeDir != "" {
		return nil, fmt.Errorf("start sandbox %s: a blank one has no code", spec.ID)
	}
	if err := canMoveMounts(); err != nil {
		return nil, err
	}
	b, err := d.startBox(ctx, spec)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// canMoveMounts finds out whether the kernel has what arrange needs.
func canMoveMounts() error {
	tree, err := openTree("/", 0)
	if err != nil {
		return fmt.Errorf("%w: %w", sandbox.ErrNoBlanks, err)
	}
	return unix.Close(tree)
}

// Specialise makes the sandbox a function's: see sandbox.Blank.
//
// The code comes as a detached mount that is moved into the sandbox's mount namespace.
// Nothing of it ever appears in the host's mount table, so a kill of this process
// leaves nothing behind there.
func (b *box) Specialise(ctx context.Context, a sandbox.Assignment) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("specialise sandbox %s: %w", b.id, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	limits := cgroup.Limits{MemoryBytes: int64(a.MemoryMB) << 20, CPUs: a.CPUs}
	if b.driver.cfg.CPUQuota {
		limits.QuotaCPUs = a.CPUs
	}
	if err := b.group.SetLimits(limits); err != nil {
		return err
	}
	if err := b.furnish(ctx, &a); err != nil {
		return fmt.Errorf("specialise sandbox %s: %w", b.id, err)
	}
	return nil
}

// furnish brings the code, and another /tmp if the one there is of the wrong size.
func (b *box) furnish(ctx context.Context, a *sandbox.Assignment) error {
	code, err := openTree(a.CodeDir, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return err
	}
	defer unix.Close(code)
	moves := []move{{tree: code, to: sandbox.TaskRoot}}
	if a.TmpMB == b.tmpMB {
		return b.arrange(moves)
	}
	uid, gid := int(b.firstID+rootfs.UID), int(b.firstID+rootfs.GID)
	larger, err := b.driver.makeTmp(ctx, b.id+"-tmp", a.TmpMB, uid, gid)
	if err != nil {
		return err
	}
	tmp, err := openTree(larger.Path(), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err == nil {
		err = b.arrange(append(moves, move{tree: tmp, to: rootfs.Tmp, instead: true}))
		unix.Close(tmp)
	}
	if err != nil {
		return errors.Join(err, larger.Discard())
	}
	return b.changeTmp(larger, a.TmpMB)
}

// changeTmp lets go of the /tmp that the sandbox does not have any more.
func (b *box) changeTmp(v *scratch.Volume, mb int) error {
	old := b.tmp
	b.tmp, b.tmpMB = v, mb
	return errors.Join(v.Detach(), old.Discard())
}

// openTree makes a detached mount of the directory at path, without what is mounted
// below it, and with the given attributes besides its own.
func openTree(path string, attributes uint64) (fd int, err error) {
	fd, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open the mount of %s: %w", path, err)
	}
	// Private: what is mounted there on the host later is not for the sandbox.
	attr := unix.MountAttr{Attr_set: attributes, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set the attributes of the mount of %s: %w", path, err)
	}
	return fd, nil
}

// move is a detached mount and where it goes in a sandbox.
type move struct {
	tree    int
	to      string
	instead bool // of what is mounted there
}

// arrange carries out moves inside the sandbox's mount namespace.
func (b *box) arrange(moves []move) error {
	return aside(func() error {
		return b.watcher.Control(func(pidfd int) error { return enter(pidfd, moves) })
	})
}

// aside runs f on a thread of its own, which ends: whoever has been in a sandbox does
// nothing else afterwards. It is never the first thread of the process: that one would
// not end but wait for ever, hold on to the sandbox's mounts, and stand for the whole
// process in /proc/self.
func aside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- aside(f) // on another thread, as this one waits
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// enter needs a thread that nobody else will use.
func enter(pidfd int, moves []move) error {
	// A thread that shares its root directory with others may not change namespaces.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leave the shared root directory: %w", err)
	}
	if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the sandbox: %w", err)
	}
	for _, m := range moves {
		if m.instead {
			if err := unix.Unmount(m.to, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s in the sandbox: %w", m.to, err)
			}
		}
		if err := unix.MoveMount(m.tree, "", unix.AT_FDCWD, m.to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s in the sandbox: %w", m.to, err)
		}
	}
	return nil
}
