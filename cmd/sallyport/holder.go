package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/cmd/sidecar"
	"sallyport/sandbox/netns"
)

// A holder has the sockets of a sealed namespace and offers them to a sidecar: once,
// and again whenever the sidecar starts anew. Nothing is accepted on them here, so
// what connects meanwhile waits.
type holder struct {
	socket string // where to enrol
	token  string // of the next offer
	socks  *netns.Sockets
	once   bool         // they are not kept: nothing is offered again
	tell   func(string) // of what a person should know
	conn   *net.UnixConn
}

// errNotTaken means that the sidecar answered, and refused.
var errNotTaken = errors.New("the sidecar does not take the sandbox")

// enrol offers the sockets and waits until they are taken. The connection stays:
// its end tells each side of the other's.
func (h *holder) enrol(ctx context.Context) (sidecar.Enrolled, error) {
	var d net.Dialer
	var a sidecar.Enrolled
	c, err := d.DialContext(ctx, "unixpacket", h.socket)
	if err != nil {
		return a, fmt.Errorf("enrolling with the sidecar: %w", err)
	}
	u := c.(*net.UnixConn)
	a, err = h.offer(u)
	if err != nil {
		_ = u.Close()
		return a, err
	}
	h.conn, h.token = u, a.Token
	return a, nil
}

func (h *holder) offer(c *net.UnixConn) (a sidecar.Enrolled, err error) {
	_ = c.SetDeadline(time.Now().Add(sidecar.EnrolWithin))
	if err := h.socks.Offer(c, h.token, !h.once); err != nil {
		return a, fmt.Errorf("enrolling with the sidecar: %w", err)
	}
	b := make([]byte, 256<<10)
	n, err := c.Read(b)
	if err != nil {
		return a, fmt.Errorf("enrolling with the sidecar: %w", err)
	}
	if err := json.Unmarshal(b[:n], &a); err != nil {
		return a, errors.New("enrolling with the sidecar: its answer is none")
	}
	if a.Error != "" {
		return a, fmt.Errorf("%w: %s", errNotTaken, a.Error)
	}
	if h.once {
		return a, nil
	}
	if _, err := c.Write([]byte{'k'}); err != nil { // the next token has arrived
		return a, fmt.Errorf("enrolling with the sidecar: %w", err)
	}
	return a, c.SetDeadline(time.Time{})
}

// again is how long to wait between offers.
const again = 500 * time.Millisecond

// keep offers the sockets again whenever the sidecar went, until ctx ends.
func (h *holder) keep(ctx context.Context) {
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) // whoever reads what it tells may be gone
	for {
		c := h.conn
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
		_, _ = c.Read(make([]byte, 1))
		stop()
		_ = c.Close()
		if ctx.Err() != nil {
			return
		}
		h.tell("the sidecar is gone: there is no network until it is back")
		if !h.rejoin(ctx) {
			return
		}
		h.tell("the sidecar is back")
	}
}

// rejoin offers the sockets until they are taken, or ctx ends.
func (h *holder) rejoin(ctx context.Context) bool {
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(again):
		}
		_, err := h.enrol(ctx)
		if err == nil {
			return true
		}
		if errors.Is(err, errNotTaken) && err.Error() != said {
			said = err.Error()
			h.tell(said)
		}
	}
}
