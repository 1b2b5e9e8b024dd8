// Package scratch makes the private /tmp of a sandbox: a place of its own with a
// size limit that holds, that costs the function no memory, and that is gone when
// the sandbox is.
//
// Each is a small ext4 file system without a journal, in a sparse image file behind
// a loop device. Project quotas on the data directory's own file system would be
// lighter, but only XFS has them ready; ext4 needs a feature that must be switched on
// while it is not mounted. A tmpfs would be simpler still, but its content is memory
// that no reclaim can free: it is the fallback where loop devices cannot be used.
//
// The image is sparse, so the host gives only the blocks that are written, and gets
// them back when files inside are deleted. All the same, no more is promised than
// there is: a volume is refused that the disk could not fill besides all others and a
// reserve (see Make). Only when somebody else fills the disk later do a function's
// writes fail early: with "no space left" or "input/output error", and what was
// written but not yet synced may be lost.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Store makes volumes under one directory.
type Store struct {
	dir string
	// memory is why volumes are tmpfs instead of images; nil if they are images.
	memory error
	mkfs   string
	disk   *disk

	mu        sync.Mutex
	templates map[int]*template // by MiB
}

// New prepares to keep volumes under dir, which it makes and which must be used for
// nothing else. It needs root.
func New(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("scratch space: %w", err)
	}
	s := &Store{
		dir:       dir,
		disk:      &disk{dir: dir, claims: map[*claim]struct{}{}},
		templates: map[int]*template{},
	}
	s.mkfs, s.memory = findMkfs()
	if s.memory == nil {
		s.memory = tryLoop(dir)
	}
	return s, nil
}

// InMemory tells why volumes count as memory (they are tmpfs), and nil if they do
// not (they are on disk).
func (s *Store) InMemory() error { return s.memory }

func findMkfs() (string, error) {
	for _, name := range []string{"mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("mkfs.ext4 is missing (apt-get install e2fsprogs)")
}

// tryLoop finds out whether this machine lets us use loop devices at all.
func tryLoop(dir string) error {
	img, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(img.Name())
	defer img.Close()
	if err := img.Truncate(1 << 20); err != nil {
		return err
	}
	dev, err := attach(img)
	if err != nil {
		return err
	}
	return dev.Close() // lets go of the loop device
}

// Volume is the scratch space of one sandbox.
type Volume struct {
	path string

	mu       sync.Mutex
	attached bool     // mounted at path in our own mount namespace
	root     *os.File // keeps the file system alive, and reaches it for Discard
	claim    *claim   // on disk space; nil for a tmpfs
}

// Path is where the volume is mounted on the host, until Detach.
func (v *Volume) Path() string { return v.path }

// Make makes an empty volume of mb MiB whose root belongs to uid and gid, mounted
// without set-user-id bits and devices. It blocks for a few milliseconds, the first
// time for a size somewhat longer.
//
// It fails with a *hearth.Error (ErrCapacity) when the disk has less left than the
// volume may need, besides what other volumes may still need and a reserve: a
// twentieth of the disk, at least 256 MB and at most 2 GB.
func (s *Store) Make(id string, mb, uid, gid int) (_ *Volume, err error) {
	v := &Volume{path: filepath.Join(s.dir, id)}
	if s.memory == nil {
		if v.claim, err = s.disk.claim(s.need(mb)); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(v.path, 0o700); err != nil {
		v.unclaim()
		return nil, fmt.Errorf("scratch space: %w", err)
	}
	if err := s.fill(v, mb, uid, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("scratch space of %d MB: %w", mb, err), v.Discard())
	}
	return v, nil
}

// Room tells what a volume of mb MiB may need of the disk, and what all volumes together
// may, those that there are included; both in MiB. Full is Make's refusal as it would be
// now. Volumes in memory need none. It takes a system call per volume.
func (s *Store) Room(mb int) (needMB, totalMB int, full, err error) {
	if s.memory != nil {
		return 0, 0, nil, nil
	}
	u, err := s.disk.usage()
	if err != nil {
		return 0, 0, nil, err
	}
	need := s.need(mb)
	return int(upMB(need)), int(max(u.free+u.taken-u.reserve, 0) / mib), u.full(s.dir, need), nil
}

// need is the size of the image for mb MiB, or somewhat more before the first was made.
func (s *Store) need(mb int) int64 {
	if info, err := os.Stat(s.templatePath(mb)); err == nil {
		return info.Size()
	}
	return firstSize(mb)
}

func (s *Store) fill(v *Volume, mb, uid, gid int) error {
	mount := func() error { return mountMemory(v.path, mb) }
	if v.claim != nil {
		mount = func() error { return s.mountImage(v, mb) }
	}
	if err := mount(); err != nil {
		return err
	}
	v.attached = true
	root, err := os.Open(v.path)
	if err != nil {
		return err
	}
	v.root = root
	if err := root.Chown(uid, gid); err != nil {
		return err
	}
	return root.Chmod(0o700)
}

func (s *Store) mountImage(v *Volume, mb int) error {
	t, err := s.template(mb)
	if err != nil {
		return err
	}
	img, err := t.copyTo(v.path + ".img")
	if err != nil {
		return err
	}
	if err := v.claim.hold(img); err != nil {
		return err
	}
	// Unlinked at once: the loop device keeps it, and with the loop device it goes.
	if err := os.Remove(img.Name()); err != nil {
		return err
	}
	return mountLoop(img, v.path)
}

// mountMemory mounts a tmpfs, with as many inodes as the images have.
func mountMemory(path string, mb int) error {
	opts := fmt.Sprintf("size=%dm,nr_inodes=%d,mode=700", mb, mb*inodesPerMB)
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// Detach takes the volume out of the host's mount table once the sandbox holds it.
// From then on it lives as long as the sandbox's mount namespace, or the Volume: if
// this process is killed, nothing has to be cleaned up. Detaching twice is harmless.
func (v *Volume) Detach() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.detachLocked()
}

func (v *Volume) detachLocked() error {
	if v.attached {
		err := unix.Unmount(v.path, unix.MNT_DETACH)
		gone := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)
		if err != nil && !gone {
			return fmt.Errorf("unmount %s: %w", v.path, err)
		}
		v.attached = false
	}
	if err := os.Remove(v.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Discard throws the content away and lets go of the volume. Call it when the
// sandbox's processes have gone; whoever is left gets input/output errors. Mount,
// loop device and image are gone when it returns, unless another mount namespace
// still holds the mount. Discarding twice is harmless.
func (v *Volume) Discard() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.detachLocked()
	if v.root != nil {
		if v.claim != nil {
			shutdown(v.root)
		}
		v.root.Close()
		v.root = nil
	}
	if rerr := os.Remove(v.path + ".img"); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	if !v.attached {
		v.unclaim()
	}
	return err
}

// unclaim gives the disk space back.
func (v *Volume) unclaim() {
	if v.claim != nil {
		v.claim.release()
	}
}

// shutdown tells the file system to forget what has not reached the image yet, so
// that unmounting does not write hundreds of megabytes that nobody will read.
func shutdown(root *os.File) {
	const (
		ioctlShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush    = 2
	)
	// An old kernel refuses; then unmounting is slow but right.
	_ = unix.IoctlSetPointerInt(int(root.Fd()), ioctlShutdown, noLogFlush)
}

// Recover removes what an earlier process has left under the store's directory:
// mounts and images. Templates stay. Call it when the sandboxes' processes are gone.
func (s *Store) Recover() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("scratch space: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.Name() == templateDir {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		for e.IsDir() && unix.Unmount(path, unix.MNT_DETACH) == nil { // mounted more than once?
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
