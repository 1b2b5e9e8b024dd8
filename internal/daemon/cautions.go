package daemon

import (
	"fmt"
	"net"
)

// cautions are what the owner has asked for and may not have meant, in words. limit is
// the machine's memory in MiB, 0 if it does not tell.
func (c *Config) cautions(addr net.Addr, limit int) []string {
	var list []string
	if !loopback(addr) && len(c.AccessKeys) == 0 {
		list = append(list, fmt.Sprintf("Nothing is authenticated: whoever can reach %s may create, change and call functions. "+
			"Give access keys (--access-keys-file), keep strangers out with a firewall, or listen on 127.0.0.1.", addr))
	}
	if limit > 0 && c.MemoryMB > limit {
		list = append(list, fmt.Sprintf("Instances may reserve %d MB, but this machine has %d MB: before Hearth refuses, "+
			"the kernel will end processes for lack of memory. Give --memory less, or leave it out for most of the machine.", c.MemoryMB, limit))
	}
	return list
}

// checksHost tells whether callers are held to the names that the platform goes by.
// Where only this machine can reach it, its web browsers are the way in for strangers.
// Elsewhere the owner has to say what those names are.
func (c *Config) checksHost(addr net.Addr) bool {
	return loopback(addr) || len(c.AllowedHosts) > 0
}
