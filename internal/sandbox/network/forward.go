package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultMTU is used on a host without uplinks; smaller ones than minMTU are not
// taken over, since IPv4 hosts need not cope with them.
const (
	defaultMTU = 1500
	minMTU     = 576
)

// refresh brings forwarding, MTU and nameservers in line with the host as it is
// now. Forwarding decides by the interface that a packet came in on, so replies need
// it on the uplinks. The caller holds setup.
func (m *Manager) refresh(ctx context.Context) error {
	uplinks, err := m.uplinks()
	if err != nil {
		return err
	}
	mtu := defaultMTU
	if len(uplinks) > 0 {
		mtu = uplinks[0].MTU
	}
	var errs []error
	errs = append(errs, m.followSwitch(ctx))
	for _, u := range uplinks {
		if u.MTU >= minMTU {
			mtu = min(mtu, u.MTU)
		}
		errs = append(errs, m.open(ctx, u.Name))
	}
	if m.cfg.MTU != 0 {
		mtu = m.cfg.MTU
	}
	resolvers := m.cfg.Resolvers
	if resolvers == nil {
		resolvers = m.hostResolvers()
	}
	m.mu.Lock()
	m.mtu, m.resolvers = mtu, resolvers
	m.mu.Unlock()
	return errors.Join(errs...)
}

// uplinks are the interfaces that the host's routes go out of, without the
// sandboxes'.
func (m *Manager) uplinks() ([]netlink.LinkAttrs, error) {
	routes, err := m.routes()
	if err != nil {
		return nil, err
	}
	indexes := map[int]bool{}
	for _, r := range routes {
		if r.Type != unix.RTN_UNICAST || m.inBlock(r.Dst) {
			continue
		}
		if r.LinkIndex > 0 {
			indexes[r.LinkIndex] = true
		}
		for _, hop := range r.MultiPath {
			indexes[hop.LinkIndex] = true
		}
	}
	var list []netlink.LinkAttrs
	for i := range indexes {
		link, err := m.host.LinkByIndex(i)
		if err != nil {
			continue // it has just gone
		}
		if a := link.Attrs(); a.RawFlags&unix.IFF_LOOPBACK == 0 && !m.isOurs(a.Name) {
			list = append(list, *a)
		}
	}
	slices.SortFunc(list, func(a, b netlink.LinkAttrs) int { return a.Index - b.Index })
	return list, nil
}

// open lets an interface forward, unless it does, and remembers that.
func (m *Manager) open(ctx context.Context, name string) error {
	on, err := forwards(name)
	if err != nil || on {
		return err
	}
	if err := nft(ctx, fmt.Sprintf("add element inet %s opened { %q }", m.names.Table, name)); err != nil {
		return err
	}
	m.mu.Lock()
	if !slices.Contains(m.opened, name) {
		m.opened = append(m.opened, name)
	}
	m.mu.Unlock()
	m.log.Info("forwarding replies to sandboxes", "interface", name)
	return setForwarding(name, true)
}

// followSwitch follows the global switch. When somebody else has turned it on, the
// host is a router by its owner's will: what we opened is no longer ours to guard or
// to restore. When it has been turned off, the sandboxes' interfaces went with it.
func (m *Manager) followSwitch(ctx context.Context) error {
	on, err := forwards("all")
	if err != nil {
		return err
	}
	m.mu.Lock()
	was, up, opened := m.routing, m.up, len(m.opened)
	m.routing = on
	m.mu.Unlock()
	switch {
	case on && !was && opened > 0:
		if err := nft(ctx, fmt.Sprintf("flush set inet %s opened", m.names.Table)); err != nil {
			return err
		}
		m.mu.Lock()
		m.opened = nil
		m.mu.Unlock()
	case !on && was:
		if err := m.reopenOurs(); err != nil {
			return err
		}
	}
	if up && on && !was { // who switched it on may have brought a firewall
		return m.passFirewalls(ctx)
	}
	return nil
}

func (m *Manager) reopenOurs() error {
	links, err := again(m.host.LinkList)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if m.isOurs(l.Attrs().Name) {
			errs = append(errs, setForwarding(l.Attrs().Name, true))
		}
	}
	return errors.Join(errs...)
}

func forwardingFile(name string) string {
	return "/proc/sys/net/ipv4/conf/" + name + "/forwarding"
}

func forwards(name string) (bool, error) {
	text, err := os.ReadFile(forwardingFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it has just gone; nothing to open
	}
	return strings.TrimSpace(string(text)) == "1", err
}

// setForwarding switches forwarding for one interface; one that is gone is no error.
func setForwarding(name string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	err := writeSysctl(forwardingFile(name), value)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("switch forwarding of %s: /proc/sys is read-only here; run where it is writable (a container needs --privileged)", name)
	case err != nil:
		return fmt.Errorf("switch forwarding of %s: %w", name, err)
	}
	return nil
}

// again repeats a listing that the kernel says was changed while being read.
func again[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// resolvConfs are where the host's nameservers are, in order: the usual file, and
// the lists behind a local stub (systemd-resolved, NetworkManager).
func resolvConfs() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"}
}

// hostResolvers are the host's nameservers that a sandbox can reach: IPv4, and not
// the host itself.
func (m *Manager) hostResolvers() []netip.Addr {
	unreachable := func(a netip.Addr) bool {
		for _, p := range m.cfg.Deny {
			if p.Contains(a) {
				return true
			}
		}
		addrs, err := again(func() ([]netlink.Addr, error) { return m.host.AddrList(nil, netlink.FAMILY_V4) })
		return err != nil || slices.ContainsFunc(addrs, func(own netlink.Addr) bool {
			o, ok := netip.AddrFromSlice(own.IP.To4())
			return ok && o == a
		})
	}
	for _, name := range resolvConfs() {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		list := parseResolvConf(string(text))
		list = slices.DeleteFunc(list, unreachable)
		if len(list) > 0 {
			return list
		}
	}
	m.warn("Sandboxes cannot resolve names: the host's nameservers are on the host itself or IPv6 only. Configure nameservers that other machines can reach.")
	return nil
}

// parseResolvConf reads the nameservers of resolv.conf(5) that are plain IPv4
// addresses of other machines.
func parseResolvConf(text string) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		a = a.Unmap()
		if err == nil && a.Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
