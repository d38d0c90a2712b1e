package records

import (
	"encoding/binary"
	"net"
)

// headSize is the length of what stands before a record: RFC 8446, 5.1.
const headSize = 5

// A wire is what TLS is read from, a record at a time at most: so whoever reads knows
// which records its bytes came in. Read is for one goroutine at a time.
type wire struct {
	net.Conn
	records int         // that were begun
	room    func() bool // for another, while hands are shaken; nil afterwards
	head    [headSize]byte
	have    int    // of head
	left    int    // of the record, bytes to come
	ahead   []byte // read, of records behind
	kept    []byte // what ahead is a part of
}

// NetConn returns the connection below.
func (w *wire) NetConn() net.Conn { return w.Conn }

// Read reads no further than to the end of a record.
func (w *wire) Read(p []byte) (n int, err error) {
	if len(w.ahead) > 0 {
		n = copy(p, w.ahead)
	} else if n, err = w.Conn.Read(p); n <= 0 {
		return n, err
	}
	begun := w.records
	k := w.within(p[:n])
	if w.records > begun && w.room != nil && !w.room() {
		return 0, ErrFlood
	}
	switch {
	case len(w.ahead) > 0:
		if w.ahead = w.ahead[k:]; len(w.ahead) == 0 {
			w.ahead, w.kept = nil, nil
		}
	case k < n:
		w.kept = append(w.kept[:0], p[k:n]...)
		w.ahead, err = w.kept, nil
	}
	return k, err
}

// within is how much of p belongs to the record that has begun, or begins here.
func (w *wire) within(p []byte) (n int) {
	if w.left == 0 {
		if w.have == headSize {
			w.have = 0
		}
		if w.have == 0 && len(p) > 0 {
			w.records++
		}
		n = copy(w.head[w.have:], p)
		if w.have += n; w.have < headSize {
			return n
		}
		w.left = int(binary.BigEndian.Uint16(w.head[3:]))
	}
	k := min(w.left, len(p)-n)
	w.left -= k
	return n + k
}
