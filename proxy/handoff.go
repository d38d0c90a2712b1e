package proxy

import (
	"io"
	"log"
	"net"
	"sync"
)

// A handoff is a listener whose connections were accepted elsewhere.
type handoff struct {
	ch   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newHandoff() *handoff {
	return &handoff{ch: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for the next connection.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.ch:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and push fail from now on.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr is of no use: connections know their own.
func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// push hands a connection over, or closes it when nobody serves any more.
func (h *handoff) push(c net.Conn) {
	select {
	case h.ch <- c:
	case <-h.done:
		_ = c.Close()
	}
}

// What net/http says of broken clients is in the records already.
var discardLog = log.New(io.Discard, "", 0)
