package sidecar

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// An enrolment is which namespace is a sandbox's, and who may say so. A token is
// good once; whoever holds the sockets gets another, for the next sidecar.
type enrolment struct {
	by     uint32              // user id that may enrol, beside root and ours
	tokens [][sha256.Size]byte // digests of those that are good: one, or two until the second is known to have arrived
	cookie uint64              // of the namespace that was enrolled; 0 is none
	holds  bool                // somebody keeps its sockets over our restart
	held   bool                // and is connected now
	socks  *netns.Sockets      // what is served
	socket string              // where a namespace is handed over
	late   *time.Timer         // makes room for another; nil when none is awaited
	dir    string              // of the socket and the token; "" when the token is told
}

const (
	// EnrolWithin bounds one enrolment, from connection to answer.
	EnrolWithin = 5 * time.Second
	// rejoinWithin is how long a namespace that was enrolled with the sidecar before
	// us may take to come back. Who holds it tries once a second.
	rejoinWithin = 30 * time.Second
	// TokenFile and EnrolSocket lie in the directory that the configuration names.
	TokenFile   = "token"
	EnrolSocket = "enrol.sock"
	// maxEnrolling bounds the enrolments of one sandbox that are under way.
	maxEnrolling = 4
)

// An Enrolled is the answer to an offer.
type Enrolled struct {
	Error string `json:"error,omitempty"`
	Name  string `json:"name,omitempty"`
	CA    string `json:"ca,omitempty"`
	Token string `json:"token,omitempty"` // of the next offer, to whoever holds

	Placeholders map[string]string `json:"placeholders,omitempty"` // of credentials, by variable
}

var (
	// errToken is all that a wrong enrolment learns.
	errToken = errors.New("the token is not the one, or was spent")
	errHeld  = errors.New("the sandbox is enrolled")
	// errUnkept means that the enrolment could not be written down, and did not happen.
	errUnkept = errors.New("the sidecar cannot keep the enrolment now")
)

// enrolAt is where a sandbox enrols that the configuration gives no directory.
func (s *sidecar) enrolAt(id string) string {
	return filepath.Join(filepath.Dir(s.file.Control.Socket.S), enrolDirectory, id)
}

// place decides where the sandbox enrols: where the configuration says, or beside
// the control socket. A sandbox that outlives its namespace has a directory of its
// own there, with its token; nobody can list what is above.
func (t *tenant) place(way sandbox.Way) error {
	id := t.gate.Sandbox().ID
	if t.dir == "" {
		dir := t.s.enrolAt(id)
		if err := os.Mkdir(filepath.Dir(dir), 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		t.socket = dir + ".sock"
		if !way.Lasts() {
			return nil
		}
		t.dir = dir
		t.also(func() {
			if !t.s.stopping.Load() { // it may be mounted into a container
				_ = os.Remove(t.dir)
			}
		})
	}
	t.socket = filepath.Join(t.dir, EnrolSocket)
	return os.MkdirAll(t.dir, 0o755)
}

// expect opens the enrol socket of a sandbox, which is no way to command.
func (t *tenant) expect() error {
	l, err := unixListener("unixpacket", t.socket, 0o600, int(t.by))
	if err != nil {
		return err
	}
	t.also(func() {
		_ = l.Close()
		_ = os.Remove(t.socket)
		if t.dir != "" {
			_ = os.Remove(filepath.Join(t.dir, TokenFile))
		}
	})
	room := make(chan struct{}, maxEnrolling)
	t.wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // descriptors are short
				time.Sleep(100 * time.Millisecond)
				continue
			}
			a, err := admin.Peer(c)
			if err != nil || a.UID != 0 && a.UID != t.by && int(a.UID) != os.Getuid() {
				_ = c.Close()
				continue
			}
			select {
			case room <- struct{}{}:
			default: // too many at once
				_ = c.Close()
				continue
			}
			t.wg.Go(func() {
				defer c.Close()
				forget := t.until(c)
				defer forget()
				socks := t.enrol(c)
				<-room
				if socks != nil {
					t.hold(c, socks)
				}
			})
		}
	})
	return nil
}

// enrol takes one message: the sockets of the sandbox's namespace. It returns
// those that somebody holds.
func (t *tenant) enrol(c *net.UnixConn) *netns.Sockets {
	_ = c.SetDeadline(time.Now().Add(EnrolWithin))
	next := rand.Text()
	admitted := false
	socks, of, err := netns.TakeOffer(c, func(of netns.Offering) error {
		err := t.admit(of, next)
		admitted = err == nil
		return err
	})
	sb := t.gate.Sandbox()
	d := map[string]string{"cookie": fmt.Sprint(of.Cookie)}
	ev := &audit.Event{Name: audit.SandboxEnrolled, Sandbox: audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}, Lifecycle: &audit.Lifecycle{Detail: d}}
	if err != nil {
		ev.Name, d["error"] = audit.EnrolRefused, err.Error()
		t.gate.Noted(ev)               // may be many
		if errors.Is(err, errUnkept) { // why is not for it to know
			err = errUnkept
		}
		_ = answerOffer(c, Enrolled{Error: err.Error()})
		if admitted {
			t.cameToNothing()
		}
		return nil
	}
	answer := Enrolled{Name: sb.Name, CA: string(t.s.issuer.CAPEM()), Placeholders: t.s.placeholders(sb)}
	if of.Hold {
		answer.Token = next
	}
	if err = t.s.records.Append(ev); err == nil {
		err = answerOffer(c, answer)
	}
	if err == nil && of.Hold {
		err = t.confirmed(c, next)
	}
	if err != nil {
		socks.Close()
		t.cameToNothing()
		return nil
	}
	t.serve(socks)
	if !of.Hold {
		return nil
	}
	return socks
}

// cameToNothing gives whoever was admitted, and went or did not hear of it, a while
// to try again with a token that it knows; then there is room for another.
func (t *tenant) cameToNothing() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	t.await(EnrolWithin, "its enrolment came to nothing")
}

func answerOffer(c *net.UnixConn, a Enrolled) error {
	b, err := json.Marshal(a)
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}

// admit spends the token and makes the namespace this sandbox's.
func (t *tenant) admit(of netns.Offering, next string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum, good := sha256.Sum256([]byte(of.Token)), 0
	for _, token := range t.tokens {
		good |= subtle.ConstantTimeCompare(sum[:], token[:])
	}
	switch {
	case t.closed || good != 1:
		return errToken
	case t.held:
		return errHeld
	case t.cookie != 0 && t.cookie != of.Cookie:
		return errors.New("the namespace is not the one that was enrolled first")
	}
	if err := t.s.claim(of.Cookie, t); err != nil {
		return err
	}
	was := t.enrolment
	t.tokens, t.cookie, t.holds, t.held = nil, of.Cookie, of.Hold, of.Hold
	if of.Hold {
		t.tokens = [][sha256.Size]byte{sum, sha256.Sum256([]byte(next))}
	}
	err := t.keep()
	if err == nil && t.dir != "" {
		if err = os.Remove(filepath.Join(t.dir, TokenFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		if was.cookie != of.Cookie {
			t.s.unclaim(of.Cookie, t)
		}
		t.enrolment = was
		return fmt.Errorf("%w: %w", errUnkept, errors.Join(err, t.keep()))
	}
	if t.late != nil {
		t.late.Stop()
	}
	return nil
}

// confirmed waits until whoever holds has the next token; the one before it is
// good no more.
func (t *tenant) confirmed(c *net.UnixConn, next string) error {
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errToken
	}
	t.tokens = [][sha256.Size]byte{sha256.Sum256([]byte(next))}
	return t.keep()
}

// hold waits until whoever holds the sockets is gone, which is when the namespace
// ends. When it is we who go, the sockets stay what they are.
func (t *tenant) hold(c *net.UnixConn, socks *netns.Sockets) {
	_ = c.SetDeadline(time.Time{})
	_, _ = c.Read(make([]byte, 1)) // there is nothing to say
	t.mu.Lock()
	closed := t.closed
	t.held = false
	t.mu.Unlock()
	if !closed {
		socks.End()
		t.released("its namespace has ended")
	}
}

// serve answers on everything that the sandbox can send to.
func (t *tenant) serve(socks *netns.Sockets) {
	t.mu.Lock()
	t.socks = socks
	closed := t.closed
	t.mu.Unlock()
	if closed {
		socks.End()
		return
	}
	ServeSockets(&t.wg, t.gate, socks, t.names)
}

// letGo ends what is served. At our own end, what somebody holds stays as it is.
func (t *tenant) letGo(socks *netns.Sockets, held bool) {
	switch {
	case socks == nil:
	case held && t.s.stopping.Load():
		go socks.Close() // who else has them may have made it wait
	default:
		socks.End()
	}
}

// released makes room for another namespace. A sandbox that was made for one
// command ends with it.
func (t *tenant) released(why string) {
	sb := t.gate.Sandbox()
	ev := &audit.Event{Name: audit.SandboxReleased, Sandbox: audit.Sandbox{ID: sb.ID, Name: sb.Name, Way: string(sb.Identity.Way), Labels: sb.Labels}, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"reason": why}}}
	if err := t.s.records.Append(ev); err != nil {
		t.s.log.Error().Err(err).Str("sandbox", sb.Name).Msg("record")
	}
	if sb.Identity.Way == sandbox.WayRun {
		go func() { _ = t.s.Remove(context.Background(), nobodyAsked, sb.ID) }() // it waits for us
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.held {
		return
	}
	t.s.unclaim(t.cookie, t)
	t.tokens, t.cookie, t.holds, t.socks = nil, 0, false, nil
	if _, err := t.invite(); err != nil {
		t.s.log.Error().Err(err).Str("sandbox", sb.Name).Msg("enrolment")
		t.await(rejoinWithin, "it could not invite another")
	}
}

// invite makes a token, the only one that is good from then on, for the next
// namespace. The caller holds the lock.
func (t *tenant) invite() (string, error) {
	token := rand.Text()
	t.tokens = [][sha256.Size]byte{sha256.Sum256([]byte(token))}
	if err := t.keep(); err != nil {
		return "", err
	}
	if t.dir == "" {
		return token, nil
	}
	return token, handOver(filepath.Join(t.dir, TokenFile), token+"\n", int(t.by))
}

// awaited gives a namespace its time: one that was enrolled before we started, or
// that of a command that is being made.
func (t *tenant) awaited() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.await(rejoinWithin, "its namespace did not come")
}

// await makes room for another namespace unless one is enrolled by then. The caller
// holds the lock.
func (t *tenant) await(within time.Duration, why string) {
	if t.closed {
		return
	}
	if t.late != nil {
		t.late.Stop()
	}
	t.late = time.AfterFunc(within, func() {
		t.mu.Lock()
		gone := !t.closed && !t.held && t.socks == nil
		t.mu.Unlock()
		if gone {
			t.released(why)
		}
	})
}
