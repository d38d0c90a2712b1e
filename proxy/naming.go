package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"sallyport/audit"
	"sallyport/dest"
	"sallyport/policy"
	"sallyport/sandbox"
)

// MayAsk decides whether the operator's name servers are asked by a sandbox for
// records of a type other than A and AAAA; about is the address that a question for
// PTR is about, and zero otherwise. With nil they may be: that is durable then (rule
// 7: nothing is asked before). done is told what was answered, and why not what was
// asked for, and records it.
func (g *Gate) MayAsk(ctx context.Context, name dest.Host, qtype string, about netip.Addr) (done func(audit.DNS, *Refusal), ref *Refusal) {
	w := g.ward.Load()
	if !w.policy.Has(policy.DNS) || g.exchanger() == nil { // nobody decides about it
		return func(q audit.DNS, _ *Refusal) { g.Asked(q) }, refuse(http.StatusForbidden, policy.CodeDefaultDeny, "no rule allows this")
	}
	var d *policy.Decision
	if ref = g.srv.unasked(w, name, about); ref == nil {
		d = w.policy.Decide(ctx, &policy.Question{Phase: policy.DNS, Sandbox: w.sb, DNS: &policy.DNSFacts{Name: name, Type: qtype}})
		ref = refusalOfDecision(d)
	}
	if ref == nil && !g.questions.take(name, time.Now()) {
		ref = refuse(http.StatusTooManyRequests, "too_many_questions", "this sandbox asks name servers too quickly")
	}
	ev := w.of(g.event(audit.DNSDecision))
	ev.ID = audit.NewID()
	ev.DNS = &audit.DNS{Question: name.String() + ".", Type: qtype}
	if ref == nil {
		ev.Decision = decisionRecord(d, nil)
		if _, err := g.srv.cfg.Audit.Record(ctx, ev); err != nil {
			g.srv.cfg.Log.Error().Err(err).Msg("no record, no question")
			return func(audit.DNS, *Refusal) {}, refuse(http.StatusServiceUnavailable, "audit_unavailable", "the audit log cannot be written, so nothing is sent").because(err)
		}
		return g.wasAsked(w, ev.ID), nil
	}
	return func(q audit.DNS, _ *Refusal) {
		ev.DNS, ev.Decision = &q, decisionRecord(d, ref)
		ev.Decision.Phase = string(policy.DNS)
		g.flood(ev)
	}, ref
}

// Exchange asks the operator's name servers what MayAsk granted.
func (g *Gate) Exchange(ctx context.Context, name string, qtype uint16) ([]byte, error) {
	if g.exchanger() == nil {
		return nil, errors.New("there are no name servers")
	}
	return g.exchanger().Exchange(ctx, name, qtype)
}

// wasAsked records what came of a question that was granted.
func (g *Gate) wasAsked(w *ward, of string) func(audit.DNS, *Refusal) {
	start := time.Now()
	return func(q audit.DNS, failed *Refusal) {
		ev := w.of(g.event(audit.DNSQuery))
		ev.ID, ev.Of, ev.DNS = audit.NewID(), of, &q
		ev.Result = &audit.Result{Outcome: "success", Source: "upstream", Took: time.Since(start)}
		if failed != nil {
			ev.Result.Outcome, ev.Result.ErrorType, ev.Result.Error = "failure", failed.Code, failed.Error()
		}
		g.append(ev)
	}
}

// unasked refuses what name servers are not asked about, whatever policy says: what
// means something here, or on some private network, only.
func (s *Server) unasked(w *ward, name dest.Host, about netip.Addr) *Refusal {
	if ref := w.stopped(); ref != nil {
		return ref
	}
	if w.sb.Mode == sandbox.Sealed {
		return sealed(w.sb, false)
	}
	ref := refuse(http.StatusForbidden, "name_not_asked", "name servers are not asked about this name")
	for _, b := range w.sb.Bindings {
		if b.Host == name {
			return ref.operator("%s is bound", name)
		}
	}
	switch {
	case dest.MetadataHost(name):
		return ref.operator("it is that of a metadata service")
	case len(s.cfg.AllowPrivate) == 0 && dest.LocalHost(name):
		return ref.operator("%s means something on a private network only; --allow-private opens one", name)
	case about.IsValid() && !dest.Judge(about, s.cfg.AllowPrivate).OK:
		return ref.operator("%s is %s", about, dest.Judge(about, nil).Class)
	}
	return nil
}

// Budgets of questions that name servers are asked: a question carries what its name
// says to whoever answers for the domain (hostile 95).
const (
	domainBurst  = 30
	domainPer    = 1 // a second
	anyBurst     = 200
	anyPer       = 20
	domainsApart = 1024 // that have a budget of their own; all others share one
)

// questions are the budgets of one sandbox. The zero questions are full. They are
// safe for concurrent use.
type questions struct {
	mu      sync.Mutex
	all     bucket
	rest    bucket
	domains map[string]*bucket
}

// take charges the budget of a name's registered domain, and that of all.
func (q *questions) take(name dest.Host, now time.Time) bool {
	domain := name.RegisteredDomain()
	if domain == "" { // of a public suffix, or of none
		s := name.Suffixes()
		domain = s[max(len(s)-2, 0)]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.domains[domain]
	if b == nil && len(q.domains) >= domainsApart {
		for k, v := range q.domains {
			if v.full(domainPer, now) {
				delete(q.domains, k)
			}
		}
	}
	switch {
	case b == nil && len(q.domains) >= domainsApart:
		b = &q.rest
	case b == nil:
		b = &bucket{}
		if q.domains == nil {
			q.domains = map[string]*bucket{}
		}
		q.domains[domain] = b
	}
	return b.take(domainBurst, domainPer, now) && q.all.take(anyBurst, anyPer, now)
}

// A bucket lets so many pass at once and so many more in each second. The zero
// bucket is full.
type bucket struct {
	spent float64
	at    time.Time
}

func (b *bucket) take(burst, per float64, now time.Time) bool {
	if now.After(b.at) {
		b.spent, b.at = max(0, b.spent-now.Sub(b.at).Seconds()*per), now
	}
	if b.spent > burst-1 {
		return false
	}
	b.spent++
	return true
}

func (b *bucket) full(per float64, now time.Time) bool {
	return b.spent <= now.Sub(b.at).Seconds()*per
}
