package dns

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Bounds of an answer that is passed on: hostile 146.
const (
	maxChain   = 8        // names that one leads to
	maxRecords = 64       // of the type that was asked for
	maxSection = 256      // of any type
	maxTold    = 16 << 10 // bytes
)

// An AnswerError is why an answer of name servers is not passed on.
type AnswerError struct{ error }

func (e *AnswerError) Unwrap() error { return e.error }

// told reads what name servers said and returns what of it is passed on: records of
// the type that was asked for, of the name itself or of one that its CNAMEs lead to,
// with those. Nothing of other sections, other names or other types is.
func told(wire []byte, q dns.Question) (rcode int, out []dns.RR, err error) {
	defer func() {
		if p := recover(); p != nil { // a bug of a parser ends one question, not the proxy
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		return 0, nil, err
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(wire[at:])) }
	switch {
	case count(4) != len(m.Question) || count(6) != len(m.Answer) || count(8) != len(m.Ns) || count(10) != len(m.Extra):
		return 0, nil, errors.New("it ends early")
	case !m.Response || m.Opcode != dns.OpcodeQuery || m.Truncated:
		return 0, nil, errors.New("it is no whole answer")
	case len(m.Question) != 1 || m.Question[0].Qtype != q.Qtype || m.Question[0].Qclass != dns.ClassINET || dns.CanonicalName(m.Question[0].Name) != dns.CanonicalName(q.Name):
		return 0, nil, errors.New("it answers another question")
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return 0, nil, fmt.Errorf("it is %s", dns.RcodeToString[m.Rcode])
	case len(m.Answer) > maxSection:
		return 0, nil, fmt.Errorf("it has %d records", len(m.Answer))
	}
	if out, err = chain(m.Answer, q); err != nil {
		return 0, nil, err
	}
	if n := (&dns.Msg{Question: []dns.Question{q}, Answer: out}).Len(); n > maxTold {
		return 0, nil, fmt.Errorf("it has %d bytes", n)
	}
	return m.Rcode, out, nil
}

// chain takes what answers a question out of a section, from alias to alias.
func chain(section []dns.RR, q dns.Question) (out []dns.RR, err error) {
	owner, at := q.Name, dns.CanonicalName(q.Name)
	seen := map[string]bool{}
	for {
		var found []dns.RR
		var alias *dns.CNAME
		for _, rr := range section {
			h := rr.Header()
			if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != at {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				if alias != nil && dns.CanonicalName(alias.Target) != dns.CanonicalName(c.Target) {
					return nil, fmt.Errorf("%s is another name twice", at)
				}
				alias = c
			}
			if h.Rrtype != q.Qtype {
				continue
			}
			if rr = passed(rr); rr != nil {
				found = append(found, headed(rr, owner))
			}
		}
		switch {
		case len(found) > maxRecords:
			return nil, fmt.Errorf("%s has %d records", at, len(found))
		case len(found) > 0 || alias == nil:
			return append(out, found...), nil
		}
		if seen[at] = true; len(seen) > maxChain || seen[dns.CanonicalName(alias.Target)] {
			return nil, fmt.Errorf("%s leads to names without end", q.Name)
		}
		out = append(out, headed(alias, owner))
		owner, at = alias.Target, dns.CanonicalName(alias.Target)
	}
}

// headed is a record of an owner that lives no longer than what is answered from
// here: what was granted may be taken back.
func headed(rr dns.RR, owner string) dns.RR {
	out := dns.Copy(rr)
	h := out.Header()
	h.Name, h.Ttl = owner, min(h.Ttl, ttl)
	return out
}
