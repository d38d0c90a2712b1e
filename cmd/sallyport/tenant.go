package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
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
	open    map[io.Closer]struct{}
	closed  bool
	planned string        // its name, when the configuration says what it is
	usual   bool          // the default policies decide
	gone    chan struct{} // closed when close has returned

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
	for c := range t.open {
		_ = c.Close()
	}
	t.mu.Unlock()
	for _, f := range fs {
		f()
	}
	t.gate.Close()
	t.wg.Wait()
}

// ended waits until everything is closed, for so long.
func (t *tenant) ended() {
	select {
	case <-t.gone:
	case <-time.After(stopWithin):
	}
}

// explicit serves a proxy that clients are told of, on a Unix socket that belongs
// to one user: the kernel says who connects.
func (t *tenant) explicit(path string, owner int) error {
	l, err := unixListener("unix", path, 0o600, owner)
	if err != nil {
		return err
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

// expect opens the enrol socket of a sandbox, which is no way to command. It is
// for who asked for the sandbox.
func (t *tenant) expect(control string, by admin.Actor) (admin.Ticket, error) {
	token := rand.Text()
	t.token = sha256.Sum256([]byte(token))
	dir := filepath.Join(filepath.Dir(control), "enrol")
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) { // not to be listed
		return admin.Ticket{}, err
	}
	path := filepath.Join(dir, t.gate.Sandbox().ID+".sock")
	l, err := unixListener("unixpacket", path, 0o600, int(by.UID))
	if err != nil {
		return admin.Ticket{}, err
	}
	t.also(func() { _ = l.Close(); _ = os.Remove(path) })
	room := make(chan struct{}, maxEnrolling)
	t.wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			a, err := admin.Peer(c)
			select {
			case room <- struct{}{}:
			default: // too many at once
				err = errToken
			}
			if err != nil || a.UID != 0 && a.UID != by.UID && int(a.UID) != os.Getuid() {
				_ = c.Close()
				continue
			}
			t.wg.Go(func() {
				defer func() { <-room }()
				forget := t.until(c)
				defer forget()
				t.enrol(c)
			})
		}
	})
	return admin.Ticket{Socket: path, Token: token}, nil
}

// maxEnrolling bounds the enrolments of one sandbox that are under way.
const maxEnrolling = 4

// until closes a connection with the tenant, unless it is forgotten before.
func (t *tenant) until(c io.Closer) (forget func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close()
		return func() {}
	}
	t.open[c] = struct{}{}
	return func() {
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
	}
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
	if err != nil {
		t.gate.Noted(ev) // may be many
	} else if err = t.s.records.Append(ev); err != nil {
		socks.Close()
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

// admit spends the token and makes the namespace this sandbox's.
func (t *tenant) admit(token string, cookie uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := sha256.Sum256([]byte(token))
	switch {
	case t.closed || t.spent || subtle.ConstantTimeCompare(sum[:], t.token[:]) != 1:
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
	t.also(socks.End)
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
