package api

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"hearth/internal/hearth"
)

// checkHost refuses a request whose Host is a name that this platform does not go by.
// A web page can have the name of its own site lead to 127.0.0.1 (DNS rebinding):
// then Origin and Host agree, and only the name gives it away. Clients that send no
// Host are not browsers.
func (s *Server) checkHost(host []byte) error {
	if !s.cfg.CheckHost || len(host) == 0 {
		return nil
	}
	name := hostName(host)
	if isLocalName(name) || slices.ContainsFunc(s.cfg.AllowedHosts, func(allowed string) bool {
		return equalFold(name, allowed)
	}) {
		return nil
	}
	return hearth.Errorf(hearth.ErrForbidden,
		"This platform does not go by the name %q, only by localhost, NAME.localhost, 127.0.0.1, [::1] and what --allowed-host names. "+
			"Use one of them, or start it with: hearth up --allowed-host %s", clip(string(name)), clip(string(name)))
}

// hostName is a Host without its port, the brackets of an IPv6 address, and the dot
// that ends a full name.
func hostName(host []byte) []byte {
	if host[0] == '[' {
		address, port, _ := bytes.Cut(host[1:], []byte("]"))
		if len(port) > 0 && port[0] != ':' {
			return host // nonsense, and no name of anything
		}
		return address
	}
	name, _, _ := bytes.Cut(host, []byte(":"))
	return bytes.TrimSuffix(name, []byte("."))
}

// isLocalName tells the names that mean this machine wherever they are looked up
// (RFC 6761, 6.3), and the addresses.
func isLocalName(name []byte) bool {
	if string(name) == "127.0.0.1" {
		return true
	}
	const local = "localhost"
	if i := len(name) - len(local); i >= 0 && equalFold(name[i:], local) {
		return i == 0 || name[i-1] == '.'
	}
	addr, err := netip.ParseAddr(string(name))
	return err == nil && addr.Unmap().IsLoopback()
}

// hostNames brings names that somebody typed into the form of hostName.
func hostNames(typed []string) []string {
	var names []string
	for _, t := range typed {
		t = strings.ToLower(strings.TrimSuffix(strings.Trim(t, "[] "), "."))
		if t != "" {
			names = append(names, t)
		}
	}
	return names
}
