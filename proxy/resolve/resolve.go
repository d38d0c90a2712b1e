// Package resolve asks the operator's name servers: over UDP, TCP, TLS and HTTPS.
package resolve

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"sallyport/proxy/causes"
)

// Bounds of one question.
const (
	tryLimit     = 3 * time.Second // for one server to answer
	downFor      = 10 * time.Second
	maxChain     = 8   // names that one leads to
	maxAddresses = 16  // of a family: what a name has beyond is not used
	maxRecords   = 512 // in a section of an answer
	maxMessage   = 65535
)

// Options are what servers are reached with.
type Options struct {
	// Roots verify servers that are asked over TLS and name no CA; nil means the system's.
	Roots *x509.CertPool
	// Dial opens connections to servers; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Resolver asks servers in order until one answers. What it was told it does not
// keep: how quickly a name is found would tell one sandbox what another asked for.
// It is safe for concurrent use.
type Resolver struct{ servers []*server }

// New makes a Resolver of at least one server.
func New(of []Server, o Options) (*Resolver, error) {
	if len(of) == 0 {
		return nil, errors.New("no name server is given")
	}
	r := &Resolver{}
	for _, s := range of {
		r.servers = append(r.servers, newServer(s, o))
	}
	return r, nil
}

// A Stat counts what one server was asked, and how often it gave no answer.
type Stat struct {
	Server        string
	Asked, Failed uint64
}

// Stats are of all servers, in their order.
func (r *Resolver) Stats() (out []Stat) {
	for _, s := range r.servers {
		out = append(out, Stat{s.String(), s.asked.Load(), s.failed.Load()})
	}
	return out
}

// Close lets go of connections that are kept. What is asked afterwards is answered
// all the same.
func (r *Resolver) Close() {
	for _, s := range r.servers {
		s.close()
	}
}

// Exchange asks for the records of one type of a name, and returns the answer as a
// message (RFC 1035, 4.1) which is for this question: its code is NOERROR or
// NXDOMAIN. A name without a dot at its end is taken for absolute too.
func (r *Resolver) Exchange(ctx context.Context, name string, qtype uint16) ([]byte, error) {
	m, err := r.ask(ctx, name, qtype)
	if err != nil {
		return nil, err
	}
	return m.Pack()
}

// LookupNetIP returns the addresses of an absolute name, those of IPv6 first. The
// error is a *net.DNSError, and says so when the name does not exist or has none.
func (r *Resolver) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	var types []uint16
	switch network {
	case "ip":
		types = []uint16{dns.TypeAAAA, dns.TypeA}
	case "ip4":
		types = []uint16{dns.TypeA}
	case "ip6":
		types = []uint16{dns.TypeAAAA}
	default:
		return nil, &net.DNSError{Err: "unknown network " + network, Name: name}
	}
	found, errs := make([][]netip.Addr, len(types)), make([]error, len(types))
	done := make(chan struct{}, len(types))
	for i, t := range types {
		go func() {
			found[i], errs[i] = r.addresses(ctx, name, t)
			done <- struct{}{}
		}()
	}
	for range types {
		<-done
	}
	if all := slices.Concat(found...); len(all) > 0 { // a family that gave none is not reached
		return all, nil
	}
	err := causes.Join(errs...)
	if err == nil {
		return nil, &net.DNSError{Err: "no address", Name: name, IsNotFound: true}
	}
	var none *nameError
	var ne net.Error
	return nil, &net.DNSError{Err: err.Error(), Name: name, IsNotFound: errors.As(err, &none), IsTimeout: errors.As(err, &ne) && ne.Timeout(), UnwrapErr: err}
}

// A nameError is the answer that a name does not exist.
type nameError struct{ name string }

func (e *nameError) Error() string { return e.name + " does not exist" }

// addresses follows a name to its addresses of one family.
func (r *Resolver) addresses(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error) {
	at := dns.CanonicalName(name)
	seen := map[string]bool{}
	for {
		m, err := r.ask(ctx, at, qtype)
		if err != nil {
			return nil, err
		}
		next, addrs, err := follow(m, at, qtype, seen)
		switch {
		case err != nil:
			return nil, err
		case len(addrs) > 0:
			return addrs, nil
		case m.Rcode == dns.RcodeNameError:
			return nil, &nameError{name}
		case next == at: // it is there, and has none of this kind
			return nil, nil
		}
		at = next // the server did not follow it itself
	}
}

// follow walks through an answer from one name to the last that it leads to, and
// returns that with its addresses.
func follow(m *dns.Msg, at string, qtype uint16, seen map[string]bool) (last string, addrs []netip.Addr, err error) {
	for {
		alias := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != at {
				continue
			}
			var a netip.Addr
			switch rr := rr.(type) {
			case *dns.CNAME:
				alias = dns.CanonicalName(rr.Target)
				continue
			case *dns.A:
				a, _ = netip.AddrFromSlice(rr.A.To4())
			case *dns.AAAA:
				a, _ = netip.AddrFromSlice(rr.AAAA)
			}
			if h.Rrtype == qtype && a.IsValid() && len(addrs) < maxAddresses && !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
		if alias == "" || len(addrs) > 0 {
			return at, addrs, nil
		}
		if seen[at] = true; seen[alias] || len(seen) > maxChain {
			return "", nil, fmt.Errorf("%s leads to names without end", at)
		}
		at = alias
	}
}

// ask puts a question to the servers, those last that failed a moment ago.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	name = dns.Fqdn(name)
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, fmt.Errorf("%q is no name", name)
	}
	order := slices.Clone(r.servers)
	now := time.Now()
	slices.SortStableFunc(order, func(a, b *server) int { return b2i(a.down(now)) - b2i(b.down(now)) })
	var errs []error
	for _, s := range order {
		m, err := s.ask(ctx, name, qtype)
		if err == nil {
			return m, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, causes.Join(errs...)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ask puts a question to one server and checks that what comes answers it.
func (s *server) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	s.asked.Add(1)
	tried, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	m, err := s.exchange(tried, q)
	if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		err = fmt.Errorf("it answers %s", dns.RcodeToString[m.Rcode])
	}
	switch {
	case err == nil:
		s.since.Store(0)
		return m, nil
	case waited(ctx): // otherwise nobody did
		s.failed.Add(1)
		s.since.Store(time.Now().UnixNano())
	}
	return nil, err
}

// waited reports whether who asked still does.
func waited(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Now().Before(end))
}

// down reports whether a server failed a moment ago and has not answered since.
func (s *server) down(now time.Time) bool {
	at := s.since.Load()
	return at != 0 && now.UnixNano()-at < int64(downFor)
}

// answers says why a message does not answer a question, or nil.
func answers(q, m *dns.Msg) error {
	switch {
	case !m.Response || m.Id != q.Id || m.Opcode != dns.OpcodeQuery:
		return errors.New("it answers another message")
	case len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype || m.Question[0].Qclass != dns.ClassINET || dns.CanonicalName(m.Question[0].Name) != dns.CanonicalName(q.Question[0].Name):
		return errors.New("it answers another question")
	case len(m.Answer) > maxRecords || len(m.Ns) > maxRecords || len(m.Extra) > maxRecords:
		return errors.New("its answer has too many records")
	}
	return nil
}

// counts are of one server.
type counts struct {
	asked, failed atomic.Uint64
	since         atomic.Int64 // when it failed; 0 when it answered last
}
