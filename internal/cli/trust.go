package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
)

// EnvCACert names the environment variable that says which certificates to trust, for
// those who do not say --cacert.
const EnvCACert = "HEARTH_CACERT"

// trust has the commands trust the certificates in a file of PEM, beside those that
// this machine trusts, if the flag or the environment names one.
func (a *app) trust() error {
	file, source := a.cacert, "--cacert"
	if file == "" {
		file, source = a.Getenv(EnvCACert), "$"+EnvCACert
	}
	t, ok := a.http.Transport.(*http.Transport)
	if file == "" || !ok {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return usagef("%s: %w", source, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine that trusts nobody else
	}
	if !roots.AppendCertsFromPEM(text) {
		return usagef("%s: %s has no certificate in PEM", source, file)
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return nil
}

// distrust words why a platform's certificate was refused; "" when that is not why.
func distrust(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "its certificate was signed by nobody whom this machine trusts. Name its authority, or the certificate itself, with --cacert FILE or $" + EnvCACert
	case errors.As(err, &name):
		return rootCause(err) + ". Call it by a name that its certificate has"
	case errors.As(err, &invalid):
		return rootCause(err)
	}
	return ""
}
