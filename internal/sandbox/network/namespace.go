package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newNamespace makes a network namespace and runs configure in it, on a thread that
// is in it. The caller owns the descriptor. host is the namespace to come back to.
//
// All this happens on a goroutine of its own: should the way back fail, the
// goroutine ends with its thread locked, and the runtime destroys the thread instead
// of running others in the wrong namespace.
func newNamespace(host int, configure func() error) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if fd, err = unshareNet(configure); err != nil {
			err = fmt.Errorf("make a network namespace: %w", err)
		}
		if unix.Setns(host, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return fd, err
}

// unshareNet leaves its thread in the new namespace.
func unshareNet(configure func() error) (fd int, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return -1, err
	}
	fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := configure(); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// insideName is what a sandbox calls its interface.
const insideName = "eth0"

// wiring is what one namespace is connected with.
type wiring struct {
	hostEnd       string // interface name on the host
	host, sandbox netip.Addr
	mtu           int
}

// openNamespace makes a namespace and a netlink socket in it, which stays in it whatever
// thread uses it. The caller owns both.
func openNamespace(hostNS int) (fd int, inside *netlink.Handle, err error) {
	fd, err = newNamespace(hostNS, func() error {
		if err := disableIPv6("all", "default"); err != nil {
			return err
		}
		var err error
		inside, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return fd, inside, err
}

// connect joins a namespace to the host by a veth pair and returns the host's end.
//
// Of the two ends, the one that is brought up first cannot send before the kernel's
// link watcher has noticed that the other has come up too; what is sent meanwhile is
// lost, and a TCP handshake loses a second. So the host's end, which can be asked
// about, is first, and connect waits for it.
func (w wiring) connect(host, inside *netlink.Handle, hostNS int) (netlink.Link, error) {
	ours := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: insideName, MTU: w.mtu, TxQLen: -1},
		PeerName:      w.hostEnd,
		PeerMTU:       uint32(w.mtu),
		PeerNamespace: netlink.NsFd(hostNS),
	}
	if err := inside.LinkAdd(ours); err != nil {
		return nil, fmt.Errorf("make veth pair %s: %w", w.hostEnd, err)
	}
	theirs, err := host.LinkByName(w.hostEnd)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", w.hostEnd, err)
	}
	if err := errors.Join(disableIPv6(w.hostEnd), setForwarding(w.hostEnd, true)); err != nil {
		return nil, err
	}
	if err := bringUp(host, theirs, w.host); err != nil {
		return nil, err
	}
	loopback := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}} // always
	if err := inside.LinkSetUp(loopback); err != nil {
		return nil, fmt.Errorf("bring up loopback: %w", err)
	}
	if err := bringUp(inside, ours, w.sandbox); err != nil {
		return nil, err
	}
	route := &netlink.Route{LinkIndex: ours.Index, Gw: w.host.AsSlice()}
	if err := inside.RouteAdd(route); err != nil {
		return nil, fmt.Errorf("set the default route: %w", err)
	}
	return theirs, awaitUp(host, theirs)
}

func bringUp(h *netlink.Handle, link netlink.Link, addr netip.Addr) error {
	name := link.Attrs().Name
	pair := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, 31))}
	if err := h.AddrAdd(link, pair); err != nil {
		return fmt.Errorf("set address %s of %s: %w", addr, name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// awaitUp waits until a link can send, normally well below a millisecond. After a
// second it lets it be: the sandbox may lose a packet, no more.
func awaitUp(h *netlink.Handle, link netlink.Link) error {
	end := time.Now().Add(time.Second)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		now, err := h.LinkByIndex(link.Attrs().Index)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", link.Attrs().Name, err)
		}
		if now.Attrs().OperState == netlink.OperUp || time.Now().After(end) {
			return nil
		}
		time.Sleep(pause)
	}
}

// disableIPv6 switches it off for interfaces of the thread's namespace, to which
// /proc/sys/net always belongs. A kernel without IPv6 has nothing to switch.
func disableIPv6(names ...string) error {
	for _, name := range names {
		err := writeSysctl("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", "1")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("switch IPv6 off for %s: %w", name, err)
		}
	}
	return nil
}

func writeSysctl(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
