package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/proxy"
	"sallyport/proxy/dns"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// A tenant is a sandbox of the sidecar with what serves it.
type tenant struct {
	s     *sidecar
	gate  *proxy.Gate
	names *sandbox.Names
	wg    sync.WaitGroup

	mu      sync.Mutex
	closing []func()
	closed  bool

	token  [sha256.Size]byte // digest of the token that is good once
	spent  bool
	cookie uint64 // of the namespace that was enrolled first
}

// enrolWithin bounds one enrolment, from connection to answer.
const enrolWithin = 5 * time.Second

// also has something done when the tenant closes, or at once when it did.
func (t *tenant) also(f func()) {
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.closing = append(t.closing, f)
	}
	t.mu.Unlock()
	if closed {
		f()
	}
}

// close cuts everything and waits for it.
func (t *tenant) close() {
	t.mu.Lock()
	t.closed = true
	fs := t.closing
	t.closing = nil
	t.mu.Unlock()
	for _, f := range fs {
		f()
	}
	t.gate.Close()
	t.wg.Wait()
}

// unlinked makes a Unix socket at path, in place of one that nobody serves.
func unlinked(network, path string) (*net.UnixListener, error) {
	if c, err := net.DialTimeout(network, path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s is served by another process", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
}

// explicit serves a proxy that clients are told of, on a Unix socket that belongs
// to one user: the kernel says who connects.
func (t *tenant) explicit(path string, owner int) error {
	l, err := unlinked("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	if owner >= 0 && owner != os.Getuid() {
		if err := os.Chown(path, owner, -1); err != nil {
			return err
		}
	}
	t.also(func() { _ = l.Close() })
	t.wg.Go(func() { _ = t.gate.ServeExplicit(&peerListener{l, owner}) })
	return nil
}

// A peerListener accepts connections of one user, and of root.
type peerListener struct {
	*net.UnixListener
	owner int
}

// Accept waits for the next that may come in.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		a, err := admin.Peer(c)
		if err == nil && (a.UID == 0 || int(a.UID) == l.owner || l.owner < 0 && int(a.UID) == os.Getuid()) {
			return c, nil
		}
		_ = c.Close()
	}
}

// expect opens the enrol socket of a sandbox, which is no way to command.
func (t *tenant) expect(control string) (admin.Ticket, error) {
	token := rand.Text()
	t.token = sha256.Sum256([]byte(token))
	path := filepath.Join(filepath.Dir(control), "enrol", t.gate.Sandbox().ID+".sock")
	l, err := unlinked("unixpacket", path)
	if err != nil {
		return admin.Ticket{}, err
	}
	if err := os.Chmod(path, 0o666); err != nil { // the token says who may, and what it is good for
		return admin.Ticket{}, err
	}
	t.also(func() { _ = l.Close(); _ = os.Remove(path) })
	t.wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			t.enrol(c)
		}
	})
	return admin.Ticket{Socket: path, Token: token}, nil
}

// errToken is all that a wrong enrolment learns.
var errToken = errors.New("the token is not the one, or was spent")

// enrol takes one message: the sockets of the sandbox's namespace.
func (t *tenant) enrol(c *net.UnixConn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(enrolWithin))
	socks, cookie, err := netns.TakeOffer(c, t.admit)
	sb := t.gate.Sandbox()
	d := map[string]string{"cookie": fmt.Sprint(cookie)}
	name := audit.SandboxEnrolled
	if err != nil {
		name, d["error"] = audit.EnrolRefused, err.Error()
	}
	ev := &audit.Event{Name: name, Sandbox: audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}, Lifecycle: &audit.Lifecycle{Detail: d}}
	if rerr := t.s.records.Append(ev); err == nil && rerr != nil {
		socks.Close()
		err = rerr
	}
	if err != nil {
		_, _ = c.Write([]byte(err.Error()))
		return
	}
	t.serve(socks)
	_, _ = c.Write([]byte(enrolled))
}

// enrolled is the answer to an offer that was taken.
const enrolled = "ok"

// admit spends the token at the first enrolment and pins the namespace; later
// ones must be of the same.
func (t *tenant) admit(token string, cookie uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := sha256.Sum256([]byte(token))
	switch {
	case t.closed:
		return errToken
	case t.spent && cookie == t.cookie:
		return nil
	case t.spent || subtle.ConstantTimeCompare(sum[:], t.token[:]) != 1:
		return errToken
	}
	if err := t.s.claim(cookie, t); err != nil {
		return err
	}
	t.spent, t.cookie = true, cookie
	return nil
}

// serve answers on everything that the sandbox can send to.
func (t *tenant) serve(socks *netns.Sockets) {
	t.also(socks.Close)
	serveSockets(&t.wg, t.gate, socks, t.names)
}

// serveSockets answers on all sockets of a sealed namespace, until they close.
func serveSockets(wg *sync.WaitGroup, gate *proxy.Gate, socks *netns.Sockets, names *sandbox.Names) {
	for _, l := range socks.TCP {
		wg.Go(func() { _ = gate.ServeTransparent(l) })
	}
	for _, l := range socks.Explicit {
		wg.Go(func() { _ = gate.ServeExplicit(l) })
	}
	d := &dns.Server{Names: names, Record: func(q dns.Query) {
		gate.Asked(audit.DNS{Question: q.Name, Type: q.Type, Rcode: q.Rcode, Answers: q.Answers, Transport: q.Transport})
	}, Exists: gate.Exists}
	for _, c := range socks.DNS {
		wg.Go(func() { _ = d.ServePacket(c) })
	}
	for _, l := range socks.DNSTCP {
		wg.Go(func() { _ = d.ServeTCP(l) })
	}
	wg.Go(func() {
		for {
			p, err := socks.Log.Read()
			if err != nil {
				return
			}
			gate.Refused(audit.Packet{Transport: p.Transport, Source: p.Source, Dest: p.Dest, Type: p.Type, Count: 1})
		}
	})
}
