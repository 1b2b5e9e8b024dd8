package cli

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"hearth/internal/hearth"
	"hearth/internal/sigv4"
)

// Values of UpConfig.Isolation.
const (
	IsolationAuto    = "auto"    // runc where it works, process otherwise
	IsolationRunc    = "runc"    // an OCI container per instance
	IsolationProcess = "process" // plain processes: no isolation worth the name
)

// DefaultListen is where a platform listens and where the commands look for one.
const DefaultListen = "127.0.0.1:9000"

// How many sandboxes wait for each kind of function, and at most.
const (
	defaultPrewarm = 2
	mostPrewarm    = 100
)

// UpConfig is what hearth up was asked for. DefaultUpConfig fills it, flags change
// it, Validate checks it; the composition root turns it into a running platform.
type UpConfig struct {
	Listen string // host:port
	// AllowedHosts are names, beside those of this machine itself, by which callers may
	// call the platform: those of a reverse proxy.
	AllowedHosts []string
	// AccessKeys are those of which the API wants signatures; none = it wants none.
	AccessKeys []sigv4.Key
	// TLSCert and TLSKey name files of PEM: the platform's certificate, with those that
	// vouch for it, and its key. Both or neither.
	TLSCert, TLSKey string
	DataDir         string // metadata, code and logs; made if missing
	Isolation       string // IsolationAuto, IsolationRunc or IsolationProcess
	MemoryMB        int    // MiB that instances may reserve together; 0 = most of the machine
	CPUQuota        bool   // cap instances at their processor share even when others are idle
	// Prewarm is how many sandboxes wait, with interpreter and shim running, per kind of
	// function that is in use; 0 = none.
	Prewarm int
	// QueueLength is how many invocations of one function may wait for a slot, and
	// QueueTimeout how long. Past either the caller is refused (429 or 503).
	QueueLength  int
	QueueTimeout time.Duration
	// FreezeAfter is how long an instance is idle before it is frozen; 0 = never.
	FreezeAfter time.Duration
	Region      string // appears in ARNs and in the functions' environment
	Account     string // likewise: twelve digits
	LogLevel    string // debug, info, warn or error: the platform's own log
	// SandboxCIDR is the IPv4 range that sandboxes get their addresses from; empty
	// leaves the choice to the driver.
	SandboxCIDR string
	Node        string // path of node; empty = look for it
	Python      string // path of python3; empty = look for it
	Pprof       string // host:port on loopback for profiles of the platform; empty = none
	NATSURL     string // an external NATS; empty = embedded
	NATSListen  string // host:port on loopback where the embedded one takes messages; empty = nowhere
}

// DefaultUpConfig is what hearth up does without flags. getenv is os.Getenv or a
// stand-in; uid 0 keeps its data under /var/lib.
func DefaultUpConfig(getenv func(string) string, uid int) UpConfig {
	return UpConfig{
		Listen:       DefaultListen,
		DataDir:      defaultDataDir(getenv, uid),
		Isolation:    IsolationAuto,
		Prewarm:      defaultPrewarm,
		QueueLength:  1000,
		QueueTimeout: 30 * time.Second,
		FreezeAfter:  hearth.DefaultFreezeAfter,
		Region:       hearth.DefaultRegion,
		Account:      hearth.DefaultAccount,
		LogLevel:     "info",
	}
}

func defaultDataDir(getenv func(string) string, uid int) string {
	if uid == 0 {
		return "/var/lib/hearth"
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hearth")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "hearth")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("hearth-%d", uid))
}

// Validate tells the first thing that is wrong, in words that name the flag.
func (c *UpConfig) Validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not host:port, such as %s", c.Listen, DefaultListen)
	}
	for _, name := range c.AllowedHosts {
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err != nil && !hostPattern.MatchString(name) {
			return fmt.Errorf("--allowed-host %q is not the name of a host, without scheme, port or path, such as hearth.example.org", name)
		}
	}
	if host, _, err := net.SplitHostPort(c.Pprof); c.Pprof != "" && (err != nil || !loopback(host)) {
		return fmt.Errorf("--pprof %q is not host:port on this machine, such as 127.0.0.1:6060; profiles are not for others", c.Pprof)
	}
	if host, _, err := net.SplitHostPort(c.NATSListen); c.NATSListen != "" {
		switch {
		case err != nil || !loopback(host):
			return fmt.Errorf("--nats-listen %q is not host:port on this machine, such as 127.0.0.1:4222; for other machines run a NATS server and name it with --nats", c.NATSListen)
		case c.NATSURL != "":
			return fmt.Errorf("--nats-listen is for the built-in NATS; with --nats, publish to the server that it names")
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("--tls-cert and --tls-key go together: the one is the platform's certificate, the other that certificate's key")
	}
	if c.DataDir == "" {
		return fmt.Errorf("--data must name a folder")
	}
	if err := oneOf("--isolation", c.Isolation, IsolationAuto, IsolationRunc, IsolationProcess); err != nil {
		return err
	}
	if c.Isolation == IsolationProcess && !loopback(host) {
		return fmt.Errorf("--isolation process runs functions as plain processes of this machine, so it is refused "+
			"on %s, which others can reach; listen on 127.0.0.1, or use --isolation runc", c.Listen)
	}
	if c.MemoryMB != 0 && c.MemoryMB < hearth.MinMemoryMB {
		return fmt.Errorf("--memory %d is too little for even one instance; give at least %d MB, or 0 for most of the machine",
			c.MemoryMB, hearth.MinMemoryMB)
	}
	if c.Prewarm < 0 || c.Prewarm > mostPrewarm {
		return fmt.Errorf("--prewarm %d is not between 0 (none) and %d", c.Prewarm, mostPrewarm)
	}
	if c.QueueLength < 1 {
		return fmt.Errorf("--queue-length %d must be 1 or more", c.QueueLength)
	}
	if c.QueueTimeout <= 0 {
		return fmt.Errorf("--queue-timeout %s must be more than nothing", c.QueueTimeout)
	}
	if c.FreezeAfter < 0 || c.FreezeAfter > 0 && c.FreezeAfter < hearth.MinFreezeAfter {
		return fmt.Errorf("--freeze-after %s must be 0 (never), or %s or more", c.FreezeAfter, hearth.MinFreezeAfter)
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return fmt.Errorf("--account %q is not twelve digits", c.Account)
	}
	if c.Region == "" {
		return fmt.Errorf("--region must not be empty")
	}
	if c.SandboxCIDR != "" {
		if p, err := netip.ParsePrefix(c.SandboxCIDR); err != nil || !p.Addr().Is4() {
			return fmt.Errorf("--sandbox-cidr %q is not an IPv4 range such as 10.88.0.0/16", c.SandboxCIDR)
		}
	}
	return oneOf("--log-level", c.LogLevel, "debug", "info", "warn", "error")
}

func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s %q is not one of %s", flag, value, strings.Join(allowed, ", "))
}

// hostPattern is the name of a host; underscores are not allowed in one, but are used.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?$`)

// loopback tells whether only this machine can reach host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
