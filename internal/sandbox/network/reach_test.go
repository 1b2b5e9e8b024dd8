package network

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestReachesOutside(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	for _, a := range publicAddrs() {
		serve(t, w.outside, a+":7000")
		reaches(t, "a sandbox to the outside", n.fd, a+":7000", hostUp)
	}
	serve(t, w.neighbour, neighbour+":7000")
	reaches(t, "a sandbox to the host's neighbour", n.fd, neighbour+":7000", hostLAN)

	there := hear(t, w.outside, "203.0.113.10:7001")
	here := hear(t, n.fd, "0.0.0.0:0")
	must(t, sendTo(t, here, "203.0.113.10:7001", "hello"))
	text, from := next(t, there)
	if text != "hello" || from != hostUp {
		t.Errorf("the outside heard %q from %s", text, from)
	}
}

func TestInside(t *testing.T) {
	newWorld(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	serve(t, n.fd, "127.0.0.1:7000")
	reaches(t, "a sandbox to itself", n.fd, "127.0.0.1:7000", "127.0.0.1")
	in(t, n.fd, func() {
		links, err := again(netlink.LinkList)
		must(t, err)
		if len(links) != 2 || links[0].Attrs().Name != "lo" || links[1].Attrs().Name != insideName || links[1].Attrs().MTU != upMTU {
			t.Errorf("interfaces inside: %v; want lo and %s with the uplink's MTU", links, insideName)
		}
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_V6)
		must(t, err)
		if len(addrs) != 0 {
			t.Errorf("IPv6 addresses inside: %v", addrs)
		}
	})
	var byPath, byFD unix.Stat_t
	must(t, unix.Stat(n.Path(), &byPath))
	must(t, unix.Fstat(n.fd, &byFD))
	if byPath.Ino != byFD.Ino || byPath.Dev != byFD.Dev {
		t.Errorf("%s is not the namespace", n.Path())
	}
	if _, err := netlink.LinkByName(n.Interface()); err != nil {
		t.Errorf("Interface = %q: %v", n.Interface(), err)
	}
	want := m.hostResolvers()
	if !slices.Equal(n.Resolvers(), want) {
		t.Errorf("Resolvers = %v, want %v", n.Resolvers(), want)
	}
}

func TestHostIsOutOfReach(t *testing.T) {
	w := newWorld(t)
	host := hostFD(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	gateway, _ := m.slots.pair(n.slot)
	serve(t, host, "0.0.0.0:7000")
	heard := hear(t, host, "0.0.0.0:7001")
	here := hear(t, n.fd, "0.0.0.0:0")
	reaches(t, "the outside to the host", w.outside, hostUp+":7000", outsideUp)
	for _, a := range []string{hostUp, hostLAN, gateway.String()} {
		isDropped(t, "a sandbox to the host", n.fd, a+":7000")
		_ = sendTo(t, here, a+":7001", "unicast")
	}
	for _, a := range []string{"255.255.255.255", "192.0.2.255", "172.16.6.255", "239.1.2.3", "224.0.0.1"} {
		_ = sendTo(t, here, a+":7001", "to many")
	}
	// Whatever got through would have been heard before this.
	must(t, sendTo(t, hear(t, w.outside, "0.0.0.0:0"), hostUp+":7001", "control"))
	if text, from := next(t, heard); text != "control" {
		t.Errorf("the host heard %q from %s", text, from)
	}
}

func TestTranslatedHostPortIsOutOfReach(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	serve(t, w.neighbour, neighbour+":7000")
	must(t, nft(t.Context(), `table ip published {
		chain pre { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 8080 dnat to `+neighbour+`:7000; }
	}`))
	t.Cleanup(func() { must(t, nft(context.Background(), "delete table ip published")) })
	isDropped(t, "a sandbox to a published port of the host", n.fd, hostUp+":8080")
}

// IPv6 is switched off inside. Should a sandbox get it on again, nothing passes.
func TestIPv6IsDropped(t *testing.T) {
	newWorld(t)
	host := hostFD(t)
	n := acquire(t, newManager(t, nil), "i1")
	withIPv6 := func(name, cidr string) {
		must(t, writeSysctl("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", "0"))
		link, err := netlink.LinkByName(name)
		must(t, err)
		addr, err := netlink.ParseAddr(cidr)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(link, addr))
		// The kernel takes an address into use a little later.
		for deadline := time.Now().Add(patience); ; {
			if routes, err := netlink.RouteGet(addr.IP); err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not come into use", cidr)
			}
		}
	}
	withIPv6("lo", "fd01::1/128")
	withIPv6(n.link.Attrs().Name, "fd00::1/64")
	hostEnd, err := netlink.LinkByName(n.Interface())
	must(t, err)
	in(t, n.fd, func() {
		withIPv6(insideName, "fd00::2/64")
		link, err := netlink.LinkByName(insideName)
		must(t, err)
		// So that it depends on the datagram alone, not on neighbour discovery.
		must(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: net.ParseIP("fd00::1"), HardwareAddr: hostEnd.Attrs().HardwareAddr}))
	})
	var heard, here, control net.PacketConn
	listen := func(c *net.PacketConn, addr string) func() {
		return func() {
			var err error
			*c, err = net.ListenPacket("udp6", addr)
			must(t, err)
			t.Cleanup(func() { (*c).Close() })
		}
	}
	in(t, host, listen(&heard, "[::]:7000"))
	in(t, host, listen(&control, "[fd01::1]:0"))
	in(t, n.fd, listen(&here, "[fd00::2]:0"))
	must(t, sendTo(t, here.(*net.UDPConn), "[fd00::1]:7000", "from a sandbox"))
	must(t, sendTo(t, control.(*net.UDPConn), "[fd01::1]:7000", "control"))
	if text, from := next(t, heard.(*net.UDPConn)); text != "control" {
		t.Errorf("the host heard %q from %s", text, from)
	}
}

func TestOtherSandboxIsOutOfReach(t *testing.T) {
	newWorld(t)
	m := newManager(t, nil)
	other := newManager(t, func(c *Config) { c.Name = "another Hearth"; c.CIDR = netip.MustParsePrefix("100.96.1.0/24") })
	a, b, c := acquire(t, m, "ia"), acquire(t, m, "ib"), acquire(t, other, "ic")
	for _, to := range []*Net{b, c} {
		addr := to.Addr().String() + ":7000"
		serve(t, to.fd, addr)
		reaches(t, "a sandbox to itself", to.fd, addr, to.Addr().String())
		isDropped(t, "a sandbox to another", a.fd, addr)
	}
}

func TestLinkLocalAndDeniedAreOutOfReach(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, func(c *Config) {
		c.Deny = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.11.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	})
	n := acquire(t, m, "i1")
	for _, a := range []string{metadata, "10.11.12.13"} {
		serve(t, w.outside, a+":7000")
		reaches(t, "the host", hostFD(t), a+":7000", hostUp)
		isDropped(t, "a sandbox to a denied address", n.fd, a+":7000")
	}
}

func TestSpoofedSourceIsDropped(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, nil)
	n, other := acquire(t, m, "ia"), acquire(t, m, "ib")
	heard := hear(t, w.outside, "203.0.113.10:7000")
	in(t, n.fd, func() {
		link, err := netlink.LinkByName(insideName)
		must(t, err)
		for _, a := range []string{other.Addr().String(), hostLAN, "198.51.100.77"} {
			addr, err := netlink.ParseAddr(a + "/32")
			must(t, err)
			must(t, netlink.AddrAdd(link, addr))
			c, err := net.ListenPacket("udp4", a+":0")
			must(t, err)
			must(t, sendTo(t, c.(*net.UDPConn), "203.0.113.10:7000", "spoofed "+a))
			must(t, c.Close())
		}
		c, err := net.ListenPacket("udp4", n.Addr().String()+":0")
		must(t, err)
		must(t, sendTo(t, c.(*net.UDPConn), "203.0.113.10:7000", "honest"))
		must(t, c.Close())
	})
	if text, from := next(t, heard); text != "honest" || from != hostUp {
		t.Errorf("the outside heard %q from %s", text, from)
	}
}

func TestNobodyConnectsIn(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	addr := n.Addr().String() + ":7000"
	serve(t, n.fd, addr)
	reaches(t, "a sandbox to itself", n.fd, addr, n.Addr().String())
	isDropped(t, "the outside to a sandbox", w.outside, addr)
	isDropped(t, "the neighbour to a sandbox", w.neighbour, addr)
	isDropped(t, "the host to a sandbox", hostFD(t), addr)

	// A datagram needs no answer to do harm.
	heard, asking := hear(t, n.fd, "0.0.0.0:7001"), hear(t, w.outside, "203.0.113.10:7002")
	for _, ns := range []int{w.outside, w.neighbour, hostFD(t)} {
		_ = sendTo(t, hear(t, ns, "0.0.0.0:0"), n.Addr().String()+":7001", "uninvited")
	}
	must(t, sendTo(t, heard, "203.0.113.10:7002", "question"))
	buf := make([]byte, 100)
	must(t, asking.SetReadDeadline(time.Now().Add(patience)))
	_, from, err := asking.ReadFromUDPAddrPort(buf)
	must(t, err)
	must(t, sendTo(t, asking, from.String(), "reply"))
	if text, from := next(t, heard); text != "reply" {
		t.Errorf("the sandbox heard %q from %s", text, from)
	}
}

// One sandbox cannot fill the host's table of connections.
func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	m, err := New(Config{Name: testName, CIDR: netip.MustParsePrefix(testCIDR)})
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	m.connections = 5
	greedy, modest := acquire(t, m, "ia"), acquire(t, m, "ib")
	heard := hear(t, w.outside, "203.0.113.10:7000")
	for range 20 {
		must(t, sendTo(t, hear(t, greedy.fd, "0.0.0.0:0"), "203.0.113.10:7000", "greedy"))
	}
	must(t, sendTo(t, hear(t, modest.fd, "0.0.0.0:0"), "203.0.113.10:7000", "modest"))
	for n := 0; ; n++ {
		if text, _ := next(t, heard); text == "modest" {
			if n != m.connections {
				t.Errorf("%d connections of one sandbox got through, want %d", n, m.connections)
			}
			break
		}
	}
}

// The host is no router for others because of us, and is one when its owner says so.
func TestHostDoesNotRouteForOthers(t *testing.T) {
	w := newWorld(t)
	serve(t, w.neighbour, neighbour+":7000")
	isDroppedOrUnreachable := func(when string) {
		t.Helper()
		if from, err := call(t, w.outside, neighbour+":7000", impatience); err == nil {
			t.Errorf("%s: the outside reached the neighbour through the host (as %s)", when, from)
		}
	}
	isDroppedOrUnreachable("before")
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	isDroppedOrUnreachable("with sandboxes")
	reaches(t, "a sandbox", n.fd, neighbour+":7000", hostLAN)

	events, stop := nftEvents(t)
	defer stop()
	must(t, writeSysctl("/proc/sys/net/ipv4/ip_forward", "1"))
	events.await(t, unix.NFT_MSG_DELSETELEM)
	reaches(t, "the outside, once the host is a router", w.outside, neighbour+":7000", outsideUp)
	serve(t, n.fd, n.Addr().String()+":7000")
	isDropped(t, "the outside to a sandbox, once the host is a router", w.outside, n.Addr().String()+":7000")
	must(t, m.Close())
	if on, err := forwards("up0"); err != nil || !on {
		t.Errorf("Close took forwarding away that somebody else had switched on: %v", err)
	}
}

func TestForwardingIsRestored(t *testing.T) {
	newWorld(t)
	m := newManager(t, nil)
	for _, name := range []string{"up0", "lan0"} {
		if on, err := forwards(name); err != nil || !on {
			t.Errorf("%s does not forward: %v", name, err)
		}
	}
	if on, err := forwards("all"); err != nil || on {
		t.Errorf("the global switch was touched: %v", err)
	}
	must(t, m.Close())
	for _, name := range []string{"up0", "lan0"} {
		if on, err := forwards(name); err != nil || on {
			t.Errorf("%s still forwards after Close: %v", name, err)
		}
	}
}

// An uplink that appears later works too.
func TestNewUplink(t *testing.T) {
	newWorld(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	events, stop := nftEvents(t)
	defer stop()
	later := join(t, "late0", "192.168.99.1/24", "l0", "192.168.99.2/24", 1300)
	serve(t, later, "192.168.99.2:7000")
	events.await(t, unix.NFT_MSG_NEWSETELEM)
	reaches(t, "a sandbox over a new uplink", n.fd, "192.168.99.2:7000", "192.168.99.1")
}

func TestTableIsPutBack(t *testing.T) {
	newWorld(t)
	host := hostFD(t)
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	serve(t, host, "0.0.0.0:7000")
	events, stop := nftEvents(t)
	defer stop()
	must(t, nft(t.Context(), "flush ruleset"))
	events.await(t, unix.NFT_MSG_NEWTABLE)
	events.await(t, unix.NFT_MSG_NEWGEN)
	isDropped(t, "a sandbox to the host", n.fd, hostUp+":7000")
	must(t, m.Close())
	if on, err := forwards("up0"); err != nil || on {
		t.Errorf("the table that was put back forgot what to restore: %v", err)
	}
}

func TestForeignFirewallIsNamed(t *testing.T) {
	newWorld(t)
	must(t, nft(t.Context(), `table inet strict {
		chain fw { type filter hook forward priority 0; policy drop; }
	}`))
	t.Cleanup(func() { must(t, nft(context.Background(), "delete table inet strict")) })
	m := newManager(t, nil)
	if w := m.Warnings(); len(w) == 0 || !bytes.Contains([]byte(w[len(w)-1]), []byte(`"strict"`)) {
		t.Errorf("Warnings = %q, want one about the table strict", w)
	}
}

func TestPassesDockersPolicy(t *testing.T) {
	w := newWorld(t)
	tool, ok := findTool("iptables-nft")
	if !ok {
		t.Skip("needs the iptables command: install iptables")
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(tool, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v: %s", tool, args, err, out)
		}
		return string(out)
	}
	run("-P", "FORWARD", "DROP")
	run("-N", "DOCKER-USER")
	run("-A", "DOCKER-USER", "-j", "RETURN")
	run("-A", "FORWARD", "-j", "DOCKER-USER")
	before := run("-S")
	m := newManager(t, nil)
	n := acquire(t, m, "i1")
	serve(t, w.outside, "203.0.113.10:7000")
	reaches(t, "a sandbox past Docker's policy", n.fd, "203.0.113.10:7000", hostUp)
	must(t, m.Close())
	if after := run("-S"); after != before {
		t.Errorf("Close left other rules behind:\n%s\nwant\n%s", after, before)
	}
	run("-F")
	run("-X")
	run("-P", "FORWARD", "ACCEPT")
}
