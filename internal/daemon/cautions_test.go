package daemon

import (
	"net"
	"strings"
	"testing"

	"hearth/internal/sigv4"
)

func TestCautions(t *testing.T) {
	const here, everywhere, lan = "127.0.0.1:9000", "[::]:9000", "192.0.2.7:9000"
	for _, c := range []struct {
		addr          string
		memory, limit int
		want          []string
	}{
		{here, 4096, 8192, nil},
		{"[::1]:9000", 8192, 8192, nil},
		{here, 999_999_999, 0, nil}, // the machine does not tell
		{here, 8193, 8192, []string{"8193 MB, but this machine has 8192 MB"}},
		{everywhere, 4096, 8192, []string{"[::]:9000"}},
		{lan, 999_999_999, 8192, []string{"192.0.2.7:9000", "--memory"}},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		got := (&Config{MemoryMB: c.memory}).cautions(addr, c.limit)
		if len(got) != len(c.want) {
			t.Errorf("%s with %d of %d MB: %q, want %q", c.addr, c.memory, c.limit, got, c.want)
			continue
		}
		for i, part := range c.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s with %d of %d MB: %q does not say %q", c.addr, c.memory, c.limit, got[i], part)
			}
		}
	}
}

func TestChecksHost(t *testing.T) {
	for _, c := range []struct {
		addr    string
		allowed []string
		want    bool
	}{
		{"127.0.0.1:9000", nil, true},
		{"[::1]:9000", nil, true},
		{"0.0.0.0:9000", nil, false},
		{"0.0.0.0:9000", []string{"hearth.test"}, true},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Config{AllowedHosts: c.allowed}).checksHost(addr); got != c.want {
			t.Errorf("%s, allowed %q: %v", c.addr, c.allowed, got)
		}
	}
}

// TestMachineMB: the default leaves the host something, and so gives no reason for a
// caution.
func TestMachineMB(t *testing.T) {
	limit := machineMB()
	if most := mostOfTheMachine(); limit > 1024 && most >= limit {
		t.Fatalf("%d of %d MB are given away", most, limit)
	}
}

func TestKeysQuietTheCaution(t *testing.T) {
	addr, err := net.ResolveTCPAddr("tcp", "[::]:9000")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{AccessKeys: []sigv4.Key{{ID: "A", Secret: "0123456789abcdef"}}}
	if got := c.cautions(addr, 0); len(got) != 0 {
		t.Errorf("%q, want nothing", got)
	}
}
