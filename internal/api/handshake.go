package api

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"time"
)

// preface is what a client of HTTP/2 begins with (RFC 9113, 3.4). No request of
// HTTP/1.1 can begin so.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// serverTLS is c with the protocols that are spoken here, nil for nil.
func serverTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.NextProtos = []string{protocolHTTP2, "http/1.1"}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if c.CipherSuites == nil { // of TLS 1.2: those that HTTP/2 allows (RFC 9113, appendix A)
		c.CipherSuites = []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	}
	return c
}

// Handshake finds out which protocol the client speaks: by TLS, or by how it begins.
// fasthttp calls it before anything else, in the goroutine that serves the connection,
// and hands those of HTTP/2 to serveHTTP2.
func (c *conn) Handshake() error {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		c.sniff()
		return nil
	}
	until := time.Now().Add(c.s.cfg.HeaderTimeout)
	if err := errors.Join(t.SetWriteDeadline(until), t.SetReadDeadline(c.clamp(until))); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		c.explainTLS(err)
		return err
	}
	c.protocol = t.ConnectionState().NegotiatedProtocol
	return t.SetDeadline(time.Time{}) // as read and write have it
}

// explainTLS tells a client that speaks HTTP in the clear what is wrong.
func (c *conn) explainTLS(err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.Conn == nil || !looksLikeHTTP(header.RecordHeader[:]) {
		return
	}
	_, err = io.WriteString(header.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+
		"This platform speaks TLS here: write https:// instead of http://.\n")
	if half, ok := header.Conn.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		lingering(header.Conn, c.clamp(time.Now().Add(lingerTime)))
	}
}

func looksLikeHTTP(begin []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "DELET", "PATCH", "OPTIO", "PRI *"} {
		if string(begin) == method {
			return true
		}
	}
	return false
}

// ConnectionState is what fasthttp asks for the protocol; "" is HTTP/1.1.
func (c *conn) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{NegotiatedProtocol: c.protocol}
}

// secure tells whether the client speaks TLS.
func (c *conn) secure() bool {
	_, ok := c.Conn.(*tls.Conn)
	return ok
}

// sniffSize is how much is read of what a client sends first, in bytes: about a request.
const sniffSize = 1 << 10

// sniff reads until it is clear whether the client begins with the preface of HTTP/2.
// What it has read is read again. An error will come again too.
func (c *conn) sniff() {
	begin := c.early // if somebody has begun to read
	c.early = nil
	for len(begin) < len(preface) && string(begin) == preface[:len(begin)] {
		begin = slices.Grow(begin, sniffSize)
		n, err := c.Read(begin[len(begin):cap(begin)])
		begin = begin[:len(begin)+n]
		if err != nil {
			break
		}
	}
	c.early = begin
	if bytes.HasPrefix(c.early, []byte(preface)) {
		c.protocol = protocolHTTP2
	}
}
