// Package dns answers a sandbox's questions: every name gets an address of its own,
// which a later connection is known by, and for nothing else is anybody asked unless
// that is granted.
package dns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"sallyport/dest"
)

// Names gives out addresses.
type Names interface {
	Addr4(dest.Host) (netip.Addr, error)
	Addr6(dest.Host) (netip.Addr, error)
	Lookup(netip.Addr) (name dest.Host, known, synthetic bool)
}

// A Query is what was asked and answered.
type Query struct {
	Name, Type, Rcode, Transport string
	Answers                      []string
	// Err is why name servers that were asked gave no answer that is passed on.
	Err error

	done func(Query)
}

// A Server answers for one sandbox. Names is required. It is safe for concurrent use.
type Server struct {
	Names Names
	// Exists says whether a name exists; nil means that all do.
	Exists func(dest.Host) bool
	// Record is told of each query that MayAsk has no say in; nil tells nobody.
	Record func(Query)
	// MayAsk decides whether Upstream is asked for what is no address; nil says no. It
	// has made a record of it before it returns Ask, and done, which may be nil, is told
	// what was answered, in the place of Record.
	MayAsk func(context.Context, Question) (v Verdict, done func(Query))
	// Upstream is asked what MayAsk grants; it is required with it.
	Upstream Upstream

	mu   sync.Mutex
	left float64
	at   time.Time
}

// Answers live shortly, so that a client asks again rather than keep what a new
// sandbox would not know. Beyond the rate queries are not answered.
const (
	ttl       = 60
	burst     = 2000
	perSecond = 1000
)

func (s *Server) within() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.at.IsZero() {
		s.left, s.at = burst, now
	}
	s.left = min(burst, s.left+now.Sub(s.at).Seconds()*perSecond)
	s.at = now
	if s.left < 1 {
		return false
	}
	s.left--
	return true
}

// answer reads a query and returns the answer to send, or nil for none. When
// somebody has to be asked first, later waits for that and returns it.
func (s *Server) answer(wire []byte, transport string) (out []byte, later func(context.Context) []byte) {
	if !s.within() {
		s.record(Query{Name: "", Type: "", Rcode: "dropped", Transport: transport})
		return nil, nil
	}
	var q dns.Msg
	err := q.Unpack(wire)
	if q.Response || len(wire) < 12 {
		return nil, nil // answering an answer could go round for ever
	}
	r := new(dns.Msg)
	rec := Query{Transport: transport}
	switch {
	case err != nil:
		r.SetRcodeFormatError(&q)
		r.Question = nil
	case q.Opcode != dns.OpcodeQuery:
		r.SetRcode(&q, dns.RcodeNotImplemented)
	case len(q.Question) != 1 || len(q.Answer) > 0 || len(q.Ns) > 0 || options(q.Extra) > 1:
		r.SetRcode(&q, dns.RcodeFormatError)
	default:
		r.SetReply(&q)
		rec.Name, rec.Type = q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
		if rec.Type == "" {
			rec.Type = dns.Type(q.Question[0].Qtype).String()
		}
		if ask := s.resolve(r, q.Question[0], &rec); ask != nil {
			return nil, func(ctx context.Context) []byte {
				ask(ctx)
				return s.finish(&q, r, rec)
			}
		}
	}
	return s.finish(&q, r, rec), nil
}

// options counts the records of EDNS, of which there is one at most: RFC 6891, 6.1.1.
func options(rrs []dns.RR) (n int) {
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeOPT {
			n++
		}
	}
	return n
}

// finish makes bytes of an answer, as many as the client takes, and records it.
func (s *Server) finish(q, r *dns.Msg, rec Query) []byte {
	r.RecursionAvailable = true
	r.Compress = true
	if o := q.IsEdns0(); o != nil && len(r.Question) == 1 {
		r.SetEdns0(1232, o.Do())
		if o.Version() != 0 {
			r.Rcode, r.Answer, r.Ns = dns.RcodeBadVers, nil, nil
		}
	}
	rec.Rcode = dns.RcodeToString[r.Rcode]
	s.record(rec)
	size := 512
	if o := q.IsEdns0(); o != nil {
		size = int(max(o.UDPSize(), 512))
	}
	if rec.Transport == "udp" {
		r.Truncate(size)
	}
	out, err := r.Pack()
	if err != nil {
		return nil
	}
	return out
}

func (s *Server) record(q Query) {
	if q.done != nil {
		q.done(q)
	} else if s.Record != nil {
		s.Record(q)
	}
}

// resolve answers one question, or returns what has to be done first.
func (s *Server) resolve(r *dns.Msg, q dns.Question, rec *Query) (ask func(context.Context)) {
	if q.Qclass != dns.ClassINET {
		r.Rcode = dns.RcodeRefused
		return nil
	}
	if q.Qtype == dns.TypePTR {
		return s.pointer(r, q, rec)
	}
	h, err := dest.ParseHost(strings.TrimSuffix(q.Name, "."))
	if _, ip := h.Addr(); err != nil || ip {
		r.Rcode = dns.RcodeNameError
		s.nothing(r)
		return nil
	}
	if name := h.String(); name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, 6.3
		s.address(r, q, rec, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
		return nil
	}
	if s.Exists != nil && !s.Exists(h) {
		r.Rcode = dns.RcodeNameError
		s.nothing(r)
		return nil
	}
	var a4, a6 netip.Addr
	switch q.Qtype {
	case dns.TypeA:
		a4, err = s.Names.Addr4(h)
	case dns.TypeAAAA:
		a6, err = s.Names.Addr6(h)
	default:
		return s.other(r, q, Question{Name: h, Type: rec.Type}, rec)
	}
	if err != nil {
		r.Rcode = dns.RcodeServerFailure
		return nil
	}
	s.address(r, q, rec, a4, a6)
	return nil
}

func (s *Server) address(r *dns.Msg, q dns.Question, rec *Query, a4, a6 netip.Addr) {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}
	switch {
	case q.Qtype == dns.TypeA && a4.IsValid():
		r.Answer = append(r.Answer, &dns.A{Hdr: h, A: a4.AsSlice()})
		rec.Answers = append(rec.Answers, a4.String())
	case q.Qtype == dns.TypeAAAA && a6.IsValid():
		r.Answer = append(r.Answer, &dns.AAAA{Hdr: h, AAAA: a6.AsSlice()})
		rec.Answers = append(rec.Answers, a6.String())
	default:
		s.nothing(r)
	}
}

// pointer says which name an address that we gave out stands for; of others only
// somebody else can know.
func (s *Server) pointer(r *dns.Msg, q dns.Question, rec *Query) (ask func(context.Context)) {
	a, ok := reverse(q.Name)
	h, known, synthetic := dest.Host{}, false, false
	if ok {
		h, known, synthetic = s.Names.Lookup(a)
	}
	if known {
		r.Answer = append(r.Answer, &dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}, Ptr: h.String() + "."})
		rec.Answers = append(rec.Answers, h.String())
		return nil
	}
	r.Rcode = dns.RcodeNameError
	if h, err := dest.ParseHost(strings.TrimSuffix(q.Name, ".")); ok && !synthetic && err == nil {
		return s.other(r, q, Question{h, rec.Type, a}, rec)
	}
	s.nothing(r)
	return nil
}

// reverse reads the address out of a name below in-addr.arpa or ip6.arpa.
func reverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	var parts []string
	sep, group := ".", 1
	if n, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts = strings.Split(n, ".")
	} else if n, ok := strings.CutSuffix(name, ".ip6.arpa"); ok && len(n) == 63 {
		if parts, sep, group = strings.Split(n, "."), ":", 4; len(parts) != 32 || slices.ContainsFunc(parts, func(s string) bool { return len(s) != 1 }) {
			return netip.Addr{}, false
		}
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
		if n := len(parts) - i; n%group == 0 && i > 0 {
			b.WriteString(sep)
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil && a.Is4() == (group == 1)
}

// nothing says for how long there is nothing: RFC 2308.
func (s *Server) nothing(r *dns.Msg) {
	r.Ns = append(r.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns: "sallyport.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl})
}
