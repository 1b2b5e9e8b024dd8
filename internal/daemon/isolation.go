package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"hearth/internal/sandbox"
	"hearth/internal/sandbox/network"
	"hearth/internal/sandbox/oci"
	"hearth/internal/sandbox/process"
	"hearth/internal/sandbox/rootfs"
)

// runtimes finds the interpreters, or takes those that the owner named.
func (c *Config) runtimes(ctx context.Context) []rootfs.Runtime {
	var list []rootfs.Runtime
	named := map[string]string{rootfs.NodeJS: c.Node, rootfs.Python: c.Python}
	for _, r := range rootfs.Discover(ctx) {
		if named[r.Name] == "" {
			list = append(list, r)
		}
	}
	for name, path := range named {
		if path != "" {
			list = append(list, rootfs.Runtime{Name: name, Path: path, Version: "(named)", Prefix: filepath.Dir(filepath.Dir(path))})
		}
	}
	return list
}

// driver makes the isolation that was asked for. With auto, what runc lacks is said
// in words, and processes are used instead.
func (c *Config) driver(runtimes []rootfs.Runtime) (sandbox.Driver, []string, error) {
	if c.Isolation == IsolationProcess {
		d, err := c.processDriver()
		return d, nil, err
	}
	d, err := c.runcDriver(runtimes)
	if err == nil || c.Isolation == IsolationRunc {
		return d, nil, err
	}
	words := fmt.Sprintf("No containers: %v. Functions run as plain processes.", err)
	d, err = c.processDriver()
	return d, []string{words}, err
}

func (c *Config) runcDriver(runtimes []rootfs.Runtime) (sandbox.Driver, error) {
	conf := oci.Config{
		StateDir: c.path("sandboxes"), Name: c.name(), Runtimes: runtimes,
		CPUQuota: c.CPUQuota, Logger: c.Log,
	}
	if c.SandboxCIDR != "" {
		prefix, err := netip.ParsePrefix(c.SandboxCIDR)
		if err != nil {
			return nil, fmt.Errorf("sandbox addresses %q: %w", c.SandboxCIDR, err)
		}
		conf.Network = network.Config{CIDR: prefix}
	}
	if err := oci.Supported(conf); err != nil {
		return nil, err
	}
	return oci.New(conf)
}

func (c *Config) processDriver() (sandbox.Driver, error) {
	return process.New(process.Config{StateDir: c.path("sandboxes"), Name: c.name(), Logger: c.Log})
}
