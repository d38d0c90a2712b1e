package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"sallyport/proxy/frames"
	"sallyport/proxy/h2"
	"sallyport/proxy/records"
)

// uselessRecords is how many records of TLS that carry nothing may come in a second, and
// at once: new keys are honestly made once in millions of records (RFC 8446, 5.5).
const uselessRecords = 1000

// A slack is room for what clients send that carries nothing. The zero slack is full. It
// is safe for concurrent use.
type slack struct {
	frames  frames.Budget // of HTTP/2
	records pace          // of TLS
}

// slack is what counts on a connection: what its sandbox has, or, at a door, what
// strangers have there together, until one is none any more.
func (f *flow) slack() *slack {
	if s := f.route.shown; s != nil && !s.known.Load() {
		return &s.door.strangers.slack
	}
	return &f.gate.slack
}

// framed counts the frames of an HTTP/2 connection, in the clear, of which some bytes
// were read ahead (hostile 138).
func (f *flow) framed(c net.Conn, ahead int) *frames.Conn {
	return frames.NewConn(h2.NewFaults(c, f.faulty), ahead, func() *frames.Budget { return &f.slack().frames }, func() {
		f.flooded(refuse(http.StatusTooManyRequests, "http2_flood", "too many frames of HTTP/2 carry nothing"), "h2")
	})
}

// sealed counts the records of a TLS connection that is opened with these settings
// (hostile 45). A flood in its handshake is for the caller to refuse.
func (f *flow) sealed(c net.Conn, cfg *tls.Config) *records.Conn {
	return records.Server(c, cfg, func() bool { return f.slack().records.take(uselessRecords, time.Now()) }, func() { f.flooded(recordFlood(), "tls") })
}

func recordFlood() *Refusal {
	return refuse(http.StatusTooManyRequests, "tls_flood", "too many records of TLS carry nothing")
}

// unshaken is why there is no TLS.
func unshaken(err error, otherwise *Refusal) *Refusal {
	if errors.Is(err, records.ErrFlood) {
		return recordFlood()
	}
	return otherwise.because(err)
}

// faulty records what the server of HTTP/2 refuses before there is a request (hostile 391).
func (f *flow) faulty(is h2.Fault) {
	ref := refuse(http.StatusBadRequest, "http2_invalid", "HTTP/2 that is malformed, or a request that contradicts itself")
	if is.Stream == 0 {
		f.flooded(ref.operator("the connection ended with %s", is.Code), "h2")
		return
	}
	f.flooded(ref.operator("stream %d was reset with %s", is.Stream, is.Code), "h2")
}

// flooded records, or counts, why a connection or a stream is about to end.
func (f *flow) flooded(ref *Refusal, protocol string) {
	if f.route.ingress == "forward" { // to the proxy itself
		f.turnedAway(ref)
		return
	}
	f.refusedOpaque(ref, nil, protocol)
}
