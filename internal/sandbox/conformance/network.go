package conformance

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/sandbox"
)

func ownNetwork(i sandbox.Isolation) bool { return i.Network }

// dialTimeout is how long the probe waits for an answer that must not come. Refusals
// usually come at once; only what the firewall drops takes that long.
const dialTimeout = "1500"

func networkOutbound(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, ownNetwork))
	if len(s.Outside) == 0 {
		t.Skip("the harness has no outside")
	}
	for _, address := range s.Outside {
		if r := in.try("dial", address, "10000"); !strings.HasPrefix(r.Out, "hello") {
			t.Errorf("%s cannot be reached: %q %q", address, r.Out, r.Err)
		}
	}
	in.must("listen", "127.0.0.1:8080") // its own loopback is its own
	if r := in.must("dial", "127.0.0.1:8080", "10000"); !strings.HasPrefix(r.Out, "hello") {
		t.Errorf("its own loopback: %+v", r)
	}
}

func networkForbidden(t *testing.T, s *suite) {
	in := s.start(t, s.promises(t, ownNetwork))
	for _, address := range s.Forbidden {
		mustGreet(t, address) // else the test would prove nothing
		if r := in.try("dial", address, dialTimeout); r.Err == "" {
			t.Errorf("%s can be reached: %q", address, r.Out)
		}
	}
}

// mustGreet makes sure that an address answers on the host.
func mustGreet(t *testing.T, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("the harness's own listener: %v", err)
	}
	conn.Close()
}

func networkNeighbours(t *testing.T, s *suite) {
	d := s.promises(t, ownNetwork)
	a, b := s.start(t, d), s.start(t, d)
	port := strconv.FormatInt(b.must("listen", ":0").N, 10)
	addresses := strings.Fields(b.must("addrs").Out)
	if len(addresses) == 0 {
		t.Fatal("a sandbox without an address")
	}
	for _, ip := range addresses {
		address := net.JoinHostPort(ip, port)
		if r := b.must("dial", address, "10000"); !strings.HasPrefix(r.Out, "hello") {
			t.Errorf("it cannot reach itself at %s: %+v", address, r)
		}
		if r := a.try("dial", address, dialTimeout); r.Err == "" {
			t.Errorf("a sandbox reaches its neighbour at %s", address)
		}
		// Nor does a connection come in from the host.
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			t.Errorf("the host reaches a sandbox at %s", address)
		}
	}
}
