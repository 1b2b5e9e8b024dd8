package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Net is one sandbox's network namespace.
type Net struct {
	m         *Manager
	slot      int
	link      netlink.Link // the host's end
	addr      netip.Addr
	resolvers []netip.Addr

	mu sync.Mutex
	fd int // -1 once released
}

// Acquire returns a connected namespace for the sandbox id. The caller owns it and
// must Release it. It blocks for some milliseconds, longer while many others come
// and go (the kernel has one lock for all network changes), and not at all when one
// is ready.
func (m *Manager) Acquire(ctx context.Context, id string) (*Net, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := m.prepare(ctx); err != nil {
		return nil, err
	}
	n := m.takeReady()
	if n == nil {
		var err error
		if n, err = m.make(); err != nil {
			return nil, fmt.Errorf("network of sandbox %s: %w", id, err)
		}
	}
	m.mu.Lock()
	n.resolvers = m.resolvers
	m.mu.Unlock()
	m.log.Debug("network acquired", "sandbox", id, "interface", n.Interface(), "address", n.addr)
	return n, nil
}

// make makes a namespace from nothing.
func (m *Manager) make() (*Net, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	m.making.Add(1)
	defer m.making.Done()
	slot, err := m.slots.take()
	for err != nil && m.leaving > 0 {
		m.left.Wait()
		slot, err = m.slots.take()
	}
	w := wiring{hostEnd: m.linkName(slot), mtu: m.mtu}
	w.host, w.sandbox = m.slots.pair(slot)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n := &Net{m: m, slot: slot, addr: w.sandbox}
	fd, inside, err := openNamespace(m.hostN)
	if err == nil {
		n.fd = fd
		n.link, err = w.connect(m.host, inside, m.hostN)
		inside.Close()
		if err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		// The pair may or may not have been made.
		link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: w.hostEnd}}
		if del := m.host.LinkDel(link); del != nil && !isNoLink(del) {
			return nil, errors.Join(err, del) // and the slot stays taken
		}
		m.giveSlot(slot)
		return nil, err
	}
	return n, nil
}

func (m *Manager) giveSlot(slot int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots.give(slot)
}

// Path is a file that an OCI runtime (or setns) can join, /proc/<pid>/fd/<n>. It is
// valid until Release and while this process lives.
func (n *Net) Path() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.fd)
}

// Interface is the host's end of the connection, for people who look for it.
func (n *Net) Interface() string { return n.link.Attrs().Name }

// Addr is the sandbox's own address.
func (n *Net) Addr() netip.Addr { return n.addr }

// Resolvers are the nameservers to write into the sandbox's /etc/resolv.conf;
// perhaps none.
func (n *Net) Resolvers() []netip.Addr { return slices.Clone(n.resolvers) }

// Release takes the namespace off the network and gives up our hold on it; it blocks
// until its interface is gone. Processes still inside keep an empty namespace.
// Releasing again tries what failed before; otherwise it is harmless.
func (n *Net) Release() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	if err := n.m.reaper.remove(n.link); err != nil {
		return err
	}
	err := unix.Close(n.fd)
	n.fd = -1
	n.m.giveSlot(n.slot)
	return err
}

// Discard is Release without the wait, some 15 ms that nobody needs once the
// sandbox's processes are gone. Close waits for it, and tries again what failed; until
// then such an address stays taken.
func (n *Net) Discard() {
	m := n.m
	m.mu.Lock()
	m.leaving++
	m.mu.Unlock()
	go func() {
		if err := n.Release(); err != nil {
			m.log.Warn("a sandbox's network was not removed", "interface", n.Interface(), "error", err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.leaving--
		m.left.Broadcast()
	}()
}

// removeLinks removes every interface with our prefix.
func (m *Manager) removeLinks() (int, error) {
	links, err := again(m.host.LinkList)
	if err != nil {
		return 0, fmt.Errorf("list interfaces: %w", err)
	}
	n := 0
	var errs []error
	for _, link := range links {
		if !m.isOurs(link.Attrs().Name) {
			continue
		}
		if err := m.host.LinkDel(link); err != nil && !isNoLink(err) {
			errs = append(errs, fmt.Errorf("remove interface %s: %w", link.Attrs().Name, err))
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// takeReady takes a namespace from the pool, oldest first, or nil.
func (m *Manager) takeReady() *Net {
	m.mu.Lock()
	defer m.mu.Unlock()
	poke(m.refill)
	if len(m.ready) == 0 {
		return nil
	}
	n := m.ready[0]
	m.ready = m.ready[1:]
	return n
}

// fill keeps the pool full. It ends with ctx.
func (m *Manager) fill(ctx context.Context) {
	for {
		for m.wantsReady() && ctx.Err() == nil {
			n, err := m.make()
			if err != nil {
				m.log.Warn("no network could be made in advance", "error", err)
				break // until the next one is taken
			}
			m.mu.Lock()
			if m.closed {
				m.mu.Unlock()
				_ = n.Release()
				return
			}
			m.ready = append(m.ready, n)
			m.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-m.refill:
		}
	}
}

func (m *Manager) wantsReady() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.closed && len(m.ready) < m.cfg.Ready && !m.slots.scarce()
}

// poke wakes the reader of a channel with room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
