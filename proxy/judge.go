package proxy

import (
	"net/http"

	"sallyport/audit"
	"sallyport/policy"
	"sallyport/proxy/views"
	"sallyport/proxy/ws"
)

// A judge holds a message back until policy has said that it may pass. It is for
// one direction of a WebSocket, and for one goroutine.
type judge struct {
	x        *exchange
	toOrigin bool
	exact    bool // what comes is as long as frames say
	pass     func(ws.Piece) error

	ward    *ward // by whose policy the message is judged; nil when nobody judges it
	free    bool  // the message began when nobody judged it
	whole   bool  // policy can read what is in it, or only the end says how long it is
	op      ws.Opcode
	length  int64 // as far as it is known at the beginning; -1 otherwise
	held    []byte
	charged int64
}

// A deniedMessage is a refusal of a message, with the id of its record.
type deniedMessage struct {
	ref *Refusal
	id  string
}

func (e *deniedMessage) Error() string { return e.ref.Error() }

func (e *deniedMessage) Unwrap() error { return e.ref }

// judged reports whether anybody judges messages now.
func (g *Gate) judged() bool { return g.ward.Load().policy.Has(policy.Message) }

// unjudged is a refusal of what began to pass before anybody judged it.
func unjudged() *Refusal {
	return refuse(http.StatusForbidden, policy.CodeUncertain, "a message began before it could be judged")
}

// take passes a piece on, at once or with those that were held back before it.
func (j *judge) take(p ws.Piece) error {
	if p.First {
		j.begin(p)
	}
	if j.ward == nil {
		if j.free && j.x.gate.judged() { // a change reaches what has begun (hostile 368)
			return unjudged()
		}
		return j.pass(p)
	}
	if j.whole {
		if err := j.hold(p.Payload); err != nil {
			return err
		}
		if !p.Last && len(j.held) <= inspectLimit {
			return nil
		}
		p.First, p.Payload = true, j.held
	}
	err := j.ask(p)
	j.ward = nil // what follows of it is granted
	if err == nil {
		err = j.pass(p)
	}
	j.forget()
	return err
}

// begin finds out who judges a message, and what has to be known of it.
func (j *judge) begin(p ws.Piece) {
	j.forget()
	j.ward, j.op, j.length = j.x.gate.ward.Load(), p.Op, -1
	if j.free = !j.ward.policy.Has(policy.Message); j.free {
		j.ward = nil
		return
	}
	switch {
	case p.Last:
		j.length = int64(len(p.Payload))
	case j.exact:
		j.length = p.Length
	}
	j.whole = p.Op == ws.Text && j.ward.policy.Reads(policy.Message, "message", "body") ||
		j.length < 0 && j.ward.policy.Reads(policy.Message, "message", "size")
}

// hold keeps a piece until all is there, or more than policy can see.
func (j *judge) hold(b []byte) error {
	if ref := j.x.gate.hold(int64(len(b)) * inspectCost); ref != nil {
		return ref
	}
	j.charged += int64(len(b)) * inspectCost
	j.held = append(j.held, b...)
	return nil
}

// forget gives back what was held.
func (j *judge) forget() {
	j.x.gate.release(j.charged)
	j.charged, j.held, j.whole = 0, nil, false
}

// ask puts the question about a message of which p is all, or the beginning.
func (j *judge) ask(p ws.Piece) error {
	m := &policy.MessageFacts{Direction: direction(j.toOrigin), Kind: "binary", Size: j.length, BodyState: policy.BodyUnparsed}
	if j.op == ws.Text {
		m.Kind = "text"
	}
	if p.Last {
		m.Size = int64(len(p.Payload))
	}
	switch {
	case m.Size == 0:
		m.BodyState = policy.BodyNone
	case j.whole && len(p.Payload) > inspectLimit:
		m.BodyState = policy.BodyTruncated
	case j.whole && j.op == ws.Text:
		if v, ok := views.JSON(p.Payload); ok {
			m.Body, m.BodyState = v, policy.BodyParsed
		}
	}
	return j.x.judgeMessage(j.ward, m)
}

func direction(toOrigin bool) string {
	if toOrigin {
		return "to_origin"
	}
	return "to_client"
}

// judgeMessage asks policy about a message before the other side sees any of it.
// One that is refused is recorded.
func (x *exchange) judgeMessage(w *ward, m *policy.MessageFacts) error {
	q := *x.question()
	q.Phase, q.Sandbox, q.Message = policy.Message, w.sb, m
	d := w.policy.Decide(x.gate.ctx, &q)
	if d.Err == nil && len(d.Deny) == 0 {
		return nil
	}
	ref := refusalOfDecision(&policy.Decision{Deny: d.Deny, Err: d.Err})
	ref.Public = x.srv.cfg.Credentials.RedactString(ref.Public)
	ev := w.of(x.gate.event(audit.MessageDecision))
	ev.ID, ev.Of = audit.NewID(), x.id
	ev.Connection.ID = x.flow.id
	ev.Request, ev.Decision = x.named(), decisionRecord(d, ref)
	x.gate.append(ev)
	return &deniedMessage{ref, ev.ID}
}

// hold charges memory for what is looked at, until it is released (hostile 148).
func (g *Gate) hold(size int64) *Refusal {
	most := g.srv.cfg.MaxInspected
	mine, all := g.inspected.Add(size), g.srv.inspected.Add(size)
	if mine*(inspectShare-1) > most-all {
		g.release(size)
		return refuse(503, "too_much_to_inspect", "more is being looked at than there is memory for")
	}
	return nil
}

func (g *Gate) release(size int64) {
	g.inspected.Add(-size)
	g.srv.inspected.Add(-size)
}
