// Package oci makes sandboxes with the command line of an OCI runtime: containers
// with a user namespace and an address of their own, a read-only root made of the
// host's interpreters, a private /tmp, no privileges and few system calls.
//
// A runtime is needed only for the moment of starting. The first process then becomes
// a child of this one (see child.AdoptOrphans), so that an idle sandbox costs the
// host no process but the function's own.
package oci

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"hearth/internal/sandbox/network"
	"hearth/internal/sandbox/rootfs"
)

// Config says how a Driver makes sandboxes. StateDir and Name are needed.
type Config struct {
	// Runtime is the OCI runtime: "runc" (also when empty). RuntimePath is its
	// program; when empty it is looked for in PATH.
	Runtime     string
	RuntimePath string
	// StateDir keeps what is known of running sandboxes, and their temporary files.
	// The driver makes it and is its only user.
	StateDir string
	// RunDir is where the shared root file system is mounted. Every user must be
	// able to pass through it. Empty: /run/hearth.
	RunDir string
	// Name tells the Hearths on one machine apart: it goes into the names of cgroups
	// and of what the network needs. Letters, digits and '-', at most 32.
	Name string
	// Runtimes are the interpreters that the sandboxes must have besides what is in
	// the host's /usr.
	Runtimes []rootfs.Runtime
	// CPUQuota makes Spec.CPUs a hard limit. Without it a sandbox may use what
	// others leave idle.
	CPUQuota bool
	// Offline gives sandboxes a network of nothing but their own loopback.
	Offline bool
	// Network says how sandboxes are connected. Name and Logger may be left empty;
	// Ready is readyNets when it is 0.
	Network network.Config
	// Logger gets what goes wrong beside the path; nil discards it.
	Logger *slog.Logger
}

// readyNets saves a cold start 2 to 3 ms. More would help a burst little: what is taken
// is made again meanwhile, and the kernel makes one at a time.
const readyNets = 2

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,31}$`)

// complete fills in defaults and refuses what cannot work.
func (c Config) complete() (Config, error) {
	c.Runtime = cmp.Or(c.Runtime, "runc")
	c.RunDir = cmp.Or(c.RunDir, "/run/hearth")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if !validName.MatchString(c.Name) {
		return c, fmt.Errorf("sandbox driver: name %q: use up to 32 letters, digits and '-'", c.Name)
	}
	if c.StateDir == "" {
		return c, errors.New("sandbox driver: no state directory")
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return c, err
	}
	c.StateDir = dir
	c.Network.Name = cmp.Or(c.Network.Name, c.Name)
	c.Network.Ready = cmp.Or(c.Network.Ready, readyNets)
	c.Network.Logger = cmp.Or(c.Network.Logger, c.Logger)
	return c, nil
}

// Directories below StateDir.
func (c *Config) runtimeRoot() string { return filepath.Join(c.StateDir, c.Runtime) }
func (c *Config) boxDir() string      { return filepath.Join(c.StateDir, "sandboxes") }
func (c *Config) tmpDir() string      { return filepath.Join(c.StateDir, "tmp") }
func (c *Config) rootPath() string    { return filepath.Join(c.RunDir, c.Name, "root") }

// cgroupParent is the cgroup that all sandboxes of this platform are in.
func (c *Config) cgroupParent() string { return "hearth-" + c.Name }

func (c *Config) makeDirs() error {
	for _, dir := range []string{c.StateDir, c.runtimeRoot(), c.boxDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("sandbox driver: %w", err)
		}
	}
	// Passed through by every sandbox's first user, who is a stranger to the host.
	run := filepath.Dir(c.rootPath())
	if err := os.MkdirAll(run, 0o711); err != nil {
		return fmt.Errorf("sandbox driver: %w", err)
	}
	for _, dir := range []string{c.RunDir, run} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return fmt.Errorf("sandbox driver: %w", err)
		}
	}
	return nil
}
