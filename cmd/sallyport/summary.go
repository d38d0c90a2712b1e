package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"sallyport/audit"
	"sallyport/proxy"
)

// A summary counts what passes to the log on its way, for the lines that run
// ends with. It is safe for concurrent use.
type summary struct {
	to proxy.Recorder

	mu      sync.Mutex
	refused map[refusedKey]*refusedCount
	would   map[refusedKey]*refusedCount // let pass by observing
	failed  map[refusedKey]*refusedCount // allowed, and not carried to its end
	n       struct{ allow, deny, would, fail int }
}

type refusedKey struct{ what, code string }

type refusedCount struct {
	n      int
	public string
	fix    string
}

func newSummary(to proxy.Recorder) *summary {
	return &summary{to: to, refused: map[refusedKey]*refusedCount{}, would: map[refusedKey]*refusedCount{}, failed: map[refusedKey]*refusedCount{}}
}

var _ proxy.Recorder = (*summary)(nil)

// Record counts an event and passes it on.
func (s *summary) Record(ctx context.Context, ev *audit.Event) (audit.Receipt, error) {
	r, err := s.to.Record(ctx, ev)
	if err == nil {
		s.count(ev)
	}
	return r, err
}

// Append counts an event and passes it on.
func (s *summary) Append(ev *audit.Event) error {
	s.count(ev)
	return s.to.Append(ev)
}

// maxKinds bounds what a sandbox can make us remember.
const maxKinds = 200

func (s *summary) count(ev *audit.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch ev.Name {
	case audit.RequestDecision, audit.TunnelDecision, audit.MessageDecision:
		if ev.Decision.Effect == "allow" || ev.Decision.Effect == "respond" {
			s.n.allow++
			if ev.Decision.Would != "" {
				s.n.would++
				what, fix := target(ev)
				keep(s.would, refusedKey{what, ev.Decision.Would}, "", fix, 1)
			}
			return
		}
		what, fix := target(ev)
		s.refuse(what, ev.Decision.Code, ev.Decision.Public, fix, 1)
	case audit.DNSDecision:
		if ev.Decision.Effect == "allow" {
			s.n.allow++
			return
		}
		s.refuse("dns "+ev.DNS.Type+" "+strings.TrimSuffix(ev.DNS.Question, "."), ev.Decision.Code, ev.Decision.Public, "", 1)
	case audit.DNSQuery:
		s.unanswered(ev)
	case audit.RequestComplete, audit.TunnelClose:
		if ev.Result != nil && ev.Result.ErrorType != "" && ev.Result.Source != "upstream" && ev.Result.ErrorType != "canceled" && ev.Result.ErrorType != "client_gone" {
			what, _ := target(ev)
			s.n.fail++
			why := strings.TrimPrefix(ev.Result.Error, ev.Result.ErrorType+": ")
			keep(s.failed, refusedKey{what, ev.Result.ErrorType}, why, remedies[ev.Result.ErrorType], 1)
		}
	case audit.PacketRefused:
		what := fmt.Sprintf("%s %s", ev.Packet.Transport, ev.Packet.Dest)
		if ev.Packet.Dest.Port() == 0 {
			what = fmt.Sprintf("%s %s", ev.Packet.Transport, ev.Packet.Dest.Addr())
		}
		s.refuse(what, ev.Decision.Code, "only TCP leaves a sandbox", "", max(ev.Packet.Count, 1))
	case audit.DenySummary:
		if ev.Lifecycle != nil && (ev.Lifecycle.Detail["of"] != string(audit.DNSQuery) || refusedName(ev)) {
			s.n.deny += ev.Lifecycle.Count
		}
	}
}

// refusedName reports whether a name was asked for here of which nothing was told, by
// somebody who wanted to know it: browsers ask for HTTPS beside each address.
func refusedName(ev *audit.Event) bool {
	q := ev.DNS
	return q != nil && ev.Of == "" && len(q.Answers) == 0 && q.Type != "HTTPS" && q.Type != "SVCB"
}

func (s *summary) unanswered(ev *audit.Event) {
	if !refusedName(ev) {
		return
	}
	q := ev.DNS
	what, code, why := "dns "+strings.TrimSuffix(q.Question, "."), q.Rcode, "there is no such name inside"
	if q.Type != "A" && q.Type != "AAAA" {
		what = "dns " + q.Type + " " + strings.TrimSuffix(q.Question, ".")
	}
	switch q.Rcode {
	case "NXDOMAIN":
	case "NOERROR":
		code, why = "no records", "no rule of egress.dns grants them"
	default:
		why = "the question is not one that is answered"
	}
	s.refuse(what, code, why, "", 1)
}

func (s *summary) refuse(what, code, public, fix string, n int) {
	s.n.deny += n
	keep(s.refused, refusedKey{what, code}, public, fix, n)
}

func keep(in map[refusedKey]*refusedCount, k refusedKey, public, fix string, n int) {
	c := in[k]
	if c == nil {
		if len(in) >= maxKinds {
			return
		}
		c = &refusedCount{public: public, fix: fix}
		in[k] = c
	}
	c.n += n
}

// remedies are what an operator can do about what failed.
var remedies = map[string]string{
	"tls_verify":           "--upstream-ca FILE trusts the CA of its certificate",
	"credential_unknown":   "--credential NAME=… gives the policy what it asks for",
	"credential_not_bound": "bind the credential to where it goes, in --credential",
}

// target is where an event wanted to go, and the flag that would let it.
func target(ev *audit.Event) (what, fix string) {
	r := ev.Request
	if r == nil {
		return ev.Connection.Original.String(), ""
	}
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	at := fmt.Sprintf("%s:%d", host, r.Port)
	switch {
	case r.Host == "":
		return "an unreadable request to the explicit proxy", ""
	case r.Method == "" && ev.Name == audit.RequestDecision:
		return "an unreadable request to " + at, ""
	}
	switch {
	case ev.Name == audit.TunnelDecision || ev.Name == audit.TunnelClose || r.Method == "CONNECT":
		return "tcp " + at, "--tcp " + at
	case ev.Decision != nil && ev.Decision.Code == "port_denied":
		return r.Method + " " + r.Scheme + "://" + at, "--tcp " + at
	}
	flag := at
	if r.Port == 443 && r.Scheme == "https" || r.Port == 80 && r.Scheme == "http" {
		flag, at = host, host
	}
	return r.Method + " " + r.Scheme + "://" + at, "--allow " + flag
}

// fixable are the refusals that a grant would lift.
var fixable = map[string]bool{"default_deny": true, "unknown_protocol": true, "port_denied": true, "silent": true, "no_server_name": true}

// print writes what a person wants to know at the end of a run.
func (s *summary) print(w io.Writer, flags bool, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(w, "sallyport: %d allowed", s.n.allow)
	if s.n.fail > 0 {
		fmt.Fprintf(w, " (%d of them failed)", s.n.fail)
	}
	if s.n.would > 0 {
		fmt.Fprintf(w, ", of which %d would be refused", s.n.would)
	}
	fmt.Fprintf(w, ", %d refused; records in %s\n", s.n.deny, dir)
	list(w, "refused ", s.refused, dir, flags)
	list(w, "observed", s.would, dir, flags)
	list(w, "failed  ", s.failed, dir, false)
}

// list prints the kinds of one outcome, the most frequent first.
func list(w io.Writer, word string, in map[refusedKey]*refusedCount, dir string, flags bool) {
	const most = 10
	keys := slices.SortedFunc(maps.Keys(in), func(a, b refusedKey) int {
		return cmp.Or(cmp.Compare(in[b].n, in[a].n), cmp.Compare(a.what, b.what), cmp.Compare(a.code, b.code))
	})
	for i, k := range keys {
		if i == most {
			fmt.Fprintf(w, "  … and %d more kinds: sallyport audit tail %s\n", len(keys)-most, dir)
			break
		}
		c := in[k]
		fmt.Fprintf(w, "  %s %s%s  %s", word, clean(k.what), times(c.n), k.code)
		if c.public != "" {
			fmt.Fprintf(w, ": %s", clean(c.public))
		}
		switch {
		case flags && c.fix != "" && fixable[k.code]:
			fmt.Fprintf(w, "  (allow it: %s)", clean(c.fix))
		case remedies[k.code] != "" && c.fix == remedies[k.code]:
			fmt.Fprintf(w, "  (%s)", c.fix)
		}
		fmt.Fprintln(w)
	}
}

func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" ×%d", n)
}

// clean keeps what a sandbox chose from writing on a terminal what it likes.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
