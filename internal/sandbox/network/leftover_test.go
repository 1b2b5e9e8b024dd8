package network

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// eventsOf is what the kernel tells about nft, for tests that wait for a change.
type eventsOf chan uint16

func nftEvents(t *testing.T) (eventsOf, func()) {
	t.Helper()
	f, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	must(t, err)
	events := make(eventsOf, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen(f, func(kind uint16, _ []byte) { events <- kind & 0xff })
	}()
	return events, func() { f.Close(); <-done }
}

func (e eventsOf) await(t *testing.T, kind uint16) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case k := <-e:
			if k == kind {
				return
			}
		case <-deadline:
			t.Fatalf("nft message %d did not come", kind)
		}
	}
}

// traces is everything that could be left on the host.
func traces(t *testing.T) []string {
	t.Helper()
	var all []string
	links, err := again(netlink.LinkList)
	must(t, err)
	for _, l := range links {
		all = append(all, fmt.Sprintf("link %s", l.Attrs().Name))
	}
	routes, err := again(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	must(t, err)
	for _, r := range routes {
		all = append(all, "route "+r.String())
	}
	rules, err := exec.Command(nftPath(), "list", "ruleset").Output()
	must(t, err)
	for line := range strings.Lines(string(rules)) {
		all = append(all, "nft "+strings.TrimSpace(line))
	}
	for _, name := range []string{"all", "default", "up0", "lan0"} {
		on, err := forwards(name)
		must(t, err)
		all = append(all, fmt.Sprintf("forwarding %s %v", name, on))
	}
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(to, "/proc/") {
			all = append(all, "descriptor of "+to)
		}
	}
	slices.Sort(all)
	return all
}

func TestNothingIsLeft(t *testing.T) {
	newWorld(t)
	before := traces(t)
	m := newManager(t, func(c *Config) { c.Ready = 2 })
	const cycles, workers = 200, 4
	var work sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for range workers {
		work.Go(func() {
			for range cycles / workers {
				began := time.Now()
				n, err := m.Acquire(t.Context(), "i1")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
				for range 2 {
					if err := n.Release(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	work.Wait()
	held, err := m.Acquire(t.Context(), "held")
	must(t, err)
	for range 2 {
		must(t, m.Close())
	}
	must(t, held.Release()) // late, but harmless
	if after := traces(t); !slices.Equal(before, after) {
		t.Errorf("%d cycles left other things on the host:\n%s\nbefore:\n%s", cycles, strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if _, err := m.Acquire(t.Context(), "late"); err == nil {
		t.Error("Acquire after Close worked")
	}
	slices.Sort(took)
	t.Logf("acquire with %d workers: median %v, 99%% %v", workers, took[len(took)/2], took[len(took)*99/100])
}

// victim is a process that holds sandboxes until it is killed.
func victim() {
	m, err := New(Config{Name: testName, CIDR: netip.MustParsePrefix(testCIDR)})
	if err == nil {
		for i := range 3 {
			var n *Net
			if n, err = m.Acquire(context.Background(), fmt.Sprint("i", i)); err != nil {
				break
			}
			fmt.Println(n.Path())
		}
	}
	fmt.Println(err)
	select {}
}

func TestRecoverAfterKill(t *testing.T) {
	newWorld(t)
	before := traces(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	var paths []string
	for lines.Scan() && strings.HasPrefix(lines.Text(), "/proc/") {
		paths = append(paths, lines.Text())
	}
	if len(paths) != 3 || lines.Text() != "<nil>" {
		t.Fatalf("the victim said %q %q", paths, lines.Text())
	}
	// One of the sandboxes has a process, which outlives the kill.
	ns, err := unix.Open(paths[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	inmate := exec.Command("/bin/sleep", "1000")
	in(t, ns, func() { must(t, inmate.Start()) })
	t.Cleanup(func() { _ = inmate.Process.Kill(); _ = inmate.Wait() })
	must(t, unix.Close(ns))

	gone := linksGone(t, 2)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	gone() // by the kernel alone

	m, err := New(Config{Name: testName, CIDR: netip.MustParsePrefix(testCIDR)})
	must(t, err)
	defer m.Close()
	if n, err := m.Recover(t.Context()); err != nil || n != 1 {
		t.Errorf("Recover = %d, %v; want the one that was still in use", n, err)
	}
	if n, err := m.Recover(t.Context()); err != nil || n != 0 {
		t.Errorf("Recover again = %d, %v", n, err)
	}
	must(t, m.Close())
	must(t, inmate.Process.Kill()) // it ran all the time
	_ = inmate.Wait()
	if after := traces(t); !slices.Equal(before, after) {
		t.Errorf("after Recover and Close:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// linksGone returns a function that waits until so many interfaces have gone.
func linksGone(t *testing.T, count int) func() {
	t.Helper()
	updates, done := make(chan netlink.LinkUpdate, 1000), make(chan struct{})
	must(t, netlink.LinkSubscribe(updates, done))
	return func() {
		t.Helper()
		deadline := time.After(patience)
		prefix := namesOf(testName).Prefix
		names := map[string]bool{}
		for len(names) < count {
			select {
			case u := <-updates:
				if u.Header.Type == unix.RTM_DELLINK && strings.HasPrefix(u.Attrs().Name, prefix) {
					names[u.Attrs().Name] = true
				}
			case <-deadline:
				t.Fatalf("only %d of %d interfaces have gone with their process", len(names), count)
			}
		}
		close(done)
		for range updates { // until the listener has ended
		}
	}
}

// However making a namespace ends, no thread stays in it.
func TestThreadsComeBack(t *testing.T) {
	needRoot(t)
	host := hostFD(t)
	want, err := os.Readlink("/proc/thread-self/ns/net")
	must(t, err)
	var work sync.WaitGroup
	for i := range 40 {
		work.Go(func() {
			fd, err := newNamespace(host, func() error {
				if i%2 == 0 {
					return os.ErrInvalid
				}
				return nil
			})
			if (err != nil) != (i%2 == 0) {
				t.Errorf("newNamespace: %v", err)
			}
			if err == nil {
				unix.Close(fd)
			}
		})
	}
	work.Wait()
	for range 100 {
		work.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if got, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || got != want {
				t.Errorf("a thread is in %s, %v; want %s", got, err, want)
			}
		})
	}
	work.Wait()
}

func TestAddressesRunOut(t *testing.T) {
	newWorld(t)
	m := newManager(t, func(c *Config) { c.CIDR = netip.MustParsePrefix("100.96.0.0/30") })
	a, b := acquire(t, m, "ia"), acquire(t, m, "ib")
	if _, err := m.Acquire(t.Context(), "ic"); err == nil || !strings.Contains(err.Error(), "larger range") {
		t.Errorf("a third of two: %v", err)
	}
	must(t, a.Release())
	if c := acquire(t, m, "ic"); c.Addr() != a.Addr() || c.Addr() == b.Addr() {
		t.Errorf("got %s after %s was released", c.Addr(), a.Addr())
	}
}

// Who needs an address waits for those that are on their way back.
func TestDiscardedAddressesComeBack(t *testing.T) {
	newWorld(t)
	before := traces(t)
	m := newManager(t, func(c *Config) { c.CIDR, c.Ready = netip.MustParsePrefix("100.96.0.0/30"), 2 })
	for range 10 {
		a, b := acquire(t, m, "ia"), acquire(t, m, "ib")
		a.Discard()
		b.Discard()
		b.Discard() // harmless
	}
	last := acquire(t, m, "ic")
	last.Discard()
	must(t, m.Close())
	if after := traces(t); !slices.Equal(before, after) {
		t.Errorf("left on the host:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

func TestRanges(t *testing.T) {
	newWorld(t)
	for _, cidr := range []string{"192.0.2.0/25", "172.16.0.0/12"} {
		m, err := New(Config{Name: testName, CIDR: netip.MustParsePrefix(cidr)})
		must(t, err)
		if _, err := m.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "choose another range") {
			t.Errorf("%s, which the host uses: %v", cidr, err)
		}
		must(t, m.Close())
	}
	// Hearths share the default range; when it is used up, that is said.
	seen := map[netip.Prefix]bool{}
	for i := range 16 {
		m := newManager(t, func(c *Config) { c.Name, c.CIDR = fmt.Sprint("hearth ", i), netip.Prefix{} })
		if seen[m.block] {
			t.Errorf("%s was given twice", m.block)
		}
		seen[m.block] = true
	}
	m, err := New(Config{Name: "one more"})
	must(t, err)
	if _, err := m.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "every block") {
		t.Errorf("a seventeenth of sixteen blocks: %v", err)
	}
	must(t, m.Close())
}

func BenchmarkAcquire(b *testing.B) {
	needRoot(b)
	m, err := New(Config{Name: "bench"})
	must(b, err)
	defer m.Close()
	_, err = m.Recover(context.Background())
	must(b, err)
	var all []*Net
	for b.Loop() {
		n, err := m.Acquire(context.Background(), "i1")
		must(b, err)
		all = append(all, n)
		if len(all) == 100 {
			b.StopTimer()
			all = releaseAll(b, all)
			b.StartTimer()
		}
	}
	b.StopTimer()
	releaseAll(b, all)
}

func releaseAll(b *testing.B, all []*Net) []*Net {
	var work sync.WaitGroup
	for _, n := range all {
		work.Go(func() {
			if err := n.Release(); err != nil {
				b.Error(err)
			}
		})
	}
	work.Wait()
	return nil
}
