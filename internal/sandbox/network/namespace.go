package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"

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

// connect runs in the new namespace: it makes the veth pair with one end in the
// host's namespace and configures this end.
func (w wiring) connect(hostNS int) error {
	if err := disableIPv6("all", "default"); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: insideName, MTU: w.mtu, TxQLen: -1},
		PeerName:      w.hostEnd,
		PeerMTU:       uint32(w.mtu),
		PeerNamespace: netlink.NsFd(hostNS),
	}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("make veth pair %s: %w", w.hostEnd, err)
	}
	loopback := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}} // always
	if err := h.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	if err := h.AddrAdd(veth, pairAddr(w.sandbox)); err != nil {
		return fmt.Errorf("set address %s: %w", w.sandbox, err)
	}
	if err := h.LinkSetUp(veth); err != nil {
		return fmt.Errorf("bring up %s: %w", insideName, err)
	}
	route := &netlink.Route{LinkIndex: veth.Index, Gw: w.host.AsSlice()}
	if err := h.RouteAdd(route); err != nil {
		return fmt.Errorf("set the default route: %w", err)
	}
	return nil
}

// attach configures the host's end, from the host's namespace.
func (w wiring) attach(host *netlink.Handle) (netlink.Link, error) {
	link, err := host.LinkByName(w.hostEnd)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", w.hostEnd, err)
	}
	if err := disableIPv6(w.hostEnd); err != nil {
		return nil, err
	}
	if err := setForwarding(w.hostEnd, true); err != nil {
		return nil, err
	}
	if err := host.AddrAdd(link, pairAddr(w.host)); err != nil {
		return nil, fmt.Errorf("set address %s: %w", w.host, err)
	}
	if err := host.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("bring up %s: %w", w.hostEnd, err)
	}
	return link, nil
}

func pairAddr(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 31))}
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
