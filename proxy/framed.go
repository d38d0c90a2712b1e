package proxy

import (
	"net"

	"sallyport/proxy/frames"
)

// framed counts the frames of an HTTP/2 connection, in the clear, of which some bytes
// were read ahead (hostile 138).
func (f *flow) framed(c net.Conn, ahead int) *frames.Conn {
	return frames.NewConn(c, ahead, f.room, func() {
		ref := refuse(429, "http2_flood", "too many frames of HTTP/2 carry nothing")
		if f.route.ingress == "forward" {
			f.turnedAway(ref)
			return
		}
		f.refusedOpaque(ref, nil, "h2")
	})
}

// room is what the frames of a connection are counted against: what its sandbox has, or,
// at a door, what strangers have there together, until one is none any more.
func (f *flow) room() *frames.Budget {
	if s := f.route.shown; s != nil && !s.known.Load() {
		return &s.door.strangers.frames
	}
	return &f.gate.frames
}
