package sidecar

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"sallyport/admin"
	"sallyport/proxy"
	"sallyport/sandbox"
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
	door    *door
	at      string        // where its explicit proxy has a Unix socket
	planned string        // its name, when the configuration says what it is
	said    string        // what the configuration says of it that a patch changes
	usual   bool          // the default policies decide
	gone    chan struct{} // closed when close has returned

	enrolment
}

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
	if t.late != nil {
		t.late.Stop()
	}
	fs, socks := t.closing, t.socks
	t.closing, t.socks = nil, nil
	held := t.holds
	for c := range t.open {
		_ = c.Close()
	}
	t.mu.Unlock()
	for _, f := range slices.Backward(fs) {
		f()
	}
	t.letGo(socks, held)
	t.gate.Close()
	t.wg.Wait()
	_ = t.names.Close()
}

// endWithin is how long the removal of a sandbox waits for what it had open.
const endWithin = 2 * time.Second

// ended waits until everything is closed, for so long.
func (t *tenant) ended() {
	select {
	case <-t.gone:
	case <-time.After(endWithin):
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
