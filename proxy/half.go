package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"sallyport/credentials"
	"sallyport/proxy/ws"
)

const (
	controlRate = 100     // control frames that a side may send in a second, and at once
	maxDrain    = 1 << 20 // bytes that are read of a side that was told to end
)

// A half is one direction of a WebSocket.
type half struct {
	r        *relay
	toOrigin bool
	src, dst *end
	read     *ws.Reader
	search   *credentials.Search // for secrets; nil where none can be
	judge    *judge
	lane     *lane // counts bytes

	messages atomic.Int64
	closed   atomic.Int64 // the code of the close that it carried; 0 before
	flood    pace         // of control frames
	hits     int          // secrets that were found
	out      []byte       // what a search found to be clean
	fresh    bool         // the next of it begins a message
}

// A sendError is of the side that is written to.
type sendError struct{ error }

func (e *sendError) Unwrap() error { return e.error }

// run passes on what comes until a close, or until it cannot. When nothing is
// passed any more it reads on for the close that answers ours.
func (h *half) run() {
	defer h.read.Release()
	defer h.judge.forget()
	for {
		p, err := h.read.Next()
		if err == nil && !h.r.over() {
			err = h.pass(p)
		}
		switch {
		case err != nil:
			if !h.failed(err) {
				return
			}
		case p.Op == ws.Close:
			h.r.late.Reset(closeWait)
			return
		}
	}
}

// pass takes one piece to the other side.
func (h *half) pass(p ws.Piece) error {
	h.r.span.newest.Store(int64(time.Since(h.r.span.start)))
	if p.Op.Control() {
		return h.control(p)
	}
	h.lane.n.Add(int64(len(p.Payload)))
	if most := h.lane.most.Load(); most > 0 && h.lane.n.Load() > most {
		if h.toOrigin {
			return tooLarge()
		}
		return refuse(http.StatusBadGateway, "response_too_large", "the answer is larger than policy allows")
	}
	if p.First {
		h.messages.Add(1)
	}
	if h.search == nil {
		return h.judge.take(p)
	}
	h.fresh = h.fresh || p.First
	h.out = h.search.Feed(h.out[:0], p.Payload, p.Last)
	h.hits += h.search.Found()
	if len(h.out) == 0 && !p.Last {
		return nil
	}
	p.Payload, p.First, h.fresh = h.out, h.fresh, false
	return h.judge.take(p)
}

func (h *half) send(p ws.Piece) error {
	if err := h.dst.w.Write(p); err != nil {
		return &sendError{err}
	}
	return nil
}

// control passes a frame of the connection on. What it carries is judged by nobody:
// pings carry a number in its place, and where messages are judged a close loses
// its reason (hostile 300).
func (h *half) control(p ws.Piece) error {
	code, reason, _ := ws.ParseClose(p.Payload)
	if p.Op == ws.Close {
		h.closed.Store(int64(code))
		h.r.closer.CompareAndSwap(nil, h)
	} else if !h.flood.take(controlRate, time.Now()) {
		return &ws.Error{Code: ws.Policy, Reason: "too many control frames"}
	}
	switch p.Op {
	case ws.Close:
		if h.r.x.gate.judged() {
			reason = ""
		} else if h.search != nil {
			reason = string(h.r.x.grant.Search().Feed(nil, []byte(reason), true))
		}
		p.Payload = ws.FormatClose(code, reason)
	case ws.Ping:
		p.Payload = h.r.pings.sent(h.toOrigin, p.Payload)
	case ws.Pong:
		b, ok := h.r.pings.answered(!h.toOrigin, p.Payload)
		if ok {
			p.Payload = b
		} else if h.r.careful() {
			return nil // nobody asked
		}
	}
	return h.send(p)
}

// failed ends it for what went wrong, and reports whether to read on.
func (h *half) failed(err error) bool {
	var v *ws.Error
	var ref *Refusal
	var se *sendError
	if h.r.over() || errors.Is(err, ws.ErrClosed) {
		if errors.As(err, &v) {
			h.drain()
		}
		return errors.Is(err, ws.ErrClosed)
	}
	switch {
	case errors.As(err, &v):
		e := &ending{kind: "websocket_violation", err: err, client: ws.GoingAway, origin: ws.GoingAway, reason: "sallyport: " + v.Reason}
		switch v.Code {
		case ws.TooBig:
			e.kind = "message_too_large"
		case ws.Policy:
			e.kind = "message_flood"
		}
		if h.toOrigin {
			e.client = v.Code
		} else {
			e.origin = v.Code
		}
		h.r.stop(e)
		h.drain()
		return false
	case errors.As(err, &ref):
		id := h.r.x.id
		if d := (*deniedMessage)(nil); errors.As(err, &d) {
			id = d.id
		}
		h.r.stop(h.r.refused(ref, id))
		return true
	}
	gone := h // the half that brings what the side says that is gone
	if errors.As(err, &se) {
		gone = h.r.other(h)
	}
	if gone.closed.Load() != 0 || gone == h && h.r.other(h).closed.Load() != 0 {
		h.r.sever() // it had said all, or was told to end
		return false
	}
	kind := "truncated"
	if gone.toOrigin {
		kind = "client_gone"
	}
	if !errors.As(err, &se) && errors.Is(err, io.EOF) {
		err = errors.New("the connection ended without a close")
	}
	h.r.stop(&ending{kind: kind, err: err}) // without a close, so that it looks cut
	h.r.sever()
	return false
}

// drain reads what is on its way, so that the close gets there before a reset does.
func (h *half) drain() {
	_ = h.src.conn.SetReadDeadline(time.Now().Add(cutGrace))
	_, _ = io.CopyN(io.Discard, h.src.stream, maxDrain)
}
