package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A Remote is how the API is reached over TCP: always by TLS, with a token, a
// client's certificate, or both where both are set. The zero Remote lets nobody in.
type Remote struct {
	Certificate tls.Certificate
	Clients     *x509.CertPool      // of which a client's certificate has to come; nil asks for none
	Tokens      [][sha256.Size]byte // digests, one of which a request has to bring; none asks for none
}

// Why somebody is turned away.
const (
	NoCertificate    = "no_certificate"
	WrongCertificate = "wrong_certificate"
	NoToken          = "no_token"
	WrongToken       = "wrong_token"
	FromBrowser      = "from_browser"
	Forbidden        = "forbidden" // on the socket: a user who may not
	Busy             = "busy"      // on the socket: one who has, or all have, too many connections
)

// Limits of the API over TCP.
const (
	remoteConns     = 256 // in all
	remoteConnsFrom = 64  // from one address
	headWithin      = 5 * time.Second
	bodyWithin      = 10 * time.Second
	answerWithin    = 30 * time.Second
)

// A RemoteServer serves the API of a Server over TCP.
type RemoteServer struct {
	s   *Server
	now func() *Remote

	mu    sync.Mutex
	calls map[*call]struct{}
	conns map[netip.Addr]int
	all   int
}

// A call is a request that was let in.
type call struct {
	still func(*Remote) bool
	end   context.CancelFunc
}

// NewRemote returns a server that asks now, with each request, what is required.
func (s *Server) NewRemote(now func() *Remote) *RemoteServer {
	return &RemoteServer{s: s, now: now, calls: map[*call]struct{}{}, conns: map[netip.Addr]int{}}
}

// Serve answers until ctx ends.
func (rs *RemoteServer) Serve(ctx context.Context, l net.Listener) error {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	srv := &http.Server{DisableGeneralOptionsHandler: true, Handler: rs.handler(rs.s.handler()), Protocols: p, ReadHeaderTimeout: headWithin, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx }}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		r := rs.now()
		// The certificate is judged with each request, since what is asked may change,
		// and so that who is turned away can read why.
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{r.Certificate}, NextProtos: []string{"http/1.1"}, ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true}, nil
	}}
	return serveUntil(ctx, srv, tls.NewListener(&boundedListener{l, rs}, cfg))
}

// Recheck ends what is under way and would not be let in any more.
func (rs *RemoteServer) Recheck() {
	r := rs.now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for c := range rs.calls {
		if !c.still(r) {
			c.end()
		}
	}
}

// handler lets in who shows who they are.
func (rs *RemoteServer) handler(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(answerWithin))
		a, code, still := rs.identify(r)
		if code != "" {
			_ = rc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			w.Header().Set("Connection", "close")
			rs.s.refused(a, code)
			status, detail := http.StatusForbidden, "this is no way to command the sidecar"
			switch code {
			case NoToken, WrongToken:
				status, detail = http.StatusUnauthorized, "a token of the sidecar is needed, and one that is right: --control-token-file, or Authorization: Bearer …"
				w.Header().Set("WWW-Authenticate", `Bearer realm="sallyport"`)
			case NoCertificate:
				status, detail = http.StatusUnauthorized, "a client's certificate is needed"
			case WrongCertificate:
				detail = "the client's certificate is not one that may command the sidecar, or not good now"
			}
			answer(w, status, Problem{Code: code, Detail: detail})
			return
		}
		_ = rc.SetReadDeadline(time.Now().Add(bodyWithin))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			w.Header().Set("Connection", "close")
			fail(w, fmt.Errorf("%w: the body did not come: %w", ErrInvalid, err))
			return
		}
		_ = rc.SetReadDeadline(time.Time{})
		ctx, end := context.WithCancel(context.WithValue(r.Context(), actorKey{}, a))
		defer end()
		c := &call{still, end}
		rs.mu.Lock()
		rs.calls[c] = struct{}{}
		rs.mu.Unlock()
		defer func() {
			rs.mu.Lock()
			delete(rs.calls, c)
			rs.mu.Unlock()
		}()
		if !still(rs.now()) { // it changed meanwhile
			end()
		}
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		api.ServeHTTP(w, r)
	})
}

// identify finds out who asks, or why they are turned away.
func (rs *RemoteServer) identify(r *http.Request) (a Actor, code string, still func(*Remote) bool) {
	a = Actor{UID: rs.s.Own, GID: rs.s.Own, Remote: "somebody"}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		a.From = at.Addr().Unmap().String()
	}
	var certs []*x509.Certificate
	if r.TLS != nil {
		certs = r.TLS.PeerCertificates
	}
	token, bears := bearer(r.Header)
	digest := sha256.Sum256([]byte(token))
	now := rs.now()
	switch {
	case r.TLS == nil || now.Clients == nil && len(now.Tokens) == 0:
		return a, Forbidden, nil
	case now.Clients != nil && len(certs) == 0:
		return a, NoCertificate, nil
	case now.Clients != nil && now.certified(certs) != nil:
		return a, WrongCertificate, nil
	case len(now.Tokens) > 0 && !bears:
		return a, NoToken, nil
	case len(now.Tokens) > 0 && !now.knows(digest):
		return a, WrongToken, nil
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "": // a page could use a certificate that its reader has
		return a, FromBrowser, nil
	}
	a.Remote = "token"
	if now.Clients != nil {
		a.Remote = nameOf(certs[0])
		a.Certificate = fmt.Sprintf("%x", sha256.Sum256(certs[0].Raw))
	}
	return a, "", func(r *Remote) bool {
		return (r.Clients != nil || len(r.Tokens) > 0) && (r.Clients == nil || len(certs) > 0 && r.certified(certs) == nil) && (len(r.Tokens) == 0 || bears && r.knows(digest))
	}
}

// bearer returns the token of the one Authorization field.
func bearer(h http.Header) (string, bool) {
	vs := h.Values("Authorization")
	if len(vs) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(vs[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// knows compares with every token, and takes as long whichever it is.
func (r *Remote) knows(digest [sha256.Size]byte) bool {
	found := 0
	for _, t := range r.Tokens {
		found |= subtle.ConstantTimeCompare(t[:], digest[:])
	}
	return found == 1
}

// certified judges what a client showed in its handshake.
func (r *Remote) certified(certs []*x509.Certificate) error {
	if len(certs) > 8 {
		return errors.New("too many certificates")
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: r.Clients, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// nameOf is whom a certificate names: a URI, a DNS name, an address of mail, or
// the subject.
func nameOf(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	}
	return c.Subject.String()
}

// A boundedListener takes as many connections as there is room for, and closes
// the others.
type boundedListener struct {
	net.Listener
	rs *RemoteServer
}

// Accept waits for the next for which there is room.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := netip.Addr{}
		if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			if from = t.AddrPort().Addr().Unmap(); from.Is6() { // a network of its own has every host
				p, _ := from.Prefix(64)
				from = p.Addr()
			}
		}
		l.rs.mu.Lock()
		room := l.rs.all < remoteConns && l.rs.conns[from] < remoteConnsFrom
		if room {
			l.rs.all++
			l.rs.conns[from]++
		}
		l.rs.mu.Unlock()
		if !room {
			_ = c.Close()
			continue
		}
		return &boundedConn{Conn: c, left: func() {
			l.rs.mu.Lock()
			defer l.rs.mu.Unlock()
			l.rs.all--
			if l.rs.conns[from]--; l.rs.conns[from] == 0 {
				delete(l.rs.conns, from)
			}
		}}, nil
	}
}

type boundedConn struct {
	net.Conn
	once sync.Once
	left func()
}

// Close makes room for another.
func (c *boundedConn) Close() error {
	c.once.Do(c.left)
	return c.Conn.Close()
}
