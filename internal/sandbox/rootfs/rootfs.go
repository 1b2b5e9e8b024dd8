// Package rootfs makes the root file system that all sandboxes of a platform share:
// read-only, with the host's interpreters, programs and libraries and nothing else of
// the host. No image has to be fetched, built or kept up to date: the host's package
// manager does that.
//
// Inside there is /usr as it is on the host, without the places where a machine's
// owner puts things of his own (see ownerDirs); an /etc of a handful of files; the device nodes of
// a minimal /dev; and empty directories where each sandbox gets its own /proc, /tmp,
// /var/task and /var/runtime. The host's /etc, /home, /root, /run, /srv and /var are
// not there.
//
// So a function sees which packages the host has, and may run what they contain: git,
// a compiler, ffmpeg, even runc. That is on purpose. Functions want such programs;
// Python finds shared libraries with /usr/sbin/ldconfig and gcc; and hiding them would
// guard nothing, since a function can bring any program along. What a program may do
// is held by namespaces, capabilities and system call filters. Set-user-id bits have no
// power in the tree, and what the host keeps from other users (mode 0700) it keeps
// from functions too: their user is nobody there.
//
// The tree is a tmpfs (some 400 KB, mostly certificates) with bind mounts, put
// together once. A container runtime takes it over with a single recursive bind.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The user that functions run as, inside.
const (
	UID = 1000
	GID = 1000
)

// Where a sandbox gets things of its own. All exist in the tree as empty
// directories or files to be mounted upon.
const (
	Tmp        = "/tmp"
	Proc       = "/proc"
	Shm        = "/dev/shm"
	Hosts      = "/etc/hosts"
	ResolvConf = "/etc/resolv.conf"
)

// ownDirs are the directories that each sandbox mounts upon, and /opt, which layers
// will need.
var ownDirs = []string{Tmp, Proc, "/var/task", "/var/runtime", "/opt"}

const (
	treeFlags   = unix.MS_NOSUID | unix.MS_NODEV
	treeOptions = "mode=755,size=32m"
)

// Root is the shared tree.
type Root struct{ path string }

// Path is the tree on the host.
func (r *Root) Path() string { return r.path }

// Build puts the tree together at path, which is made if it does not exist and
// should be reachable for every user (/run is): a container runtime looks at it as
// a user that may do nothing outside its user namespace. It needs root.
func Build(path string, runtimes []Runtime) (_ *Root, err error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", treeFlags, treeOptions); err != nil {
		return nil, fmt.Errorf("root file system: mount %s: %w", path, err)
	}
	r := &Root{path: path}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("root file system: %w", err), r.Close())
		}
	}()
	// Private: what is mounted below must not spread to other mount namespaces,
	// where it would stay mounted after we have let go.
	if err := unix.Mount("", path, "", unix.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	steps := []func() error{
		r.directories, r.etc, r.devices, r.usr,
		func() error { return r.prefixes(runtimes) },
		func() error {
			return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY|treeFlags, treeOptions)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Close takes the tree down. Closing twice is harmless.
func (r *Root) Close() error { return Remove(r.path) }

// Remove takes down whatever tree is mounted at path, also one that an earlier
// process has built. It is harmless when there is none.
func Remove(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // not mounted any more
		}
		if err != nil {
			return fmt.Errorf("root file system: unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("root file system: %w", err)
	}
	return nil
}

func (r *Root) at(path string) string { return filepath.Join(r.path, path) }

func (r *Root) directories() error {
	for _, dir := range append([]string{"/etc", "/dev", "/usr"}, ownDirs...) {
		if err := r.mkdir(dir); err != nil {
			return err
		}
	}
	return os.Symlink("/tmp", r.at("/var/tmp"))
}

// mkdir makes a directory of the tree with its parents, open to everybody whatever
// the umask is.
func (r *Root) mkdir(dir string) error {
	if dir == "/" {
		return nil
	}
	if err := r.mkdir(filepath.Dir(dir)); err != nil {
		return err
	}
	err := os.Mkdir(r.at(dir), 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(r.at(dir), 0o755)
}

// devices makes a /dev with the nodes that no program does without.
func (r *Root) devices() error {
	dev := r.at("/dev")
	flags := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	if err := unix.Mount("tmpfs", dev, "tmpfs", flags, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	nodes := []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}
	for _, n := range nodes {
		path := filepath.Join(dev, n.name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("device /dev/%s: %w", n.name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // whatever the umask is
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := r.mkdir(Shm); err != nil {
		return err
	}
	// What is mounted upon it takes over its mode (runc does that).
	if err := os.Chmod(r.at(Shm), 0o777|os.ModeSticky); err != nil {
		return err
	}
	return unix.Mount("", dev, "", unix.MS_REMOUNT|unix.MS_RDONLY|flags, "mode=755,size=64k")
}

// ownerDirs are what an owner puts into /usr beside the packages, and what describes
// the machine's kernel and devices.
var ownerDirs = []string{
	"/usr/local", "/usr/src", "/usr/etc", "/usr/games", "/usr/lib/modules", "/usr/lib/firmware", "/usr/lib/debug",
}

// usr shows the host's /usr, hides what is in it of the machine's owner, and makes
// /bin, /lib and the like as they are on the host.
func (r *Root) usr() error {
	if err := bind("/usr", r.at("/usr")); err != nil {
		return err
	}
	for _, dir := range ownerDirs {
		if err := r.hide(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if err := r.likeHost(dir); err != nil {
			return err
		}
	}
	return nil
}

// likeHost makes dir a symbolic link or a bind mount, as merged or unmerged /usr
// wants it.
func (r *Root) likeHost(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(dir)
		if err != nil {
			return err
		}
		return os.Symlink(target, r.at(dir))
	}
	if err := r.mkdir(dir); err != nil {
		return err
	}
	return bind(dir, r.at(dir))
}

// hide mounts an empty file system over dir, if it exists and is a directory.
func (r *Root) hide(dir string) error {
	info, err := os.Lstat(r.at(dir))
	if err != nil || !info.IsDir() {
		return nil
	}
	if err := unix.Mount("tmpfs", r.at(dir), "tmpfs", hiddenFlags, hiddenOptions); err != nil {
		return fmt.Errorf("hide %s: %w", dir, err)
	}
	return r.seal(dir)
}

const (
	hiddenFlags   = unix.MS_NOSUID | unix.MS_NODEV
	hiddenOptions = "mode=755,size=64k"
)

// seal and unseal make a hidden place read-only and writable.
func (r *Root) seal(dir string) error {
	return unix.Mount("", r.at(dir), "", unix.MS_REMOUNT|unix.MS_RDONLY|hiddenFlags, hiddenOptions)
}

func (r *Root) unseal(dir string) error {
	return unix.Mount("", r.at(dir), "", unix.MS_REMOUNT|hiddenFlags, hiddenOptions)
}

// prefixes shows interpreters that are installed elsewhere than in /usr: the program
// and its library, not the configuration or whatever else lies beside them.
func (r *Root) prefixes(runtimes []Runtime) error {
	done := map[string]bool{"/usr": true, "/": true}
	for _, rt := range runtimes {
		if done[rt.Prefix] {
			continue
		}
		done[rt.Prefix] = true
		if err := r.prefix(rt); err != nil {
			return fmt.Errorf("show %s (%s): %w", rt.Path, rt.Name, err)
		}
	}
	return nil
}

func (r *Root) prefix(rt Runtime) error {
	const local = "/usr/local"
	if rt.Prefix == local || strings.HasPrefix(rt.Prefix, local+"/") {
		if err := r.unseal(local); err != nil {
			return err
		}
		defer func() { _ = r.seal(local) }() // it was read-only a moment ago
	}
	for _, sub := range []string{"bin", "lib", "lib64", "libexec"} {
		dir := filepath.Join(rt.Prefix, sub)
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if err := r.mkdir(dir); err != nil {
			return err
		}
		if err := bind(dir, r.at(dir)); err != nil {
			return err
		}
	}
	return nil
}

// bind shows the directory src at dst: read-only, without the power of set-user-id
// bits and device nodes, and without what is mounted below it.
func bind(src, dst string) error {
	if err := unix.Mount(src, dst, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", src, err)
	}
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV)
	if err := unix.Mount("", dst, "", flags, ""); err != nil {
		return fmt.Errorf("bind %s read-only: %w", src, err)
	}
	return unix.Mount("", dst, "", unix.MS_PRIVATE, "")
}
