package dns

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"sallyport/dest"
)

// A Question is one for what is no address.
type Question struct {
	Name dest.Host
	Type string // TXT and the like; TYPE65280 where it has no name
	// About is the address that a question for PTR is about; zero with other types.
	About netip.Addr
}

// A Verdict is whether somebody is asked. The zero Verdict is no.
type Verdict int

const (
	Nothing Verdict = iota // no: there are no such records
	Ask                    // yes
	Refuse                 // no, and the client is told so
	Fail                   // it could not be said
)

// An Upstream asks name servers. Exchange returns a message (RFC 1035, 4.1) that
// answers a question about an absolute name; what is in it is not trusted. It is
// safe for concurrent use.
type Upstream interface {
	Exchange(ctx context.Context, name string, qtype uint16) ([]byte, error)
}

const (
	askLimit = 4 * time.Second // for name servers to answer: clients wait 5
	asking   = 32              // questions of one socket that wait for them at once
)

// never is what nobody is asked for, whatever is granted: what is no type of a
// record (RFC 6895, 3.1), what holds whatever it likes, and what holds addresses, by
// which a connection would not be known by its name.
func never(t uint16) bool {
	switch t {
	case dns.TypeNone, dns.TypeOPT, dns.TypeNULL, dns.TypeSIG, dns.TypeKEY, dns.TypeNXT:
		return true
	case dns.TypeA, dns.TypeAAAA, 11 /* WKS */, dns.TypeEID, dns.TypeNIMLOC, 34 /* ATMA */, 38, /* A6 */
		dns.TypeAPL, dns.TypeIPSECKEY, dns.TypeNID, dns.TypeL32, dns.TypeL64, dns.TypeAMTRELAY:
		return true
	}
	return t >= 128 && t <= 255
}

// other answers for what is no address: with nothing, unless somebody may be asked.
func (s *Server) other(r *dns.Msg, q dns.Question, about Question, rec *Query) (ask func(context.Context)) {
	n := about.Name.String()
	if s.MayAsk == nil || never(q.Qtype) || !about.About.IsValid() && (strings.HasSuffix(n, "in-addr.arpa") || strings.HasSuffix(n, "ip6.arpa")) {
		s.nothing(r)
		return nil
	}
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		var v Verdict
		v, rec.done = s.MayAsk(ctx, about)
		switch v {
		case Ask:
			s.ask(ctx, r, q, rec)
		case Refuse:
			r.Rcode = dns.RcodeRefused
		case Fail:
			r.Rcode = dns.RcodeServerFailure
		default:
			s.nothing(r)
		}
	}
}

// ask passes on what name servers say, as far as it may be.
func (s *Server) ask(ctx context.Context, r *dns.Msg, q dns.Question, rec *Query) {
	r.Rcode = dns.RcodeServerFailure
	wire, err := s.Upstream.Exchange(ctx, dns.CanonicalName(q.Name), q.Qtype)
	if err != nil {
		rec.Err = err
		return
	}
	rcode, answer, err := told(wire, q)
	if err != nil {
		rec.Err = &AnswerError{err}
		return
	}
	r.Rcode, r.Answer = rcode, answer
	for _, rr := range answer {
		rec.Answers = append(rec.Answers, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	if len(answer) == 0 || rcode != dns.RcodeSuccess || answer[len(answer)-1].Header().Rrtype != q.Qtype {
		s.nothing(r)
	}
}
