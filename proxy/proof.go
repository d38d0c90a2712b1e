package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
)

// maxHandshake is how many bytes an upstream may say before it has proved who it is:
// chains of certificates are long, and not that long (hostile 46).
const maxHandshake = 128 << 10

var errHandshakeSize = errors.New("its handshake is too large")

// A bounded connection lets only so much be read until it is lifted, which is done
// before anybody else reads.
type bounded struct {
	net.Conn
	left   int  // bytes
	lifted bool // nothing is counted any more
	client string
}

// Read reads as much as may come.
func (b *bounded) Read(p []byte) (int, error) {
	if b.lifted {
		return b.Conn.Read(p)
	}
	if b.left <= 0 {
		return 0, errHandshakeSize
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *bounded) lift() { b.lifted = true }

// NetConn returns the connection below.
func (b *bounded) NetConn() net.Conn { return b.Conn }

// handshake opens TLS to an upstream and verifies who it is. It notes which
// certificate was shown to who asked for one.
func (d *dial) handshake(ctx context.Context, c net.Conn, cfg *tls.Config, limit Timeouts) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit.TLS)
	defer cancel()
	below := &bounded{Conn: c, left: maxHandshake}
	if own := cfg.Certificates; len(own) > 0 {
		cfg.Certificates = nil
		cfg.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if err := asked.SupportsCertificate(&own[0]); err != nil { // not one that it takes
				return &tls.Certificate{}, nil
			}
			sum := sha256.Sum256(own[0].Certificate[0])
			below.client = hex.EncodeToString(sum[:])
			return &own[0], nil
		}
	}
	tc := tls.Client(below, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, tlsRefusal(ctx, err)
	}
	below.lift()
	return tc, nil
}

// tlsRefusal says in our own words why there is no TLS.
func tlsRefusal(ctx context.Context, err error) error {
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verify):
		return refuse(http.StatusBadGateway, "tls_verify", "the destination's certificate does not prove who it is").because(err)
	case late(ctx, err):
		return refuse(http.StatusGatewayTimeout, "tls_timeout", "the destination did not open TLS in time").because(err)
	}
	return refuse(http.StatusBadGateway, "tls_failed", "no TLS connection to the destination could be made").because(err)
}
