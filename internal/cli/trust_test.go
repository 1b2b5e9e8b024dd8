package cli

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrust: a certificate that nobody vouches for is refused until it is named.
func TestTrust(t *testing.T) {
	p := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"functions":[],"instances":[]}`)
	}))
	defer p.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	nonsense := filepath.Join(t.TempDir(), "nonsense")
	if err := os.WriteFile(nonsense, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		endpoint string
		args     []string
		exit     int
		words    string
	}{
		{p.URL, nil, ExitPlatform, "is not trusted: its certificate was signed by nobody whom this machine trusts. Name its authority, or the certificate itself, with --cacert FILE or $HEARTH_CACERT"},
		{p.URL, []string{"--cacert", file}, 0, ""},
		{strings.Replace(p.URL, "127.0.0.1", "localhost", 1), []string{"--cacert", file}, ExitPlatform, "localhost"},
		{p.URL, []string{"--cacert", nonsense}, ExitUsage, "--cacert: " + nonsense + " has no certificate in PEM"},
		{p.URL, []string{"--cacert", file + "x"}, ExitUsage, "no such file"},
	} {
		_, stderr, exit := run{endpoint: c.endpoint}.do(t, append([]string{"list"}, c.args...)...)
		if exit != c.exit || !strings.Contains(stderr, c.words) {
			t.Errorf("%v: exit %d, %q; want exit %d, %q", c.args, exit, stderr, c.exit, c.words)
		}
	}
}
