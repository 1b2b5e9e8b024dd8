// Package network gives every sandbox a network namespace of its own, from which it
// can open connections outwards and into which nobody can.
//
// A sandbox is joined to the host by a veth pair with two addresses of its own (a
// /31). What it may do is said once, in rules.nft, for all interfaces whose name
// starts with this Hearth's prefix: out to other machines, with the host's address
// in place of its own; never to any address of the host, to another sandbox, to
// link-local (cloud metadata), multicast or broadcast addresses; never with a
// source address that is not its own; IPv6 not at all. Only replies come back in.
//
// # What changes on the host
//
//   - One nft table, hearth_xxxxxx, and one "unreachable" route for the block that
//     addresses come from. The route keeps packets to released addresses at home,
//     and is the claim by which several Hearths share 100.96.0.0/16.
//   - Forwarding, where it is off, is switched on for the interfaces that routes go
//     out of, and for the sandboxes' own: not by net.ipv4.ip_forward, which resets
//     other settings and makes a router of the host. Packets that come in there and
//     are not replies to a sandbox are dropped as before. When somebody else
//     switches ip_forward on later (Docker does), the host is a router by its
//     owner's will, and that rule goes.
//
// Close undoes all of it. The table itself remembers what to restore, so after a
// kill of the process Recover can do the same, and after a reboot there is nothing
// to remember.
//
// A namespace is held by an open descriptor, not by a bind mount: when the process
// is killed, the kernel drops the namespaces that nothing runs in, with their
// interfaces; Recover removes the others.
//
// # What it cannot do
//
// A drop in somebody else's forward chain is final. Where Docker or an iptables
// firewall drops by policy, the sandboxes' interfaces are accepted in its own
// chain; other firewalls (firewalld, ufw with its own chains) have to be told by
// hand, and Warnings says so. If somebody flushes all nft rules, the table is put
// back at once, but for some milliseconds the sandboxes are not held back.
package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultRange is shared address space (RFC 6598), rarely in use; a Hearth takes one
// /20 of it, enough for 2,048 sandboxes.
const (
	defaultRange = "100.96.0.0/16"
	blockBits    = 20
)

var errClosed = errors.New("network: closed")

// Config says how sandboxes are connected. Only Name is needed.
type Config struct {
	// Name tells the Hearths on one machine apart, and finds a Hearth's leftovers
	// again. It goes, hashed, into the names of the nft table and the interfaces.
	Name string
	// CIDR is where addresses come from, two for each sandbox; at least a /30. Zero:
	// a free /20 of 100.96.0.0/16.
	CIDR netip.Prefix
	// MTU of the sandboxes' interface. Zero: the smallest of the host's uplinks.
	MTU int
	// Resolvers are the nameservers for sandboxes. Nil: those of the host that a
	// sandbox can reach.
	Resolvers []netip.Addr
	// Deny lists further destinations that sandboxes must not reach (IPv4).
	Deny []netip.Prefix
	// Ready is how many namespaces are kept ready in advance, as long as most addresses
	// are free.
	Ready int
	// Logger gets what a person should know; nil discards it.
	Logger *slog.Logger
}

func (c *Config) validate() error {
	if c.Name == "" {
		return errors.New("network: Config.Name is empty")
	}
	if c.CIDR.IsValid() && (!c.CIDR.Addr().Is4() || c.CIDR.Bits() > 30 || c.CIDR.Bits() < 8) {
		return fmt.Errorf("network: CIDR %s: give an IPv4 range between /8 and /30", c.CIDR)
	}
	for _, p := range c.Deny {
		if !p.IsValid() {
			return errors.New("network: Config.Deny has an invalid prefix")
		}
	}
	if c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535) {
		return fmt.Errorf("network: MTU %d is not between 68 and 65535", c.MTU)
	}
	return nil
}

// Manager makes the namespaces. Its methods may be called from many goroutines.
type Manager struct {
	cfg   Config
	names names
	log   *slog.Logger
	host  *netlink.Handle // in the host's namespace
	hostN int             // descriptor of the host's namespace

	reaper reaper
	// connections bounds those of one sandbox; a field for tests.
	connections int

	setup sync.Mutex // held while the host is changed

	mu        sync.Mutex
	up        bool // the host has been prepared
	closed    bool
	block     netip.Prefix
	mtu       int
	slots     slots
	resolvers []netip.Addr
	opened    []string // interfaces that we let forward
	routing   bool     // ip_forward was on when last looked at
	warnings  []string
	ready     []*Net
	leaving   int // namespaces that are being discarded
	left      *sync.Cond

	stop   context.CancelFunc
	work   sync.WaitGroup // goroutines of this Manager
	making sync.WaitGroup // namespaces that are being made; none is begun once closed
	refill chan struct{}
	look   chan struct{} // something on the host's network has changed
	lost   chan struct{} // our table has been removed by somebody
}

// New checks the configuration and opens what it needs. It changes nothing on the
// host: the first of Recover and Acquire does. The namespace that the caller is in now
// counts as the host's.
func New(cfg Config) (*Manager, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.CIDR = cfg.CIDR.Masked()
	cfg.Deny = slices.DeleteFunc(slices.Clone(cfg.Deny), func(p netip.Prefix) bool { return !p.Addr().Is4() })
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("network: open netlink: %w", err)
	}
	// Not /proc/self: that is the first thread, which need not be in the namespace of the others.
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		host.Close()
		return nil, fmt.Errorf("network: open the host's namespace: %w", err)
	}
	m := &Manager{
		cfg:    cfg,
		names:  namesOf(cfg.Name),
		log:    cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		host:   host,
		hostN:  ns,
		reaper: reaper{group: namesOf(cfg.Name).Group},

		connections: maxConnections,
		refill:      make(chan struct{}, 1),
		look:        make(chan struct{}, 1),
		lost:        make(chan struct{}, 1),
	}
	m.left = sync.NewCond(&m.mu)
	return m, nil
}

// Recover removes what an earlier process with the same Name left behind, tells how
// many sandboxes' interfaces there were, and prepares the host. Call it before
// Acquire and while no other process uses the Name; later it does nothing.
func (m *Manager) Recover(ctx context.Context) (int, error) { return m.prepare(ctx) }

// prepare cleans up and sets the host up, once.
func (m *Manager) prepare(ctx context.Context) (leftovers int, err error) {
	m.setup.Lock()
	defer m.setup.Unlock()
	m.mu.Lock()
	up, closed := m.up, m.closed
	m.mu.Unlock()
	switch {
	case closed:
		return 0, errClosed
	case up:
		return 0, nil
	}
	n, err := m.clean(ctx)
	if err != nil {
		return n, fmt.Errorf("network: remove leftovers: %w", err)
	}
	if err := m.install(ctx); err != nil {
		_, undo := m.clean(context.WithoutCancel(ctx))
		return n, errors.Join(fmt.Errorf("network: prepare the host: %w", err), undo)
	}
	return n, nil
}

// install sets the host up, starts this Manager's goroutines and marks it as up.
func (m *Manager) install(ctx context.Context) error {
	block, err := m.claimBlock()
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.block, m.slots = block, newSlots(block)
	m.mu.Unlock()
	if err := m.loadRules(ctx); err != nil {
		return err
	}
	if err := m.refresh(ctx); err != nil {
		return err
	}
	if err := m.passFirewalls(ctx); err != nil {
		return err
	}
	if err := m.startWork(); err != nil {
		return err
	}
	m.mu.Lock()
	m.up = true
	m.mu.Unlock()
	return nil
}

func (m *Manager) loadRules(ctx context.Context) error {
	m.mu.Lock()
	r := rules{names: m.names, Block: m.block, Deny: m.cfg.Deny, Opened: slices.Clone(m.opened), MaxConnections: m.connections}
	m.mu.Unlock()
	text, err := r.text()
	if err != nil {
		return err
	}
	return nft(ctx, text)
}

// clean removes every trace of this Name from the host and restores what was
// changed. It finds the traces on the host itself.
func (m *Manager) clean(ctx context.Context) (interfaces int, err error) {
	m.mu.Lock()
	m.opened, m.routing = nil, false
	m.mu.Unlock()
	n, err := m.removeLinks()
	errs := []error{err, m.removeFirewallRules(ctx)}
	in, ok, err := readTable(ctx, m.names)
	errs = append(errs, err)
	if ok {
		for _, name := range in.opened {
			errs = append(errs, setForwarding(name, false))
		}
		if in.block.IsValid() {
			errs = append(errs, m.dropBlock(in.block))
		}
		// Last, because it is the memory of the rest.
		if errors.Join(errs...) == nil {
			err := nft(ctx, "delete table inet "+m.names.Table)
			errs = append(errs, err)
		}
	}
	return n, errors.Join(errs...)
}

// Warnings tells, in sentences, what on this host stands in the sandboxes' way or
// what could not be found out.
func (m *Manager) Warnings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.warnings)
}

func (m *Manager) warn(sentence string) {
	m.mu.Lock()
	known := slices.Contains(m.warnings, sentence)
	if !known {
		m.warnings = append(m.warnings, sentence)
	}
	m.mu.Unlock()
	if !known {
		m.log.Warn(sentence)
	}
}

// Close removes everything made on the host, including namespaces that were not
// released, and restores what was changed. It blocks until that is done. Closing
// again tries what failed before; otherwise it is harmless.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.setup.Lock() // a preparation that has begun ends first; no other begins
	stop := m.stop
	m.setup.Unlock()
	if stop != nil {
		stop()
		m.work.Wait()
	}
	m.making.Wait()
	m.setup.Lock()
	defer m.setup.Unlock()
	m.mu.Lock()
	for m.leaving > 0 {
		m.left.Wait()
	}
	up, ready := m.up, m.ready
	m.ready = nil
	m.mu.Unlock()
	var errs []error
	for _, n := range ready {
		errs = append(errs, n.Release())
	}
	if up {
		_, err := m.clean(context.Background())
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("network: clean up: %w", err)
	}
	m.mu.Lock()
	m.up = false
	m.mu.Unlock()
	m.closeHost()
	return nil
}

// closeHost gives up our hold on the host's namespace. The caller holds setup.
func (m *Manager) closeHost() {
	if m.hostN >= 0 {
		m.host.Close()
		_ = unix.Close(m.hostN)
		m.hostN = -1
	}
}
