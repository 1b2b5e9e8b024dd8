package network

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The tests never touch the machine's own network: run as root, the test binary
// starts itself again in a fresh network namespace, which plays the host.
const (
	insideEnv = "HEARTH_NETWORK_TEST" // set in that second process
	victimEnv = "HEARTH_NETWORK_VICTIM"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(victimEnv) != "":
		victim()
	case os.Getuid() != 0 || os.Getenv(insideEnv) != "":
		goleak.VerifyTestMain(m)
	default:
		runtime.LockOSThread() // Pdeathsig speaks of the thread
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), insideEnv+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Run(); err != nil {
			if cmd.ProcessState == nil {
				fmt.Fprintln(os.Stderr, "cannot make a network namespace to test in:", err)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		t.Skip("making network namespaces needs root: run the tests as root")
	}
	if err := Supported(); err != nil {
		t.Skip(err)
	}
}

// Addresses of the test's world. The host has two interfaces beside the sandboxes':
// up0 leads to the outside, lan0 to a neighbour that only the host knows.
const (
	hostUp     = "192.0.2.1"
	outsideUp  = "192.0.2.2"
	hostLAN    = "172.16.6.1"
	neighbour  = "172.16.6.2"
	metadata   = "169.254.169.254"
	upMTU      = 1400
	patience   = time.Minute            // for what must happen
	impatience = 250 * time.Millisecond // for what must not
	testCIDR   = "100.96.0.0/24"
	testName   = "test"
)

// publicAddrs are what the outside answers at: TEST-NETs and private ranges.
func publicAddrs() []string {
	return []string{"203.0.113.10", "198.51.100.20", "10.11.12.13", "192.168.77.7"}
}

// world is a host (this process), an outside and a neighbour.
type world struct{ outside, neighbour int }

func newWorld(t *testing.T) world {
	t.Helper()
	needRoot(t)
	must(t, setForwarding("all", false))
	must(t, disableIPv6("all", "default")) // its late routes would pass for leftovers
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	w := world{
		outside:   join(t, "up0", hostUp+"/24", "out0", outsideUp+"/24", upMTU),
		neighbour: join(t, "lan0", hostLAN+"/24", "n0", neighbour+"/24", 1500),
	}
	must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(outsideUp)}))
	in(t, w.outside, func() {
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		for _, a := range append(publicAddrs(), metadata) {
			addr, err := netlink.ParseAddr(a + "/32")
			must(t, err)
			must(t, netlink.AddrAdd(lo, addr))
		}
		// The outside knows the way in: only rules can stop it.
		for _, dst := range []string{"100.96.0.0/16", "172.16.6.0/24"} {
			_, to, err := net.ParseCIDR(dst)
			must(t, err)
			must(t, netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(hostUp)}))
		}
	})
	in(t, w.neighbour, func() {
		must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(hostLAN)}))
	})
	return w
}

// join makes a namespace that is connected with the host, until the test ends.
func join(t *testing.T, here, hereAddr, there, thereAddr string, mtu int) (ns int) {
	t.Helper()
	hostNS, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(hostNS)
	ns, err = newNamespace(hostNS, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	must(t, err)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: here, MTU: mtu}, PeerName: there, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(ns)}
	must(t, netlink.LinkAdd(pair))
	t.Cleanup(func() {
		must(t, netlink.LinkDel(pair))
		must(t, unix.Close(ns))
	})
	linkUp(t, here, hereAddr)
	in(t, ns, func() { linkUp(t, there, thereAddr) })
	return ns
}

func linkUp(t *testing.T, name, cidr string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	addr, err := netlink.ParseAddr(cidr)
	must(t, err)
	must(t, netlink.AddrAdd(link, addr))
	must(t, netlink.LinkSetUp(link))
}

// in runs f on a thread that is in the namespace. Sockets that f opens stay there.
func in(t testing.TB, ns int, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

// must may be called on any goroutine: it ends that goroutine, and in ends the test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newManager(t *testing.T, change func(*Config)) *Manager {
	t.Helper()
	cfg := Config{Name: testName, CIDR: netip.MustParsePrefix(testCIDR)}
	if change != nil {
		change(&cfg)
	}
	m, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	_, err = m.Recover(t.Context())
	must(t, err)
	return m
}

func acquire(t *testing.T, m *Manager, id string) *Net {
	t.Helper()
	n, err := m.Acquire(t.Context(), id)
	must(t, err)
	t.Cleanup(func() { must(t, n.Release()) })
	return n
}

// serve answers TCP connections with the address they come from, until the test ends.
func serve(t *testing.T, ns int, addr string) {
	t.Helper()
	var l net.Listener
	in(t, ns, func() {
		var err error
		l, err = net.Listen("tcp4", addr)
		must(t, err)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprintln(c, host)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// call connects from within ns and returns what serve says.
func call(t *testing.T, ns int, addr string, timeout time.Duration) (said string, err error) {
	t.Helper()
	in(t, ns, func() {
		var c net.Conn
		if c, err = net.DialTimeout("tcp4", addr, timeout); err != nil {
			return
		}
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(patience)))
		said, err = bufio.NewReader(c).ReadString('\n')
		said = strings.TrimSpace(said)
	})
	return said, err
}

func reaches(t *testing.T, what string, ns int, addr, wantFrom string) {
	t.Helper()
	from, err := call(t, ns, addr, patience)
	if err != nil || from != wantFrom {
		t.Errorf("%s: calling %s: came from %q, %v; want it to come from %s", what, addr, from, err, wantFrom)
	}
}

// isDropped wants silence: an answer, even a refusal, would come from somebody.
func isDropped(t *testing.T, what string, ns int, addr string) {
	t.Helper()
	from, err := call(t, ns, addr, impatience)
	var ne net.Error
	if err == nil || !asTimeout(err, &ne) {
		t.Errorf("%s: calling %s: %q, %v; want no answer at all", what, addr, from, err)
	}
}

func asTimeout(err error, ne *net.Error) bool {
	if e, ok := err.(net.Error); ok {
		*ne = e
		return e.Timeout()
	}
	return false
}

// hear collects datagrams sent to addr in ns.
func hear(t *testing.T, ns int, addr string) *net.UDPConn {
	t.Helper()
	var c net.PacketConn
	in(t, ns, func() {
		lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			})
		}}
		var err error
		c, err = lc.ListenPacket(context.Background(), "udp4", addr)
		must(t, err)
	})
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// next is the next datagram and its sender.
func next(t *testing.T, c *net.UDPConn) (text, from string) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 1500)
	n, addr, err := c.ReadFromUDPAddrPort(buf)
	must(t, err)
	return string(buf[:n]), addr.Addr().Unmap().String()
}

func sendTo(t *testing.T, c *net.UDPConn, addr, text string) error {
	t.Helper()
	_, err := c.WriteToUDPAddrPort([]byte(text), netip.MustParseAddrPort(addr))
	return err
}

// hostFD is the process's own namespace.
func hostFD(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
