package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/audit"
	"sallyport/proxy/h2"
)

// A stream is what CONNECT opened in HTTP/2, as a connection: it is read, written,
// ended in one direction, closed and, without linger, reset as TCP is. It is safe for
// concurrent use. Its methods do nothing to the response when the handler is gone.
type stream struct {
	net.Conn // a pipe, to which serve carries what the client sends
	far      net.Conn
	x        *exchange
	id       string
	frames   *h2.Stream
	done     chan struct{} // it is closed
	once     sync.Once

	failed  atomic.Pointer[error] // why what the client sends ended before its end
	hard    atomic.Bool           // closing it resets it
	broken  atomic.Bool           // it was reset
	closed  atomic.Bool
	late    atomic.Bool // the deadline of writing is over
	writing atomic.Int32

	gone sync.RWMutex // held for reading where the response is used
	over bool         // the handler is gone

	mu   sync.Mutex // of what follows
	w    http.ResponseWriter
	n    int64 // bytes written
	shut bool  // the end was written

	clock sync.Mutex
	timer *time.Timer // of the deadline; nil when there is none, or it is over
}

// stream opens a tunnel in the stream of a CONNECT, and stays until it has ended.
func (x *exchange) stream() {
	t := &stream{x: x, id: audit.NewID(), done: make(chan struct{}), w: x.w.ResponseWriter}
	t.Conn, t.far = net.Pipe()
	w := &streamWriter{x.w.ResponseWriter, t}
	x.srv.forward.ServeHTTP(w, x.r)
	if t.frames == nil { // it was refused
		return
	}
	t.serve()
}

// A streamWriter gives the stream to who takes the connection.
type streamWriter struct {
	http.ResponseWriter
	t *stream
}

// Hijack returns the stream, of which nothing was read.
func (w *streamWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.t, bufio.NewReadWriter(bufio.NewReaderSize(w.t, 16), nil), nil
}

// opened answers a CONNECT and lets its stream meet the connections.
func (x *exchange) opened(t *stream) {
	g := x.gate
	if !g.enter() { // each tunnel counts as a connection does
		x.recorded = false
		x.refuse(refuse(http.StatusTooManyRequests, "too_many_connections", "this sandbox has too many connections open"))
		return
	}
	t.frames = x.flow.door.Mark(t.id)
	t.w.Header().Set(streamMark, t.id)
	t.w.WriteHeader(http.StatusOK)
	_ = x.rc.Flush() // a client that is gone is noticed by who reads
	r := route{ingress: "connect", connect: x.target, shown: x.flow.route.shown, via: x.via}
	g.goes(t, func() { g.carry(t, r) })
}

// serve carries what the client sends to who reads it, until the stream is closed.
func (t *stream) serve() {
	b := relayBuffers.Get().(*[]byte)
	_, err := io.CopyBuffer(struct{ io.Writer }{t.far}, struct{ io.Reader }{t.x.r.Body}, *b)
	clear(*b)
	relayBuffers.Put(b)
	if err != nil {
		t.failed.Store(&err)
	}
	_ = t.far.Close()
	<-t.done
	t.gone.Lock()
	t.over = true
	t.gone.Unlock()
	t.frames.Leave()
	if t.broken.Load() {
		panic(http.ErrAbortHandler)
	}
}

// Read reads what the client sends, up to its end.
func (t *stream) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if e := t.failed.Load(); e != nil && errors.Is(err, io.EOF) {
		err = *e
	}
	return n, err
}

// Write sends a piece, and returns when it is on its way.
func (t *stream) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone.RLock()
	defer t.gone.RUnlock()
	t.writing.Add(1)
	defer t.writing.Add(-1)
	switch {
	case t.over || t.shut || t.closed.Load():
		return 0, net.ErrClosed
	case t.late.Load():
		return 0, os.ErrDeadlineExceeded
	}
	stuck := time.AfterFunc(t.x.gate.idle(), t.abort) // a client that gives no window is not waited for (hostile 136)
	defer stuck.Stop()
	n, err := t.w.Write(p)
	if err == nil {
		err = t.x.rc.Flush()
	}
	t.n += int64(n)
	if err != nil && t.late.Load() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// CloseWrite ends what is sent to the client, which may send more.
func (t *stream) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut || t.closed.Load() {
		return net.ErrClosed
	}
	t.shut = true
	return t.frames.End(t.n)
}

// Close ends the stream in both directions. One on which somebody still writes is reset.
func (t *stream) Close() error {
	t.once.Do(func() {
		t.closed.Store(true)
		if t.hard.Load() || t.writing.Load() > 0 {
			t.abort()
		}
		_ = t.Conn.Close()
		_ = t.x.r.Body.Close()
		close(t.done)
	})
	return nil
}

// abort resets the stream: who writes fails, and the client sees a cut.
func (t *stream) abort() {
	t.broken.Store(true)
	t.gone.RLock()
	defer t.gone.RUnlock()
	if !t.over {
		_ = t.x.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// SetLinger with 0 makes Close reset the stream; with less it ends it.
func (t *stream) SetLinger(sec int) error {
	t.hard.Store(sec == 0)
	return nil
}

// SetDeadline bounds reading and writing.
func (t *stream) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

// SetWriteDeadline bounds writing. Who writes when it is over resets the stream, since
// nobody knows how much arrived.
func (t *stream) SetWriteDeadline(at time.Time) error {
	t.clock.Lock()
	defer t.clock.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	t.late.Store(false)
	expire := func() {
		t.late.Store(true)
		if t.writing.Load() > 0 {
			t.abort()
		}
	}
	if left := time.Until(at); at.IsZero() {
		return nil
	} else if left > 0 {
		t.timer = time.AfterFunc(left, expire)
		return nil
	}
	expire()
	return nil
}

// LocalAddr is that of the connection.
func (t *stream) LocalAddr() net.Addr { return t.x.flow.raw.LocalAddr() }

// RemoteAddr is that of the connection.
func (t *stream) RemoteAddr() net.Addr { return t.x.flow.raw.RemoteAddr() }
