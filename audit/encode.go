package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// Limits of one record: RFC 5424 receivers and others cut longer ones, and what
// is cut could be read as a record of its own (hostile 153).
const (
	maxField = 4 << 10
	maxLine  = 64 << 10
	maxInput = 24 << 10
	maxList  = 64
)

// place is where a record stands: what the log adds to an event.
type place struct {
	seq  uint64
	prev string
	boot string
	mono int64
	now  time.Time
	max  int // bytes of one text; 0 means maxField
}

// encoder writes the fields of one record, none of which can be more than it may.
type encoder struct {
	e   *zerolog.Event
	max int // bytes of a text as it is encoded
}

func (c encoder) str(k, v string) {
	if v == "" {
		return
	}
	if cut := fits(v, c.max); cut < len(v) {
		sum := sha256.Sum256([]byte(v))
		c.e.Str(k, v[:cut]+fmt.Sprintf("…(truncated %d)", len(v)-cut))
		c.e.Str(k+".sha256", hex.EncodeToString(sum[:]))
		return
	}
	c.e.Str(k, v)
}

// fits returns how much of a text takes no more than max bytes when encoded:
// what is escaped takes six.
func fits(v string, max int) int {
	if 6*len(v) <= max {
		return len(v)
	}
	n := 0
	for i, r := range v {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '<' || r == '>' || r == '&' || r == '"' || r == '\\' || r == utf8.RuneError {
			n += 6
		} else {
			n += utf8.RuneLen(r)
		}
		if n > max {
			return i
		}
	}
	return len(v)
}

func (c encoder) strs(k string, vs []string) {
	if len(vs) == 0 {
		return
	}
	out := make([]string, 0, min(len(vs), maxList+1))
	for i, v := range vs {
		if i == maxList {
			out = append(out, fmt.Sprintf("…(truncated %d)", len(vs)-i))
			break
		}
		if cut := fits(v, min(c.max, 512)); cut < len(v) {
			v = v[:cut] + "…"
		}
		out = append(out, v)
	}
	c.e.Strs(k, out)
}

func (c encoder) int(k string, v int64) {
	if v != 0 {
		c.e.Int64(k, v)
	}
}

func (c encoder) size(k string, v int64) {
	if v > 0 {
		c.e.Int64(k, v)
	}
}

func (c encoder) addr(k string, a netip.AddrPort) {
	if a.IsValid() {
		c.e.Str(k+".address", a.Addr().String())
		c.e.Int(k+".port", int(a.Port()))
	}
}

func (c encoder) yes(k string, v bool) {
	if v {
		c.e.Bool(k, v)
	}
}

// encode writes an event as one line without its end.
func encode(dst []byte, ev *Event, p place, service string) []byte {
	w := writers.Get().(*lineWriter)
	w.b = dst
	e := w.log.Log()
	c := encoder{e, p.max}
	if p.max == 0 {
		c.max = maxField
	}
	e.Str("v", Version)
	e.Str("@timestamp", p.now.UTC().Format(time.RFC3339Nano))
	e.Str("event.id", ev.ID)
	e.Str("event.name", string(ev.Name))
	e.Uint64("event.sequence", p.seq)
	c.str("event.of", ev.Of)
	c.str("event.outcome", outcome(ev))
	e.Int64("event.mono_ns", p.mono)
	c.str("boot.id", p.boot)
	c.str("service.version", service)
	e.Str("log.prev", p.prev)
	if sb := ev.Sandbox; sb.ID != "" {
		c.str("sandbox.id", sb.ID)
		c.str("sandbox.name", sb.Name)
		c.str("sandbox.identity.method", sb.Way)
		if len(sb.Labels) > 0 {
			d := zerolog.Dict()
			n := 0
			for _, k := range slices.Sorted(maps.Keys(sb.Labels)) {
				if n++; n > maxList {
					break
				}
				encoder{d, c.max}.str(strings.ToValidUTF8(k[:fits(k, 256)], ""), sb.Labels[k])
			}
			e.Dict("sandbox.labels", d)
		}
	}
	if cn := ev.Connection; cn.ID != "" {
		c.str("connection.id", cn.ID)
		c.str("ingress.mode", cn.Ingress)
		c.addr("client", cn.Client)
		c.addr("connection.original", cn.Original)
		c.tls("downstream.tls", cn.TLS)
	}
	c.request(ev.Request)
	c.decision(ev.Decision)
	c.server(ev.Server)
	c.credentials(ev.Credential)
	c.result(ev.Result)
	c.rest(ev)
	e.Send()
	out := w.b
	w.b = nil
	writers.Put(w)
	return out
}

func outcome(ev *Event) string {
	switch {
	case ev.Result != nil && ev.Result.Outcome != "":
		return ev.Result.Outcome
	case ev.Name == RequestLost:
		return "unknown"
	case ev.Decision != nil && (ev.Decision.Effect == "deny" || ev.Decision.Effect == "error"):
		return "failure"
	}
	return ""
}

func (c encoder) request(r *Request) {
	if r == nil {
		return
	}
	c.str("http.request.method", r.Method)
	c.str("url.scheme", r.Scheme)
	c.str("url.domain", r.Host)
	c.int("url.port", int64(r.Port))
	c.str("url.path", r.Path)
	c.str("url.query", r.Query)
	c.str("url.original", r.Original)
	c.str("network.protocol.name", r.Name)
	c.str("network.protocol.version", r.Protocol)
	c.str("user_agent.original", r.UserAgent)
	c.str("http.request.mime_type", r.ContentType)
	c.size("http.request.body.size", r.Size)
	c.str("client.request_id", r.ClientID)
	c.str("authority.connect", r.Connect)
	c.str("authority.sni", r.SNI)
	c.str("authority.host", r.HostAs)
}

func (c encoder) decision(d *Decision) {
	if d == nil {
		return
	}
	c.str("policy.decision", d.Effect)
	c.str("enforcement.action", d.Action)
	c.str("policy.phase", d.Phase)
	c.str("policy.code", d.Code)
	c.str("policy.public", d.Public)
	c.str("policy.operator", d.Operator)
	c.strs("policy.reasons", d.Reasons)
	c.strs("tags", d.Tags)
	c.str("policy.name", d.Policy)
	c.str("policy.bundle.sha256", d.Digest)
	c.str("policy.would_deny", d.Would)
	c.strs("policy.edits", d.Edits)
	c.int("policy.steps", int64(d.Steps))
	c.int("policy.eval_ns", int64(d.Took))
	c.yes("policy.cached", d.Cached)
	switch {
	case len(d.Input) == 0:
	case len(d.Input) > maxInput || !json.Valid(d.Input):
		sum := sha256.Sum256(d.Input)
		c.e.Str("policy.input.sha256", hex.EncodeToString(sum[:]))
		c.e.Int("policy.input.truncated", len(d.Input))
	default:
		c.e.RawJSON("policy.input", d.Input)
		if len(d.Reads) > 0 && len(d.Reads) <= maxInput && json.Valid(d.Reads) {
			c.e.RawJSON("policy.reads", d.Reads)
		}
	}
}

func (c encoder) server(s *Server) {
	if s == nil {
		return
	}
	c.addr("network.peer", s.Address)
	c.str("server.binding", s.Binding)
	c.str("server.via", s.Via)
	c.str("server.parent", s.Parent)
	if s.Unjudged {
		c.str("address.judged", "by_name")
	}
	var denied, passed []string
	for _, j := range s.Judged {
		if t := j.Address.String() + " " + j.Class; j.OK {
			passed = append(passed, t)
		} else {
			denied = append(denied, t)
		}
	}
	if len(denied) > 0 { // otherwise the peer says it
		c.strs("address.denied", denied)
		c.strs("address.passed", passed)
	}
	c.tls("upstream.tls", s.TLS)
}

func (c encoder) tls(k string, t *TLS) {
	if t == nil {
		return
	}
	c.str(k+".version", t.Version)
	c.str(k+".cipher", t.Cipher)
	c.str(k+".alpn", t.ALPN)
	c.str(k+".sni", t.SNI)
	c.str(k+".leaf_sha256", t.LeafSHA256)
	c.str(k+".issuer", t.Issuer)
	c.yes(k+".intercepted", t.Intercepted)
	c.yes(k+".verified", t.Verified)
	c.yes(k+".resumed", t.Resumed)
	c.str(k+".client_sha256", t.ClientSHA256)
}

func (c encoder) credentials(us []CredentialUse) {
	if len(us) == 0 {
		return
	}
	a := zerolog.Arr()
	for i, u := range us {
		if i == maxList {
			break
		}
		d := zerolog.Dict()
		x := encoder{d, c.max}
		x.str("name", u.Name)
		x.str("kind", u.Kind)
		x.str("version", u.Version)
		x.str("source", u.Source)
		x.str("place", u.Place)
		x.str("client", u.Client)
		a.Dict(d)
	}
	c.e.Array("credential.uses", a)
}

func (c encoder) result(r *Result) {
	if r == nil {
		return
	}
	c.e.Int("http.response.status_code", r.Status)
	c.str("response.source", r.Source)
	c.str("response.mime_type", r.ContentType)
	c.str("response.protocol", r.UpstreamProto)
	c.strs("response.flags", r.Flags)
	c.str("error.type", r.ErrorType)
	c.str("error.message", r.Error)
	c.int("bytes.client_in", r.BytesIn)
	c.int("bytes.client_out", r.BytesOut)
	if m := r.Messages; m != nil {
		c.int("messages.client_in", m.In)
		c.int("messages.client_out", m.Out)
		c.int("websocket.close_code", int64(m.Close))
		c.str("websocket.closed_by", m.By)
	}
	c.int("scrub.replacements", int64(r.Scrubbed))
	c.strs("response.edits", r.Edits)
	c.int("http.request.resend_count", int64(r.Resends))
	c.int("event.duration", int64(r.Took))
	c.int("timing.ttfb_ns", int64(r.TimeToFirst))
}

// rest writes what only some events have.
func (c encoder) rest(ev *Event) {
	if p := ev.Packet; p != nil {
		c.str("network.transport", p.Transport)
		c.addr("source", p.Source)
		c.addr("destination", p.Dest)
		c.int("icmp.type", int64(p.Type))
		c.int("event.count", int64(p.Count))
	}
	if d := ev.DNS; d != nil {
		c.str("dns.question.name", d.Question)
		c.str("dns.question.type", d.Type)
		c.str("dns.response_code", d.Rcode)
		c.strs("dns.answers", d.Answers)
		c.str("network.transport", d.Transport)
		c.int("event.count", int64(d.Count))
	}
	if l := ev.Lifecycle; l != nil {
		c.str("process.command", l.Command)
		c.str("policy.name", l.Policy)
		c.str("policy.bundle.sha256", l.Digest)
		c.str("service.name", l.Version)
		c.int("event.count", int64(l.Count))
		c.int("event.lost", int64(l.Lost))
		for _, k := range slices.Sorted(maps.Keys(l.Detail)) {
			c.str("detail."+k, l.Detail[k])
		}
	}
}
