package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// startTLS is start for a server that speaks TLS.
func startTLS(t testing.TB, cfg Config) *world {
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}
	return start(t, cfg)
}

// makeCertificate makes a certificate for 127.0.0.1 that is its own authority.
var makeCertificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := makeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testRoots trusts testCertificate.
func testRoots(t testing.TB) *x509.CertPool {
	t.Helper()
	leaf, err := x509.ParseCertificate(testCertificate(t).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return roots
}
