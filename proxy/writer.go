package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"sync"

	"sallyport/proxy/canon"
)

// maxInformational bounds the 1xx answers of one exchange (hostile 74).
const maxInformational = 16

// A responseWriter sends each piece of a stream at once, passes 1xx on, counts,
// and remembers when the answer was cut. It is used by one exchange.
type responseWriter struct {
	http.ResponseWriter
	x        *exchange
	from     *arrival // nil when the answer is our own
	broken   error
	scrubbed interface{ Load() int64 }

	mu     sync.Mutex
	wrote  bool
	status int
	n      int64
	early  int
	final  bool // the transport has ended: nothing informational follows
	hits   int  // secrets in what was informational
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// noMoreHints ends the time in which an upstream's informational answers are
// passed on. They come from a goroutine of the transport, and the header of the
// answer is one map: from here on it is the handler's alone.
func (w *responseWriter) noMoreHints() {
	w.mu.Lock()
	w.final = true
	w.mu.Unlock()
}

func (w *responseWriter) hinted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits
}

// got1xx passes an informational answer of the upstream on.
func (w *responseWriter) got1xx(code int, h textproto.MIMEHeader) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.early++; w.early > maxInformational {
		return refuse(http.StatusBadGateway, "upstream_malformed", "the destination sends informational answers without end")
	}
	if w.wrote || w.final || code == http.StatusContinue || code == http.StatusSwitchingProtocols || w.x.r.ProtoMajor == 1 && w.x.r.ProtoMinor == 0 {
		return nil
	}
	out := http.Header(h).Clone()
	canon.StripResponse(out)
	if w.x.grant != nil {
		w.hits += w.x.grant.ScrubHeader(out)
	}
	dst := w.ResponseWriter.Header()
	clear(dst)
	for k, v := range out {
		dst[k] = v
	}
	w.ResponseWriter.WriteHeader(code)
	clear(dst)
	return nil
}

// goOn tells a client that waits for it to send its body (RFC 9110, 10.1.1). Whoever
// reads the body would, but the destination, which is not asked, may answer earlier, and
// what comes behind its head is no informational answer any more. Over HTTP/2 net/http
// tells nobody who waits.
func (w *responseWriter) goOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.x.arrives
	if w.wrote || w.final || a == nil || a.asked.Load() || !w.x.expects || !w.x.r.ProtoAtLeast(1, 1) {
		return
	}
	w.x.expects = false
	w.ResponseWriter.WriteHeader(http.StatusContinue)
}

// WriteHeader sends the head; when nobody knows how long the body will be, it
// does not wait for its first byte.
func (w *responseWriter) WriteHeader(code int) {
	w.mu.Lock()
	w.wrote, w.status = true, code
	h := w.ResponseWriter.Header()
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // none is guessed
	}
	if w.x.id != "" {
		h.Set("Sallyport-Decision", w.x.id)
	}
	if w.x.switches { // the server does not know that nothing more is read
		h.Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(code)
	w.mu.Unlock()
	if w.from != nil && w.from.left < 0 {
		w.Flush()
	}
}

// Flush sends what is buffered.
func (w *responseWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Write sends a piece of the body.
func (w *responseWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	if w.from != nil && w.from.more() && err == nil {
		w.Flush()
	}
	if err != nil && w.broken == nil {
		w.x.clientGone(err)
	}
	return n, err
}

// An arrival is an upstream's body as it comes: whether more of it is to come
// says whether what was written may wait.
type arrival struct {
	io.ReadCloser
	left  int64 // less than 0 when nobody knows
	done  bool
	clock *clock
	heard func(n int) // told of what came; nil tells nobody
}

// Read reads what has come.
func (a *arrival) Read(p []byte) (int, error) {
	a.clock.listening()
	n, err := a.ReadCloser.Read(p)
	a.clock.heard()
	if a.heard != nil {
		a.heard(n)
	}
	if a.left > 0 {
		a.left -= int64(n)
	}
	a.done = a.done || errors.Is(err, io.EOF) // what comes with the news that it broke is not kept
	return n, err
}

func (a *arrival) more() bool { return !a.done && a.left != 0 }

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// ReadFrom copies with a pooled buffer. The buffer is cleared before another
// sandbox can be given it (hostile 129).
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	b := copyBuffers.Get().(*[]byte)
	defer func() { clear(*b); copyBuffers.Put(b) }()
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}
