package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Supported tells what this process lacks to make namespaces, and the way out; nil
// if nothing. It tries everything out in a namespace of its own, which is gone when
// it returns, and takes some 20 ms.
func Supported() error {
	if missing := missingCapabilities(); len(missing) > 0 {
		if os.Geteuid() != 0 {
			return errors.New("sandbox networks need root: run as root, or choose another isolation")
		}
		return fmt.Errorf("sandbox networks need %s, which this root does not have: give it to the container or unit that this runs in", strings.Join(missing, " and "))
	}
	if _, err := exec.LookPath(nftPath()); err != nil {
		return errors.New("sandbox networks need the nft command: install nftables")
	}
	n := namesOf("supported")
	text, err := rules{names: n, Block: netip.MustParsePrefix(defaultRange), MaxConnections: maxConnections}.text()
	if err != nil {
		return err
	}
	host, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sandbox networks need network namespaces in the kernel: %w", err)
	}
	defer unix.Close(host)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fd, err := newNamespace(host, func() error { return tryOut(ctx, n, text) })
	if err != nil {
		return fmt.Errorf("sandbox networks do not work here: %w", err)
	}
	return unix.Close(fd)
}

// tryOut does in a namespace what is otherwise done on the host. Both ends of its
// veth pair are there.
func tryOut(ctx context.Context, n names, text string) error {
	here, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(here)
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	w := wiring{hostEnd: n.Prefix + "0", mtu: defaultMTU, host: netip.MustParseAddr("100.96.0.0"), sandbox: netip.MustParseAddr("100.96.0.1")}
	if _, err := w.connect(h, h, here); err != nil {
		return fmt.Errorf("is the kernel module veth there? %w", err)
	}
	if err := nft(ctx, text, "-c"); err != nil { // the kernel checks, then forgets
		return fmt.Errorf("are the kernel modules nf_tables, nft_fib_inet, nft_masq and nft_connlimit there? %w", err)
	}
	return nil
}

// missingCapabilities are those of CAP_NET_ADMIN (12) and CAP_SYS_ADMIN (21, for
// setns and unshare) that are not effective.
func missingCapabilities() []string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil // the trial will tell
	}
	var have uint64
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			have, _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	var missing []string
	if have&(1<<unix.CAP_NET_ADMIN) == 0 {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if have&(1<<unix.CAP_SYS_ADMIN) == 0 {
		missing = append(missing, "CAP_SYS_ADMIN")
	}
	return missing
}
