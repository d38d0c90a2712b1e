package credentials

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxCoded is the size, in bytes, of the largest compressed gRPC message that is
// searched, as it comes and decoded.
const maxCoded = 16 << 20

var (
	errFrame    = errors.New("the answer is not made of gRPC messages")
	errTooLarge = errors.New("a compressed gRPC message is too large to be searched")
)

// messageCodings are the fields that say how the messages within a body are
// compressed, and how they may be.
var messageCodings = []struct{ is, accepts string }{
	{"Grpc-Encoding", "Grpc-Accept-Encoding"},
	{"Connect-Content-Encoding", "Connect-Accept-Encoding"},
}

// hiddenCoding is how an answer's messages are compressed, for one that is searched
// without looking into them; "" when they are not.
func hiddenCoding(h http.Header) string {
	for _, k := range messageCodings {
		for _, v := range h[k.is] {
			if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "identity") {
				return v
			}
		}
	}
	return ""
}

// A Room bounds what many answers hold in memory at once: messages that are
// compressed are searched when they are whole. Hold says why there is no more.
type Room interface {
	Hold(bytes int64) error
	Release(bytes int64)
}

// Within has what is held of the answer charged to a room. What is not released by
// the time its body is closed is the caller's to release.
func (g *Grant) Within(r Room) { g.room = r }

// messages search a gRPC body, which is made of messages with their lengths before
// them. What is found is masked, so that these lengths, and those within a message,
// stay true; a message that has come is never held; and one that is compressed
// goes on as it is without that.
type messages struct {
	scan   scan
	coding string // of messages that are compressed
	head   []byte // of a message, while it is not whole
	left   int    // of the message, bytes to come
	coded  []byte // what came of it, if it is compressed
	inside bool
	room   Room
	held   int64 // bytes that the room is charged
}

func newMessages(a *patterns, room Room, h http.Header) (*messages, error) {
	coding := strings.ToLower(h.Get("Grpc-Encoding"))
	if coding != "" && coding != "identity" {
		if _, closer, err := decoder(coding, http.NoBody); err != nil {
			return nil, err
		} else if closer != nil {
			closer()
		}
	}
	return &messages{scan: scan{a: a, even: true, same: true}, coding: coding, room: room}, nil
}

// hold charges for so many bytes more.
func (m *messages) hold(n int) error {
	if m.room == nil || n == 0 {
		return nil
	}
	err := m.room.Hold(int64(n))
	if err == nil {
		m.held += int64(n)
	}
	return err
}

// feed returns what can go on of what came. What it returned before has gone on.
func (m *messages) feed(dst, p []byte) ([]byte, error) {
	if gone := m.held - int64(len(m.coded)); m.room != nil && gone > 0 {
		m.room.Release(gone)
		m.held -= gone
	}
	for {
		if !m.inside {
			n := min(5-len(m.head), len(p))
			m.head = append(m.head, p[:n]...)
			p = p[n:]
			if len(m.head) < 5 {
				return dst, nil
			}
			size := binary.BigEndian.Uint32(m.head[1:])
			switch {
			case m.head[0]&0x7e != 0: // 1 is compressed, 0x80 a trailer of gRPC-web
				return dst, errFrame
			case m.head[0]&1 == 0:
				dst = append(dst, m.head...)
			case size > maxCoded:
				return dst, errTooLarge
			}
			m.inside, m.left = true, int(size)
		}
		n := min(m.left, len(p))
		if m.left -= n; m.head[0]&1 == 0 {
			dst = m.scan.feed(dst, p[:n])
		} else if err := m.hold(n); err != nil {
			return dst, err
		} else {
			m.coded = append(m.coded, p[:n]...)
		}
		p = p[n:]
		if m.left > 0 {
			return dst, nil
		}
		var err error
		if dst, err = m.end(dst); err != nil {
			return dst, err
		}
	}
}

// end lets go of a message that is whole.
func (m *messages) end(dst []byte) ([]byte, error) {
	if m.head[0]&1 == 1 {
		b, err := m.decoded()
		if err != nil {
			return dst, err
		}
		dst = binary.BigEndian.AppendUint32(append(dst, m.head[0]&^1), uint32(len(b)))
		dst = m.scan.feed(dst, b)
	}
	dst = m.scan.flush(dst)
	m.inside, m.head, m.coded = false, m.head[:0], nil
	return dst, nil
}

// cut reports whether a message is not whole.
func (m *messages) cut() bool { return m != nil && (m.inside || len(m.head) > 0) }

func (m *messages) decoded() ([]byte, error) {
	if m.coding == "" || m.coding == "identity" {
		return nil, fmt.Errorf("%w: one is compressed, and nothing says how", errFrame)
	}
	r, closer, err := decoder(m.coding, bytes.NewReader(m.coded))
	if err != nil {
		return nil, err
	}
	if closer != nil {
		defer closer()
	}
	var b []byte
	for piece := make([]byte, 32<<10); ; {
		n, err := r.Read(piece)
		if err := m.hold(n); err != nil {
			return nil, err
		}
		if b = append(b, piece[:n]...); len(b) > maxCoded {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
