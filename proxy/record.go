package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/policy"
)

// decisionRecord is what a record says of a decision, and of the refusal that
// came of it or of a rule of the wall.
func decisionRecord(d *policy.Decision, ref *Refusal) *audit.Decision {
	out := &audit.Decision{Effect: "allow", Action: "forwarded"}
	if d != nil {
		out.Phase, out.Policy, out.Digest = string(d.Phase), d.Policy, d.Digest
		out.Reasons, out.Tags, out.Input, out.Reads, out.Steps, out.Took = d.Reasons, d.Audit.Tags, d.Input, d.Reads, d.Steps, d.Took
		out.Cached = d.Cached
	}
	if d != nil && ref == nil {
		for _, p := range d.Patch {
			out.Edits = append(out.Edits, p.Path)
		}
	}
	if ref != nil {
		out.Effect, out.Action = "deny", "blocked"
		out.Code, out.Public, out.Operator = ref.Code, ref.Public, ref.Operator
		if ref.Err != nil {
			out.Operator = strings.TrimPrefix(out.Operator+": "+ref.Err.Error(), ": ")
		}
		if ref.Code == policy.CodePolicyError {
			out.Effect = "error"
		}
	}
	return out
}

// requestRecord is what a record says of the request, as far as it was understood.
func (x *exchange) requestRecord() *audit.Request {
	r, f := x.r, x.flow
	out := &audit.Request{Protocol: "1.1", Size: -1, SNI: f.sni.String()}
	if !f.route.connect.Host().IsZero() {
		out.Connect = f.route.connect.String()
	}
	if f.violation(r) != nil { // r stands for what could not be read
		if a := f.where(f.tlsName()); a.Port() != 0 {
			out.Host, out.Port = a.Host().String(), a.Port()
		}
		if f.https {
			out.Scheme = "https"
		}
		return out
	}
	out.Method, out.Scheme, out.Size = r.Method, x.scheme, r.ContentLength
	out.UserAgent, out.ContentType, out.ClientID = r.Header.Get("User-Agent"), r.Header.Get("Content-Type"), r.Header.Get("X-Request-Id")
	if r.ProtoMajor == 2 {
		out.Protocol = "2"
	} else if r.ProtoMinor == 0 {
		out.Protocol = "1.0"
	}
	out.HostAs = r.Host
	if x.websocket {
		out.Name = "websocket"
	}
	if !x.target.Host().IsZero() {
		out.Host, out.Port = x.target.Host().String(), x.target.Port()
	} else {
		a := x.flow.where(x.flow.tlsName())
		out.Host, out.Port = a.Host().String(), a.Port()
	}
	if x.facts != nil {
		out.Path, out.Query = x.facts.PathRaw, redactQuery(r.URL.RawQuery)
	} else {
		path, query, _ := strings.Cut(r.RequestURI, "?")
		out.Original = path
		out.Query = redactQuery(query)
	}
	return out
}

// redactQuery keeps the names of a query and the values that can be no secret:
// the short ones of names that do not sound like one.
func redactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var b strings.Builder
	for i, kv := range strings.Split(raw, "&") {
		if i > 0 {
			b.WriteByte('&')
		}
		k, v, has := strings.Cut(kv, "=")
		b.WriteString(k)
		if !has {
			continue
		}
		b.WriteByte('=')
		name := k
		if n, err := url.QueryUnescape(k); err == nil {
			name = n
		}
		if len(v) > 64 || secretName(name) {
			v = "redacted"
		}
		b.WriteString(v)
	}
	return b.String()
}

func secretName(n string) bool {
	n = strings.ToLower(n)
	for _, s := range []string{"key", "token", "secret", "pass", "sig", "auth", "code", "credential", "session", "jwt"} {
		if strings.Contains(n, s) {
			return true
		}
	}
	return false
}

// record makes the decision durable. Without it nothing happens.
func (x *exchange) record() error {
	x.id = audit.NewID()
	ev := x.ward.of(x.flow.event(audit.RequestDecision))
	ev.ID = x.id
	ev.Request = x.requestRecord()
	ev.Decision = decisionRecord(x.decision, nil)
	if x.decision.Respond != nil {
		ev.Decision.Effect, ev.Decision.Action = "respond", "answered"
	}
	if x.would != "" {
		ev.Decision.Would, ev.Decision.Action = x.would, "observed"
	}
	if x.decision.Respond == nil {
		for _, a := range x.credentials() {
			ev.Credential = append(ev.Credential, x.use(a.Name))
		}
	}
	if x.within() {
		ev.Server = &audit.Server{Binding: bindingName(x.binding, x.target), Via: x.viaName()}
	}
	if _, err := x.srv.cfg.Audit.Record(x.r.Context(), ev); err != nil {
		x.srv.cfg.Log.Error().Err(err).Msg("no record, no effect")
		x.recorded = true // there is nothing that it could complete
		return refuse(http.StatusServiceUnavailable, "audit_unavailable", "the audit log cannot be written, so nothing is sent").because(err)
	}
	return nil
}

// use is what a decision's record says of a credential that was asked for.
func (x *exchange) use(name string) audit.CredentialUse {
	u := audit.CredentialUse{Name: name}
	if x.over != nil && !x.over.Credentials || x.blind() {
		u.Client = "withheld" // it does not go to an operator's service, nor where nobody knows
	}
	return u
}

// refuse answers a refusal and records it: in the decision if there is none
// yet, in its outcome otherwise.
func (x *exchange) refuse(ref *Refusal) {
	if x.switches && !ref.Close {
		closing := *ref
		ref = closing.closing()
	}
	x.refused(ref)
	x.hurry(ref.Close)
	x.await()
	x.w.mu.Lock()
	x.w.wrote, x.w.status = true, ref.Status
	x.w.mu.Unlock()
	ref.write(x.w.ResponseWriter, x.r, x.id)
}

func (x *exchange) refused(ref *Refusal) {
	ref.Public = x.srv.cfg.Credentials.RedactString(ref.Public)
	x.result.Source = "proxy"
	if x.id == "" && !x.recorded {
		x.id, x.recorded = audit.NewID(), true
		ev := x.ward.of(x.flow.event(audit.RequestDecision))
		ev.ID = x.id
		ev.Request = x.requestRecord()
		ev.Decision = decisionRecord(x.decision, ref)
		ev.Result = &audit.Result{Outcome: "failure", Status: ref.Status, Source: "proxy"}
		if err := x.srv.cfg.Audit.Append(ev); err != nil {
			x.srv.cfg.Log.Error().Err(err).Str("code", ref.Code).Msg("a refusal could not be recorded")
		}
		return
	}
	x.fail(ref.Code, ref)
	x.result.Status = ref.Status
}

// clientGone marks an answer that the client did not wait for.
func (x *exchange) clientGone(err error) {
	if e := ended(x.cause); e != nil {
		x.endedBy(e)
		x.w.broken = err
		return
	}
	if ref := lateness(x.cause); ref != nil {
		x.fail(ref.Code, ref)
		x.w.broken = err
		return
	}
	if x.result.ErrorType == "" {
		x.fail("client_gone", err)
	}
}

// named is as much of a request as is said of it after its decision.
func (x *exchange) named() *audit.Request {
	return &audit.Request{Method: x.r.Method, Scheme: x.scheme, Host: x.target.Host().String(), Port: x.target.Port(), Path: x.facts.PathRaw, Size: -1}
}

// complete records the outcome of what was recorded as allowed.
func (x *exchange) complete() {
	if x.recorded || x.id == "" {
		return
	}
	x.recorded = true
	// What was asked, and on which connection, stands in the decision.
	ev := x.ward.of(x.gate.event(audit.RequestComplete))
	ev.Of, ev.Sandbox.Labels = x.id, nil
	ev.Connection.ID = x.flow.id
	ev.Request = x.named()
	if x.dial != nil {
		ev.Server = x.dial.server(bindingName(x.binding, x.target))
		ev.Server.Via = x.viaName()
		x.result.Resends = x.dial.resends()
	}
	if x.used != nil {
		for _, u := range x.used.Uses() {
			ev.Credential = append(ev.Credential, audit.CredentialUse{Name: u.Name, Kind: u.Kind, Version: u.Version, Source: u.Source, Place: u.Place, Client: u.Client})
		}
	}
	if strings.HasPrefix(x.result.ErrorType, "credential_") || strings.HasPrefix(x.result.ErrorType, "placeholder_") { // those that were asked for and are not on it
		for _, c := range x.decision.Credentials {
			ev.Credential = append(ev.Credential, audit.CredentialUse{Name: c.Name})
		}
	}
	if x.over != nil && !x.over.Credentials || x.blind() {
		for _, a := range x.credentials() {
			ev.Credential = append(ev.Credential, x.use(a.Name))
		}
	}
	for _, p := range x.stripped {
		ev.Credential = append(ev.Credential, audit.CredentialUse{Place: p, Client: "stripped"})
	}
	res := x.result
	res.Messages = x.called()
	res.TimeToFirst = time.Duration(x.first.Load())
	res.Scrubbed += x.w.hinted()
	res.Took = time.Since(x.start)
	if x.w.status != 0 {
		res.Status = x.w.status
	}
	res.BytesOut = x.w.n
	if x.body != nil {
		res.BytesIn = x.body.n.Load()
	}
	if x.w.scrubbed != nil {
		res.Scrubbed += int(x.w.scrubbed.Load())
	}
	ev.Result = &res
	if err := x.srv.cfg.Audit.Append(ev); err != nil {
		x.srv.cfg.Log.Error().Err(err).Str("decision", x.id).Msg("an outcome could not be recorded")
	}
}
