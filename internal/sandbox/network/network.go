// Package network gives every sandbox a network namespace of its own, from which
// it can open connections outwards and into which nobody can.
package network

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

var errNotYet = errors.New("network: not built yet")

// Config says how sandboxes are connected. Only Name is needed.
type Config struct {
	// Name tells the Hearths on one machine apart. It goes, hashed, into the names
	// of the nft table and of the interfaces.
	Name string
	// CIDR is where addresses come from, two for each sandbox (/31 pairs). Zero:
	// a free /20 of 100.96.0.0/16.
	CIDR netip.Prefix
	// MTU of the sandboxes' interface. Zero: the smallest of the host's uplinks.
	MTU int
	// Resolvers are the nameservers for sandboxes. Nil: those of the host that a
	// sandbox can reach.
	Resolvers []netip.Addr
	// Deny lists further destinations that sandboxes must not reach.
	Deny []netip.Prefix
	// Ready is how many namespaces are kept ready in advance.
	Ready int
	// Logger gets what a person should know; nil discards it.
	Logger *slog.Logger
}

// Manager makes the namespaces. Its methods may be called from many goroutines.
type Manager struct{ cfg Config }

// Supported tells what this process lacks to make namespaces; nil if nothing.
func Supported() error { return errNotYet }

// New checks the configuration. It changes nothing on the host: the first of
// Recover and Acquire does.
func New(cfg Config) (*Manager, error) { return &Manager{cfg: cfg}, nil }

// Recover removes what an earlier process with the same Name left behind and tells
// how many sandboxes' interfaces there were. Call it before Acquire.
func (m *Manager) Recover(ctx context.Context) (int, error) { return 0, errNotYet }

// Acquire returns a connected namespace for the sandbox id. The caller owns it and
// must Release it.
func (m *Manager) Acquire(ctx context.Context, id string) (*Net, error) { return nil, errNotYet }

// Warnings tells, in sentences, what on this host stands in the sandboxes' way.
func (m *Manager) Warnings() []string { return nil }

// Close removes everything made on the host and restores what was changed. All
// namespaces must have been released. Closing twice is harmless.
func (m *Manager) Close() error { return nil }

// Net is one sandbox's network namespace.
type Net struct {
	path      string
	addr      netip.Addr
	resolvers []netip.Addr
}

// Path is a file that an OCI runtime (or setns) can join, /proc/<pid>/fd/<n>. It
// is valid until Release and works only while this process lives.
func (n *Net) Path() string { return n.path }

// Addr is the sandbox's own address.
func (n *Net) Addr() netip.Addr { return n.addr }

// Resolvers are the nameservers to write into the sandbox's /etc/resolv.conf;
// perhaps none.
func (n *Net) Resolvers() []netip.Addr { return n.resolvers }

// Release takes the namespace off the network and gives up our hold on it; it
// blocks until its interface is gone. Releasing twice is harmless.
func (n *Net) Release() error { return errNotYet }
