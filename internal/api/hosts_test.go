package api

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNoHost: who sends no name, as HTTP/1.0 allows, is no browser.
func TestNoHost(t *testing.T) {
	w := start(t, Config{CheckHost: true})
	if resp, body := w.exchange(t, "GET /healthz HTTP/1.0\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, body := w.exchange(t, "GET /healthz HTTP/1.0\r\nHost: attacker.example\r\n\r\n"); resp.StatusCode != 403 {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestUncheckedHost: where others are to reach the platform and nobody has said by which
// name, any will do.
func TestUncheckedHost(t *testing.T) {
	w := start(t, Config{})
	if resp, body := w.exchange(t, "GET /healthz HTTP/1.1\r\nHost: hearth.example\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestHostProperty: whatever its port and case, a name is let in if it is this machine's
// or allowed, and no other is.
func TestHostProperty(t *testing.T) {
	s := New(Config{CheckHost: true, AllowedHosts: []string{"Hearth.Example.", "[2001:db8::1]"}}, Deps{})
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.SampledFrom([]string{"localhost", "127.0.0.1", "[::1]", "hearth.example", "[2001:db8::1]", "[::ffff:127.0.0.1]", "[::1].example"}),
			rapid.StringMatching(`([a-z0-9-]{1,5}\.){0,2}(localhost|hearth\.example|example|xlocalhost|localhost\.example)`),
			rapid.StringMatching(`[0-9]{1,3}\.0\.0\.[0-9]{1,3}`),
			rapid.StringMatching(`\[[0-9a-f]{0,4}::[0-9a-f]{0,4}\]`),
		).Draw(t, "name")
		sent := name
		if rapid.Bool().Draw(t, "in capitals") {
			sent = strings.ToUpper(sent)
		}
		sent += rapid.SampledFrom([]string{"", ":9000", ":"}).Draw(t, "port")
		want := name == "hearth.example" || name == "localhost" || strings.HasSuffix(name, ".localhost")
		if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			want = a.Unmap().IsLoopback() || a == netip.MustParseAddr("2001:db8::1")
		}
		if err := s.checkHost([]byte(sent)); (err == nil) != want {
			t.Fatalf("%s: %v", sent, err)
		}
	})
}

// FuzzHost: no Host can break the check, and nobody is let in by an odd one.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost", "[::1]:80", "[", ":", ".", "a:b:c", "localhost\x00.example", "[::1].example", "::1"} {
		f.Add([]byte(s))
	}
	s := New(Config{CheckHost: true}, Deps{})
	f.Fuzz(func(t *testing.T, host []byte) {
		if s.checkHost(host) == nil && len(host) > 0 && !strings.Contains(strings.ToLower(string(host)), "localhost") &&
			!strings.Contains(string(host), "127.") && !strings.Contains(string(host), ":") {
			t.Fatalf("%q was let in", host)
		}
	})
}
