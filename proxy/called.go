package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"sallyport/audit"
	"sallyport/policy"
	"sallyport/proxy/canon"
)

// grpcHead is the length of what stands before each message of gRPC.
const grpcHead = 5

// A called is one direction of a gRPC call: it counts messages, and lets policy
// judge each before any of it passes. It reads as it is read, and holds no more than
// the head of a message. It is for one goroutine, but for its count.
type called struct {
	io.Reader
	x        *exchange
	kind     canon.GRPC
	toOrigin bool

	messages atomic.Int64
	head     [grpcHead]byte
	held     int   // of head: what came of one that is not whole
	left     int64 // of a message, bytes to come
	trailed  bool  // the trailer of gRPC-web has begun
	free     bool  // the message began when nobody judged it
	err      error // after what was granted was read
}

// Read returns what came of messages that are granted.
func (c *called) Read(p []byte) (int, error) {
	for c.err == nil {
		if len(p) <= c.held {
			return 0, io.ErrShortBuffer
		}
		k := copy(p, c.head[:c.held])
		n, err := c.Reader.Read(p[k:])
		n, c.held = n+k, 0
		if n = c.through(p[:n]); c.err == nil {
			c.err = err
			if c.held > 0 && err == io.EOF { //nolint:errorlint // as readers return it
				c.err = io.ErrUnexpectedEOF
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, c.err
}

// through goes over what came and returns how much of it may pass.
func (c *called) through(b []byte) int {
	for i := 0; i < len(b); {
		if c.left > 0 {
			if c.free && c.x.gate.judged() {
				c.err = unjudged()
				return i
			}
			n := min(c.left, int64(len(b)-i))
			i, c.left = i+int(n), c.left-n
			continue
		}
		if len(b)-i < grpcHead {
			c.held = copy(c.head[:], b[i:])
			return i
		}
		flags, size := b[i], int64(binary.BigEndian.Uint32(b[i+1:]))
		if c.err = c.judge(flags, size); c.err != nil {
			return i
		}
		i, c.left = i+grpcHead, size
	}
	return len(b)
}

// maxWebTrailer bounds a trailer of gRPC-web, which nobody judges, as fields are.
const maxWebTrailer = maxHead

// judge asks about a message by what stands before it. What is no message, where
// messages are judged, is the trailer that ends an answer of gRPC-web, or refused:
// it would be a way around (hostile 360).
func (c *called) judge(flags byte, size int64) error {
	trailer, behind := flags&0x80 != 0, c.trailed
	if c.trailed = behind || trailer; !trailer {
		c.messages.Add(1)
	}
	w := c.x.gate.ward.Load()
	c.free = !w.policy.Has(policy.Message)
	switch {
	case c.free:
		return nil
	case trailer && !behind && !c.toOrigin && c.kind == canon.GRPCWeb && size <= maxWebTrailer:
		return nil
	case flags > 1 || behind:
		return refuse(http.StatusForbidden, policy.CodeUncertain, "a gRPC message has a form that is not known").because(fmt.Errorf("flags %#x", flags))
	}
	m := &policy.MessageFacts{Direction: direction(c.toOrigin), Kind: "grpc", Size: size, BodyState: policy.BodyUnparsed}
	if size == 0 {
		m.BodyState = policy.BodyNone
	}
	return c.x.judgeMessage(w, m)
}

// calls puts the judgement of messages before a body of gRPC. One in base64 is
// refused where messages are judged, since nobody looks into it.
func (x *exchange) calls(r io.Reader, contentType string, toOrigin bool) (io.Reader, error) {
	kind := canon.GRPCOf(contentType)
	if kind == canon.NoGRPC {
		return r, nil
	}
	if kind == canon.GRPCWebText {
		if x.gate.judged() {
			return nil, inBase64()
		}
		return &veiled{r, x}, nil
	}
	c := &called{Reader: r, x: x, kind: kind, toOrigin: toOrigin}
	if toOrigin {
		x.asks = c
	} else {
		x.answers = c
	}
	return c, nil
}

func inBase64() *Refusal {
	return refuse(http.StatusForbidden, policy.CodeUncertain, "messages in base64 cannot be judged")
}

// A veiled body is of messages that nobody can judge. It ends when they are to be
// judged (hostile 368).
type veiled struct {
	io.Reader
	x *exchange
}

// Read reads while nobody judges.
func (v *veiled) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if v.x.gate.judged() {
		return 0, inBase64()
	}
	return n, err
}

// called is what a record says of a call's messages; nil of what is none.
func (x *exchange) called() *audit.Messages {
	if x.asks == nil && x.answers == nil {
		return x.result.Messages
	}
	m := &audit.Messages{}
	if x.asks != nil {
		m.In = x.asks.messages.Load()
	}
	if x.answers != nil {
		m.Out = x.answers.messages.Load()
	}
	return m
}
