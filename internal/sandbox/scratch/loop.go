package scratch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mountOptions: the image is thrown away, so nothing is done to survive a crash (no
// barriers) nor in the background (no inode table zeroing), and deleted files give
// their blocks back to the host (discard).
const mountOptions = "discard,nobarrier,noinit_itable,errors=continue"

// mountLoop mounts the file system in img at path. The loop device frees itself when
// the mount has gone, and img's blocks are freed with it if img is unlinked.
func mountLoop(img *os.File, path string) error {
	dev, err := attach(img)
	if err != nil {
		return err
	}
	defer dev.Close()
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME)
	if err := unix.Mount(dev.Name(), path, "ext4", flags, mountOptions); err != nil {
		return fmt.Errorf("mount %s: %w", dev.Name(), err)
	}
	return nil
}

// attach puts img behind a free loop device, which detaches by itself when nobody
// has it open or mounted any more (autoclear).
func attach(img *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("loop devices cannot be used (modprobe loop): %w", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(img.Fd()), Size: 4096}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	// Somebody else may configure the device that we were told is free.
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("no free loop device: %w", err)
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("loop device: %w", err)
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("configure /dev/loop%d: %w", n, err)
		}
	}
	return nil, errors.New("no free loop device: others keep taking them")
}
