package network

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		want string
		cfg  Config
	}{
		{"Name", Config{}},
		{"CIDR", Config{Name: "x", CIDR: netip.MustParsePrefix("10.0.0.0/31")}},
		{"CIDR", Config{Name: "x", CIDR: netip.MustParsePrefix("fd00::/64")}},
		{"MTU", Config{Name: "x", MTU: 10}},
		{"Deny", Config{Name: "x", Deny: []netip.Prefix{{}}}},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v): %v, want an error about %s", c.cfg, err, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	a, b := namesOf("/var/lib/hearth"), namesOf("/tmp/hearth")
	if a == b || len(a.Prefix) != 8 || !strings.HasPrefix(a.Table, "hearth_") {
		t.Errorf("%+v and %+v", a, b)
	}
	m := Manager{names: a}
	largest := newSlots(netip.MustParsePrefix("10.0.0.0/8"))
	if name := m.linkName(largest.total - 1); len(name) > 15 {
		t.Errorf("%s is too long for an interface", name)
	}
}

func TestParseResolvConf(t *testing.T) {
	got := parseResolvConf("# nameserver 1.1.1.1\nsearch example.org\nnameserver 127.0.0.53\nnameserver\t10.0.0.2\n" +
		"nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 10.0.0.2\nnameserver ::ffff:10.0.0.3 trailing\nnameserver x\nnameserver 169.254.1.1\nnameserver")
	want := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	if !slices.Equal(got, want) {
		t.Errorf("parseResolvConf = %v, want %v", got, want)
	}
}

// Slots in use never share an address, all addresses are in the block, and one that
// was released comes back as late as possible.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := netip.PrefixFrom(netip.MustParseAddr("10.1.2.0"), rapid.IntRange(24, 30).Draw(t, "bits"))
		s := newSlots(block)
		used := map[netip.Addr]int{}
		var taken, released []int
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(taken) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(taken)-1).Draw(t, "which")
				slot := taken[i]
				taken = slices.Delete(taken, i, i+1)
				host, sandbox := s.pair(slot)
				delete(used, host)
				delete(used, sandbox)
				s.give(slot)
				released = append(released, slot)
				continue
			}
			slot, err := s.take()
			if (err != nil) != (len(taken) == s.total) {
				t.Fatalf("take with %d of %d taken: %v", len(taken), s.total, err)
			}
			if err != nil {
				continue
			}
			if i := slices.Index(released, slot); i > 0 {
				t.Fatalf("slot %d came back before %v", slot, released[:i])
			} else if i == 0 {
				released = released[1:]
			}
			host, sandbox := s.pair(slot)
			for _, a := range []netip.Addr{host, sandbox} {
				if _, twice := used[a]; twice || !block.Contains(a) {
					t.Fatalf("address %s is taken or not in %s", a, block)
				}
				used[a] = slot
			}
			taken = append(taken, slot)
		}
	})
}

func TestBlocks(t *testing.T) {
	all := blocks(namesOf("x"))
	slices.SortFunc(all, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	if len(slices.Compact(all)) != 16 || all[0].String() != "100.96.0.0/20" || all[15].String() != "100.96.240.0/20" {
		t.Errorf("blocks = %v", all)
	}
}

func TestSupportedSaysWhatIsMissing(t *testing.T) {
	if os.Getenv("HEARTH_NETWORK_SUPPORTED") != "" {
		if err := Supported(); err == nil || !strings.Contains(err.Error(), "need root") {
			t.Errorf("without root: %v", err)
		}
		return
	}
	needRoot(t)
	before := traces(t)
	if err := Supported(); err != nil {
		t.Error(err)
	}
	if after := traces(t); !slices.Equal(before, after) {
		t.Errorf("Supported left %q, before %q", after, before)
	}
	t.Run("no nft", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if p := nftPath(); p == "nft" {
			if err := Supported(); err == nil || !strings.Contains(err.Error(), "install nftables") {
				t.Errorf("without nft: %v", err)
			}
		}
	})
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSupportedSaysWhatIsMissing$")
	cmd.Env = append(os.Environ(), "HEARTH_NETWORK_SUPPORTED=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func FuzzAttribute(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 5, 0, 1, 0, 'x', 0, 0, 0}, 4)
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		if header < 0 {
			return
		}
		if v, ok := attribute(body, header, 1); ok && len(v) > len(body) {
			t.Errorf("%d bytes out of %d", len(v), len(body))
		}
	})
}
