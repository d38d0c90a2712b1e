package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"sallyport/policy"
	"sallyport/proxy/ws"
	"sallyport/sandbox"
)

// upgrade looks at what a request wants to switch to, before what ends at this
// hop is gone: to a WebSocket, or to nothing that is carried.
func (x *exchange) upgrade() error {
	r := x.r
	if len(r.Header["Upgrade"]) == 0 || x.onlyH2C() {
		return nil
	}
	x.switches = true // what follows on this connection is read by nobody
	if !ws.Asked(r.Header) {
		return refuse(http.StatusNotImplemented, "upgrade_denied", "no switch of protocols is carried but that to a WebSocket").closing()
	}
	wrong := func(err error) error {
		return refuse(http.StatusBadRequest, "websocket_invalid", "the handshake of a WebSocket is not as it must be").because(err).closing()
	}
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor == 0 {
		return wrong(fmt.Errorf("it is a %s of %s, and must be a GET of HTTP/1.1", r.Method, r.Proto))
	}
	if r.ContentLength != 0 {
		return wrong(fmt.Errorf("it has a body"))
	}
	if err := ws.CheckRequest(r.Header); err != nil {
		return wrong(err)
	}
	x.websocket = true
	return nil
}

// onlyH2C reports whether nothing is asked for but HTTP/2, which is not switched to.
func (x *exchange) onlyH2C() bool {
	up := x.r.Header["Upgrade"]
	return len(up) == 1 && strings.EqualFold(strings.Trim(up[0], " \t"), "h2c")
}

// verdict is what a decision comes to in a ward. A WebSocket begins as a GET and
// is more than one, so a rule has to grant it as what it is (hostile 67).
func (x *exchange) verdict(w *ward, d *policy.Decision) (would string, ref *Refusal) {
	would, ref = w.verdict(d)
	if ref != nil || !x.websocket || d.Respond != nil || d.WebSocket {
		return would, ref
	}
	if w.sb.Mode == sandbox.Observe {
		return policy.CodeDefaultDeny, nil
	}
	return "", refuse(http.StatusForbidden, policy.CodeDefaultDeny, "no rule allows a WebSocket here").operator("the request is allowed; write `websocket if { … }` beside `allow`")
}

// switchTo sends a handshake, which is answered like any request or leads to a
// WebSocket.
func (x *exchange) switchTo(out *http.Request) error {
	key := x.r.Header.Get("Sec-Websocket-Key")
	out.Header.Set("Sec-Websocket-Key", ws.NewKey()) // what answers it answers us
	resp := x.roundTrip(out)
	if x.peer == nil {
		x.deliver(resp)
		if x.w.broken != nil {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	defer func() { _ = x.peer.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols { // it was refused after all
		x.deliver(resp)
		return nil
	}
	c, rest, err := x.rc.Hijack()
	if err != nil {
		x.fail("internal", err)
		return nil
	}
	defer func() { _ = c.Close() }()
	if rest.Reader.Buffered() > 0 {
		x.fail("websocket_violation", fmt.Errorf("the client did not wait for the answer"))
		return nil
	}
	x.flow.wire.Switch()
	x.w.mu.Lock()
	x.w.wrote, x.w.status = true, resp.StatusCode
	x.w.mu.Unlock()
	h := resp.Header
	for _, k := range []string{"Content-Length", "Sec-Websocket-Extensions"} {
		h.Del(k)
	}
	h.Set("Upgrade", "websocket")
	h.Set("Connection", "Upgrade")
	h.Set("Sec-Websocket-Accept", ws.Accept(key))
	h.Set("Sallyport-Decision", x.id)
	var head strings.Builder
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head)
	head.WriteString("\r\n")
	if _, err := io.WriteString(c, head.String()); err != nil {
		x.clientGone(err)
		return nil
	}
	newRelay(out.Context(), x, c).run()
	return nil
}

// switched holds a 101 against the handshake that was sent (hostile 66).
func (x *exchange) switched(resp *http.Response, sent http.Header) *Refusal {
	peer, ok := resp.Body.(io.ReadWriteCloser)
	err := ws.CheckAnswer(resp.Header, sent)
	if err == nil && !ok {
		err = fmt.Errorf("there is no connection behind it")
	}
	if err != nil {
		return refuse(http.StatusBadGateway, "upstream_malformed", "the destination's answer does not switch to a WebSocket").because(err)
	}
	x.peer, resp.Body = peer, http.NoBody
	return nil
}

// deliver answers a handshake with what is no switch. Nothing else is read on the
// connection.
func (x *exchange) deliver(resp *http.Response) {
	h := x.w.Header()
	for k, v := range resp.Header {
		h[k] = v
	}
	if resp.ContentLength < 0 {
		h.Del("Content-Length")
	}
	x.w.WriteHeader(resp.StatusCode)
	_, _ = x.w.ReadFrom(resp.Body) // a cut is noticed by the body, or by the writer
	_ = resp.Body.Close()
	for k, v := range resp.Trailer {
		h[http.TrailerPrefix+k] = v
	}
}
