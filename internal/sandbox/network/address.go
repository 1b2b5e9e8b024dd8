package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// slots are the pairs of addresses of a block. The one that has been free longest is
// taken first: the kernel may still track connections of a released address.
type slots struct {
	block netip.Prefix
	free  []int
	next  int // slots from here on have never been taken
	total int
}

func newSlots(block netip.Prefix) slots {
	return slots{block: block, total: 1 << (32 - block.Bits() - 1)}
}

func (s *slots) take() (int, error) {
	if s.next < s.total {
		s.next++
		return s.next - 1, nil
	}
	if len(s.free) == 0 {
		return 0, fmt.Errorf("all %d address pairs of %s are taken: configure a larger range", s.total, s.block)
	}
	slot := s.free[0]
	s.free = s.free[1:]
	return slot, nil
}

func (s *slots) give(slot int) { s.free = append(s.free, slot) }

// scarce: what is kept ready could be what somebody needs.
func (s *slots) scarce() bool { return 4*(s.next-len(s.free)) >= s.total }

// pair is the host's and the sandbox's address of a slot.
func (s *slots) pair(slot int) (host, sandbox netip.Addr) {
	b := s.block.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) + uint32(2*slot)
	return addr4(n), addr4(n + 1)
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// claimBlock takes the configured range, or the first free block of the default one,
// by a route that nobody else can add a second time.
func (m *Manager) claimBlock() (netip.Prefix, error) {
	taken, err := m.routedPrefixes()
	if err != nil {
		return netip.Prefix{}, err
	}
	if m.cfg.CIDR.IsValid() {
		if p, ok := overlap(m.cfg.CIDR, taken); ok {
			return netip.Prefix{}, fmt.Errorf("the sandboxes' range %s overlaps %s, which this host has a route to: choose another range", m.cfg.CIDR, p)
		}
		return m.cfg.CIDR, m.host.RouteAdd(claim(m.cfg.CIDR))
	}
	for _, block := range blocks(m.names) {
		if _, ok := overlap(block, taken); ok {
			continue
		}
		err := m.host.RouteAdd(claim(block))
		if errors.Is(err, unix.EEXIST) { // another Hearth was faster
			continue
		}
		return block, err
	}
	return netip.Prefix{}, fmt.Errorf("every block of %s is in use on this host: configure a range of your own", defaultRange)
}

// blocks are the blocks of the default range, starting at one that depends on the
// name, so that a Hearth tends to get the same again.
func blocks(n names) []netip.Prefix {
	all := netip.MustParsePrefix(defaultRange)
	count := 1 << (blockBits - all.Bits())
	var start byte
	for _, c := range []byte(n.Table) {
		start = start*31 + c
	}
	list := make([]netip.Prefix, count)
	b := all.Addr().As4()
	first := binary.BigEndian.Uint32(b[:])
	for i := range list {
		k := (int(start) + i) % count
		list[i] = netip.PrefixFrom(addr4(first+uint32(k)<<(32-blockBits)), blockBits)
	}
	return list
}

// claim is the route that marks a block as ours and keeps packets to its unused
// addresses from going anywhere.
func claim(block netip.Prefix) *netlink.Route {
	return &netlink.Route{Dst: ipNet(block), Type: unix.RTN_UNREACHABLE, Table: unix.RT_TABLE_MAIN}
}

func (m *Manager) dropBlock(block netip.Prefix) error {
	if err := m.host.RouteDel(claim(block)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove the route of %s: %w", block, err)
	}
	return nil
}

// routedPrefixes are the destinations of all routes of the host, in any table. Very
// short ones are default routes in disguise (VPNs add 0.0.0.0/1).
func (m *Manager) routedPrefixes() ([]netip.Prefix, error) {
	routes, err := m.routes()
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if p, ok := prefixOf(r.Dst); ok && p.Bits() >= 8 {
			list = append(list, p)
		}
	}
	return list, nil
}

// routes are all IPv4 routes of the host, in any table.
func (m *Manager) routes() ([]netlink.Route, error) {
	routes, err := again(func() ([]netlink.Route, error) {
		return m.host.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list the host's routes: %w", err)
	}
	return routes, nil
}

func (m *Manager) currentBlock() netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.block
}

// inBlock tells whether a route's destination is one of ours.
func (m *Manager) inBlock(dst *net.IPNet) bool {
	if dst == nil {
		return false
	}
	p, ok := prefixOf(dst)
	block := m.currentBlock()
	return ok && block.IsValid() && p.Bits() >= block.Bits() && block.Contains(p.Addr())
}

func overlap(p netip.Prefix, with []netip.Prefix) (netip.Prefix, bool) {
	for _, q := range with {
		if p.Overlaps(q) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr.Unmap(), ones), true
}

// linkName is the host's end of a slot's veth pair.
func (m *Manager) linkName(slot int) string { return fmt.Sprintf("%s%x", m.names.Prefix, slot) }

func (m *Manager) isOurs(link string) bool { return strings.HasPrefix(link, m.names.Prefix) }
