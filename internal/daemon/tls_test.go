package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate writes a certificate of this serial number, valid until then, and
// its key.
func writeCertificate(t *testing.T, dir string, serial int64, until time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestCertificateReload(t *testing.T) {
	dir, later := t.TempDir(), time.Now().Add(24*time.Hour)
	certFile, keyFile := writeCertificate(t, dir, 1, later)
	c, err := loadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() int64 {
		pair, err := c.config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	if got := shown(); got != 1 || c.caution(time.Now()) != "" {
		t.Errorf("serial %d, %q", got, c.caution(time.Now()))
	}
	writeCertificate(t, dir, 2, later)
	if err := c.reload(); err != nil || shown() != 2 {
		t.Errorf("serial %d, %v", shown(), err)
	}
	other := t.TempDir()
	writeCertificate(t, other, 3, later)
	c.keyFile = filepath.Join(other, "key.pem")
	if err := c.reload(); err == nil || !strings.Contains(err.Error(), "does not belong to") || shown() != 2 {
		t.Errorf("somebody else's key: serial %d, %v", shown(), err)
	}
	if got := c.caution(later.Add(time.Hour)); !strings.Contains(got, "has expired") {
		t.Errorf("an expired certificate: %q", got)
	}
	if got := c.caution(later.Add(-72 * time.Hour)); !strings.Contains(got, "not valid before") {
		t.Errorf("a certificate of the future: %q", got)
	}
}

func TestCertificateErrors(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1, time.Now().Add(time.Hour))
	nonsense := filepath.Join(dir, "nonsense")
	if err := os.WriteFile(nonsense, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cert, key, want string }{
		{certFile, filepath.Join(dir, "nowhere"), "nowhere: no such file"},
		{filepath.Join(dir, "nowhere"), keyFile, "--tls-cert and --tls-key must name files"},
		{nonsense, keyFile, "no certificate and key in PEM"},
		{keyFile, certFile, "no certificate and key in PEM"},
	} {
		if _, err := loadCertificate(c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v; want %q in it", c.cert, c.key, err, c.want)
		}
	}
	if c, err := loadCertificate("", ""); c != nil || err != nil || c.config() != nil || c.caution(time.Now()) != "" {
		t.Errorf("without files: %v, %v", c, err)
	}
}
