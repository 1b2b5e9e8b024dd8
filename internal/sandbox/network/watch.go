package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// settle is how long the host's network may go on changing before we look: one
// change brings many messages.
const settle = 50 * time.Millisecond

// Attributes of RTM_NEWNETCONF (linux/netconf.h).
const (
	netconfIndex = 1  // NETCONFA_IFINDEX
	netconfAll   = -1 // NETCONFA_IFINDEX_ALL
)

// startWork starts this Manager's goroutines: two that listen to the kernel, one
// that acts on what they hear, one that keeps namespaces ready. Close ends them.
func (m *Manager) startWork() error {
	routes, err := subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF)
	if err != nil {
		return err
	}
	tables, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return errors.Join(err, routes.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = func() {
		cancel()
		_ = routes.Close()
		_ = tables.Close()
	}
	m.work.Go(func() { listen(routes, m.heardRoute) })
	m.work.Go(func() { listen(tables, m.heardTable) })
	m.work.Go(func() { m.act(ctx) })
	if m.cfg.Ready > 0 {
		m.work.Go(func() { m.fill(ctx) })
	}
	return nil
}

// subscribe opens a netlink socket that hears the groups; closing it ends a Read.
func subscribe(protocol int, groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind netlink: %w", err), f.Close())
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return nil, errors.Join(fmt.Errorf("join netlink group %d: %w", g, err), f.Close())
		}
	}
	return f, nil
}

// listen hands each message to heard, nil for messages that were lost, until the
// socket is closed.
func listen(f *os.File, heard func(kind uint16, body []byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			heard(0, nil)
			continue
		case err != nil:
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				break
			}
			heard(binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size])
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// heardRoute looks again when a route that is not a sandbox's, or the global
// forwarding switch, has changed. Sandboxes come and go too often to look each time.
func (m *Manager) heardRoute(kind uint16, body []byte) {
	switch kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		dst, ok := attribute(body, unix.SizeofRtMsg, unix.RTA_DST)
		if a, isAddr := netip.AddrFromSlice(dst); ok && isAddr && m.currentBlock().Contains(a) {
			return
		}
	case unix.RTM_NEWNETCONF:
		index, ok := attribute(body, 4, netconfIndex)
		if ok && len(index) == 4 && int32(binary.NativeEndian.Uint32(index)) != netconfAll {
			return
		}
	}
	poke(m.look)
}

// heardTable notices that somebody has removed our table, as "nft flush ruleset" does.
func (m *Manager) heardTable(kind uint16, body []byte) {
	if kind == 0 {
		poke(m.lost)
		return
	}
	if kind != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE {
		return
	}
	name, _ := attribute(body, 4, unix.NFTA_TABLE_NAME)
	if string(bytes.TrimRight(name, "\x00")) == m.names.Table {
		poke(m.lost)
	}
}

// attribute finds one netlink attribute behind a header of the given size.
func attribute(body []byte, header int, want uint16) ([]byte, bool) {
	if len(body) < header {
		return nil, false
	}
	attrs, err := nl.ParseRouteAttr(body[header:])
	if err != nil {
		return nil, false
	}
	for _, a := range attrs {
		if a.Attr.Type&nl.NLA_TYPE_MASK == want {
			return a.Value, true
		}
	}
	return nil, false
}

// act does what the listeners ask for. It ends with ctx.
func (m *Manager) act(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.lost:
			m.underSetup(ctx, "put our nft table back", m.restoreTable)
		case <-m.look:
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
			select { // what was said meanwhile is covered
			case <-m.look:
			default:
			}
			m.underSetup(ctx, "follow the host's network", m.refresh)
		}
	}
}

func (m *Manager) underSetup(ctx context.Context, what string, do func(context.Context) error) {
	m.setup.Lock()
	defer m.setup.Unlock()
	if ctx.Err() != nil {
		return
	}
	if err := do(ctx); err != nil && ctx.Err() == nil {
		m.log.Warn("network: could not "+what, "error", err)
	}
}

// restoreTable loads the rules again if they are gone.
func (m *Manager) restoreTable(ctx context.Context) error {
	_, there, err := readTable(ctx, m.names)
	if err != nil || there {
		return err
	}
	m.warn("Somebody removed the nft rules of the sandboxes; they have been put back. A firewall script that runs \"nft flush ruleset\" does that: let it delete its own tables instead.")
	return m.loadRules(ctx)
}
