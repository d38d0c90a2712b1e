// Package dns answers a sandbox's questions without asking anybody: every name
// gets an address of its own, which a later connection is known by.
package dns

import (
	"net/netip"
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
}

// A Server answers for one sandbox. Names is required. It is safe for concurrent use.
type Server struct {
	Names Names
	// Exists says whether a name exists; nil means that all do.
	Exists func(dest.Host) bool
	// Record is told of each query; nil tells nobody.
	Record func(Query)

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

// answer reads a query and returns the answer to send, or nil for none.
func (s *Server) answer(wire []byte, transport string) []byte {
	if !s.within() {
		s.record(Query{Name: "", Type: "", Rcode: "dropped", Transport: transport})
		return nil
	}
	var q dns.Msg
	err := q.Unpack(wire)
	if q.Response || len(wire) < 12 {
		return nil // answering an answer could go round for ever
	}
	r := new(dns.Msg)
	rec := Query{Transport: transport}
	switch {
	case err != nil:
		r.SetRcodeFormatError(&q)
		r.Question = nil
	case q.Opcode != dns.OpcodeQuery:
		r.SetRcode(&q, dns.RcodeNotImplemented)
	case len(q.Question) != 1 || len(q.Answer) > 0 || len(q.Ns) > 0:
		r.SetRcode(&q, dns.RcodeFormatError)
	default:
		r.SetReply(&q)
		rec.Name, rec.Type = q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
		if rec.Type == "" {
			rec.Type = dns.Type(q.Question[0].Qtype).String()
		}
		s.resolve(r, q.Question[0], &rec)
	}
	r.RecursionAvailable = true
	r.Compress = true
	if o := q.IsEdns0(); o != nil && err == nil {
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
	if transport == "udp" {
		r.Truncate(size)
	}
	out, err := r.Pack()
	if err != nil {
		return nil
	}
	return out
}

func (s *Server) record(q Query) {
	if s.Record != nil {
		s.Record(q)
	}
}

// resolve answers one question.
func (s *Server) resolve(r *dns.Msg, q dns.Question, rec *Query) {
	if q.Qclass != dns.ClassINET {
		r.Rcode = dns.RcodeRefused
		return
	}
	if q.Qtype == dns.TypePTR {
		s.pointer(r, q, rec)
		return
	}
	h, err := dest.ParseHost(strings.TrimSuffix(q.Name, "."))
	if _, ip := h.Addr(); err != nil || ip {
		r.Rcode = dns.RcodeNameError
		s.nothing(r)
		return
	}
	if name := h.String(); name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, 6.3
		s.address(r, q, rec, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
		return
	}
	if s.Exists != nil && !s.Exists(h) {
		r.Rcode = dns.RcodeNameError
		s.nothing(r)
		return
	}
	var a4, a6 netip.Addr
	switch q.Qtype {
	case dns.TypeA:
		a4, err = s.Names.Addr4(h)
	case dns.TypeAAAA:
		a6, err = s.Names.Addr6(h)
	default: // nothing but addresses is given out: a tunnel has nobody to talk to
		s.nothing(r)
		return
	}
	if err != nil {
		r.Rcode = dns.RcodeServerFailure
		return
	}
	s.address(r, q, rec, a4, a6)
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

// pointer says which name an address that we gave out stands for.
func (s *Server) pointer(r *dns.Msg, q dns.Question, rec *Query) {
	a, ok := reverse(q.Name)
	if ok {
		if h, known, _ := s.Names.Lookup(a); known {
			r.Answer = append(r.Answer, &dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}, Ptr: h.String() + "."})
			rec.Answers = append(rec.Answers, h.String())
			return
		}
	}
	r.Rcode = dns.RcodeNameError
	s.nothing(r)
}

// reverse reads the address out of a name below in-addr.arpa or ip6.arpa.
func reverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	var parts []string
	sep, group := ".", 1
	if n, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts = strings.Split(n, ".")
	} else if n, ok := strings.CutSuffix(name, ".ip6.arpa"); ok && len(n) == 63 {
		parts, sep, group = strings.Split(n, "."), ":", 4
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
		if n := len(parts) - i; n%group == 0 && i > 0 {
			b.WriteString(sep)
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}

// nothing says for how long there is nothing: RFC 2308.
func (s *Server) nothing(r *dns.Msg) {
	r.Ns = append(r.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns: "sallyport.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl})
}
