package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sandbox/cgroup"
	"hearth/internal/sigv4"
)

// Isolation tiers that a Config may ask for.
const (
	IsolationAuto    = "auto"    // runc where it works, process otherwise
	IsolationRunc    = "runc"    // containers
	IsolationProcess = "process" // plain processes, on loopback only
)

// Config of a platform.
type Config struct {
	Listen       string
	AllowedHosts []string    // names by which the platform may be called, beside this machine's own
	AccessKeys   []sigv4.Key // of which the API wants signatures; none = it wants no signatures
	// TLSCert and TLSKey are files of PEM: the certificate, with those that vouch for it,
	// and its key. Both or neither; "" = no TLS.
	TLSCert, TLSKey string
	DataDir         string
	Isolation       string
	MemoryMB        int // that instances may reserve; 0 = most of the machine
	CPUQuota        bool
	Prewarm         int // sandboxes that wait per kind of function in use; 0 = none
	QueueLength     int
	QueueTimeout    time.Duration
	FreezeAfter     time.Duration // how long instances are idle before they are frozen; 0 = never
	Region          string
	Account         string
	SandboxCIDR     string
	Node, Python    string // paths of interpreters; "" = look for them
	NATSURL         string // "" = embedded
	NATSListen      string // where the embedded one takes people's messages; "" = nowhere
	Version         string // of Hearth, for people
	DrainTimeout    time.Duration
	Log             *slog.Logger
}

func (c Config) complete() (Config, error) {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	c.DataDir = dir
	if c.Region == "" {
		c.Region = hearth.DefaultRegion
	}
	if c.Account == "" {
		c.Account = hearth.DefaultAccount
	}
	if c.Isolation == "" {
		c.Isolation = IsolationAuto
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 20 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MemoryMB == 0 {
		c.MemoryMB = mostOfTheMachine()
	}
	return c, nil
}

// mostOfTheMachine leaves the host a tenth of its memory, at least 512 MB. Where the
// machine does not tell, it is a small one.
func mostOfTheMachine() int {
	total := machineMB()
	if total == 0 {
		return 2048
	}
	return max(total-max(total/10, 512), hearth.MinMemoryMB)
}

// machineMB is the memory in MiB that this machine, or the control group that we run
// in, has; 0 if neither tells.
func machineMB() int {
	host, err := cgroup.Detect()
	if err != nil {
		return 0
	}
	bytes, err := host.MemoryTotal()
	if err != nil {
		return 0
	}
	return int(bytes >> 20)
}

// name tells the Hearths on one machine apart, by their data directories.
func (c *Config) name() string {
	sum := sha256.Sum256([]byte(c.DataDir))
	return hex.EncodeToString(sum[:4])
}

func (c *Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.DataDir}, parts...)...)
}

// loopback tells whether an address can be reached from this machine only.
func loopback(addr net.Addr) bool {
	a, err := netip.ParseAddrPort(addr.String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}
