package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// maxHandshake is how many bytes an upstream may say before it has proved who it is:
// chains of certificates are long, and not that long (hostile 46).
const maxHandshake = 128 << 10

var errHandshakeSize = errors.New("its handshake is too large")

// What an upstream may say over HTTP/2 beyond what it answers, so that a flood of
// frames that mean nothing ends (hostile 139).
const (
	chatter       = 2 << 20   // bytes at once
	chatterRate   = 256 << 10 // bytes that come back in a second
	chatterHead   = 512 << 10 // for each request, of which the answer's head is a part
	chatterFactor = 64        // for each byte of an answer, which may come in a frame of its own
	chatterMost   = 64 << 20  // however much was answered
)

var errChatter = errors.New("it says much and answers nothing")

// A bounded connection lets only so much be read: of a handshake, and over HTTP/2 of
// what is no answer. One goroutine reads it.
type bounded struct {
	net.Conn
	left   int  // bytes of the handshake
	lifted bool // that is over
	client string

	counts bool // what is no answer is counted
	credit atomic.Int64
	at     time.Time
}

// Read reads as much as may come.
func (b *bounded) Read(p []byte) (int, error) {
	if b.lifted {
		n, err := b.Conn.Read(p)
		if b.counts && b.credit.Add(-int64(n)) < 0 && !b.refill() {
			return 0, errChatter
		}
		return n, err
	}
	if b.left <= 0 {
		return 0, errHandshakeSize
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// lift ends the bound of the handshake, before anybody else reads.
func (b *bounded) lift(counts bool) {
	b.lifted, b.counts, b.at = true, counts, time.Now()
	b.credit.Store(chatter)
}

// refill gives back what time gives, and reports whether there is room again.
func (b *bounded) refill() bool {
	now := time.Now()
	back := int64(now.Sub(b.at).Seconds() * chatterRate)
	b.at = now
	return b.credit.Add(min(back, chatter)) >= 0
}

// answered makes room for what came with n bytes of an answer, or with a request.
func (b *bounded) answered(n int64) {
	if b.counts && b.credit.Add(n) > chatterMost {
		b.credit.Store(chatterMost)
	}
}

// chattering is what counts on a connection, or nil.
func chattering(c net.Conn) *bounded {
	var below net.Conn
	switch c := c.(type) {
	case *tls.Conn:
		below = c.NetConn()
	case *clearConn:
		below = c.Conn
	}
	if b, ok := below.(*bounded); ok && b.counts {
		return b
	}
	return nil
}

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
	below.lift(tc.ConnectionState().NegotiatedProtocol == "h2")
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
