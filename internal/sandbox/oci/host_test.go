package oci

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const inNamespaces = "HEARTH_OCI_TEST_IN_NAMESPACES"

// TestMain runs the tests in network and mount namespaces of their own: a little
// host of which everything can be counted, and from which nothing gets out.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 || os.Getenv(inNamespaces) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespaces+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL, // this thread only waits
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "namespaces for the tests:", err)
		os.Exit(1)
	}
}

// world is what the little host is connected to.
type world struct {
	outside   []string // must be reached
	forbidden []string // must not
}

// Addresses of documentation networks (RFC 5737), and the metadata address of clouds.
const (
	hostAddr    = "198.51.100.1"
	outsideAddr = "198.51.100.2"
	farAddr     = "203.0.113.7"
	linkLocal   = "169.254.169.254"
)

// connect makes the host's uplink and what is behind it, in one more namespace.
func connect(t *testing.T) world {
	t.Helper()
	if os.Getenv(inNamespaces) == "" {
		t.Skip("needs root")
	}
	if _, err := netlink.LinkByName("uplink"); err == nil {
		t.Fatal("connected twice")
	}
	up(t, "lo")
	ns := newOutside(t)
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "uplink"},
		PeerName:      "outside",
		PeerNamespace: netlink.NsFd(ns.fd),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName("uplink"); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	address(t, "uplink", hostAddr+"/24")
	up(t, "uplink")
	route := &netlink.Route{Gw: net.ParseIP(outsideAddr)}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	var w world
	ns.do(func() {
		up(t, "lo")
		address(t, "outside", outsideAddr+"/24")
		address(t, "lo", farAddr+"/32")
		address(t, "lo", linkLocal+"/32")
		up(t, "outside")
		w.outside = []string{greeter(t, outsideAddr+":0"), greeter(t, farAddr+":0")}
		w.forbidden = []string{greeter(t, linkLocal+":0")}
	})
	w.forbidden = append(w.forbidden, greeter(t, hostAddr+":0"))
	return w
}

func up(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func address(t *testing.T, name, cidr string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(cidr)
	if err == nil {
		err = netlink.AddrAdd(l, a)
	}
	if err != nil {
		t.Fatalf("%s on %s: %v", cidr, name, err)
	}
}

// greeter says hello to everybody who connects, and tells its address.
func greeter(t *testing.T, at string) string {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "hello")
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// outsideNS is a network namespace with a thread in it.
type outsideNS struct {
	fd   int
	work chan func()
	done chan struct{}
}

func newOutside(t *testing.T) *outsideNS {
	t.Helper()
	ns := &outsideNS{work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(ns.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for f := range ns.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(ns.work)
		<-ns.done
		unix.Close(ns.fd)
	})
	return ns
}

// do runs f on the thread in the namespace.
func (ns *outsideNS) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}
