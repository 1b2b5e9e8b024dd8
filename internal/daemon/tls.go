package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"
)

// certificate is the certificate that clients are shown, read from two files of PEM.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the files; nil when none are named.
func loadCertificate(certFile, keyFile string) (*certificate, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

// reload reads the files anew. On an error the certificate stays what it was.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	var missing *fs.PathError
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("TLS: %w; --tls-cert and --tls-key must name files that this user can read", err)
	case err != nil && strings.Contains(err.Error(), "does not match"):
		return fmt.Errorf("TLS: the key in %s does not belong to the certificate in %s; a chain begins with the server's own certificate", c.keyFile, c.certFile)
	case err != nil:
		return fmt.Errorf("TLS: %s and %s are no certificate and key in PEM: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

// config is for the server; it shows what was read last.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current.Load(), nil
	}}
}

// caution is what the owner should know of the certificate at the time now, "" if
// there is nothing.
func (c *certificate) caution(now time.Time) string {
	if c == nil {
		return ""
	}
	switch leaf := c.current.Load().Leaf; {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("The certificate in %s has expired on %s: clients will refuse it. Renew it, then send SIGHUP.", c.certFile, leaf.NotAfter.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("The certificate in %s is not valid before %s: clients will refuse it until then.", c.certFile, leaf.NotBefore.Format(time.DateOnly))
	}
	return ""
}

// ReloadCertificate reads certificate and key anew, for connections to come. On an
// error, which the log tells, the old ones stay. Without TLS it does nothing.
func (p *Platform) ReloadCertificate() {
	if p.certificate == nil {
		return
	}
	if err := p.certificate.reload(); err != nil {
		p.cfg.Log.Error("the certificate stays what it was", "error", err)
		return
	}
	p.cfg.Log.Info("the certificate has been read anew", "file", p.certificate.certFile, "until", p.certificate.current.Load().Leaf.NotAfter)
	if words := p.certificate.caution(time.Now()); words != "" {
		p.cfg.Log.Warn(words)
	}
}

// URL is where the platform answers.
func (p *Platform) URL() string {
	if p.certificate != nil {
		return "https://" + p.Addr().String()
	}
	return "http://" + p.Addr().String()
}
