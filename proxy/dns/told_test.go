package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/sandbox"
)

// A liar answers with whatever it was made to.
type liar struct {
	mu    sync.Mutex
	asked []string
	say   func(name string, qtype uint16) ([]byte, error)
}

func (l *liar) Exchange(_ context.Context, name string, qtype uint16) ([]byte, error) {
	l.mu.Lock()
	l.asked = append(l.asked, name+" "+dns.TypeToString[qtype])
	l.mu.Unlock()
	return l.say(name, qtype)
}

func granted(context.Context, Question) (Verdict, func(Query)) { return Ask, nil }

// rrs reads records.
func rrs(t testing.TB, lines ...string) (out []dns.RR) {
	t.Helper()
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		out = append(out, rr)
	}
	return out
}

// says makes an answer of records, which may be spoilt.
func says(t testing.TB, change func(*dns.Msg), lines ...string) func(string, uint16) ([]byte, error) {
	return func(name string, qtype uint16) ([]byte, error) {
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.Response = true
		m.Answer = rrs(t, lines...)
		if change != nil {
			change(m)
		}
		m.Compress = true
		return m.Pack()
	}
}

// through asks a server whose upstream says this, as a client over TCP would.
func through(t testing.TB, say func(string, uint16) ([]byte, error), name string, qtype uint16) (*dns.Msg, Query) {
	t.Helper()
	var got Query
	s := &Server{Names: sandbox.NewNames(0), MayAsk: granted, Upstream: &liar{say: say}, Record: func(q Query) { got = q }}
	wire, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	out, later := s.answer(wire, "tcp")
	if later != nil {
		out = later(t.Context())
	}
	r := new(dns.Msg)
	if err := r.Unpack(out); err != nil {
		t.Fatal(err)
	}
	return r, got
}

func many(n int, line string) (out []string) {
	for i := range n {
		out = append(out, strings.ReplaceAll(line, "#", fmt.Sprint(i)))
	}
	return out
}

// hostile 146: what a name server says is bounded, and nothing passes but what was
// asked for.
func TestHostileAnswers(t *testing.T) {
	raw := func(b string) func(string, uint16) ([]byte, error) {
		return func(string, uint16) ([]byte, error) { return []byte(b), nil }
	}
	question := "\x01a\x07example\x00\x00\x10\x00\x01"
	for what, c := range map[string]struct {
		say   func(string, uint16) ([]byte, error)
		rcode int
		want  string // the answers, without their times
	}{
		"as it is":         {says(t, nil, `a.example. 9 TXT "one"`, `a.example. 9 TXT "two"`), dns.RcodeSuccess, `a.example. TXT "one"|a.example. TXT "two"`},
		"in other case":    {says(t, nil, `A.Example. 9 TXT "one"`), dns.RcodeSuccess, `a.example. TXT "one"`},
		"by another name":  {says(t, nil, `a.example. 9 CNAME b.example.`, `b.example. 9 TXT "one"`), dns.RcodeSuccess, `a.example. CNAME b.example.|b.example. TXT "one"`},
		"in another order": {says(t, nil, `b.example. 9 TXT "one"`, `a.example. 9 CNAME b.example.`), dns.RcodeSuccess, `a.example. CNAME b.example.|b.example. TXT "one"`},
		"an alias alone":   {says(t, nil, `a.example. 9 CNAME b.example.`), dns.RcodeSuccess, `a.example. CNAME b.example.`},
		"no such name":     {says(t, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }), dns.RcodeNameError, ""},
		"nothing":          {says(t, nil), dns.RcodeSuccess, ""},
		"a loop":           {says(t, nil, `a.example. 9 CNAME b.example.`, `b.example. 9 CNAME a.example.`), dns.RcodeServerFailure, ""},
		"a loop to itself": {says(t, nil, `a.example. 9 CNAME a.example.`), dns.RcodeServerFailure, ""},
		"a long chain":     {says(t, nil, append(many(20, `x#.example. 9 CNAME x1#.example.`), `a.example. 9 CNAME x.example.`, `x.example. 9 CNAME x1.example.`, `x1.example. 9 CNAME x11.example.`, `x11.example. 9 CNAME x111.example.`, `x111.example. 9 CNAME x1111.example.`, `x1111.example. 9 CNAME x11111.example.`, `x11111.example. 9 CNAME y.example.`, `y.example. 9 CNAME y1.example.`, `y1.example. 9 CNAME y2.example.`, `y2.example. 9 TXT "end"`)...), dns.RcodeServerFailure, ""},
		"two aliases":      {says(t, nil, `a.example. 9 CNAME b.example.`, `a.example. 9 CNAME c.example.`, `b.example. 9 TXT "b"`, `c.example. 9 TXT "c"`), dns.RcodeServerFailure, ""},
		"of other names":   {says(t, nil, `bank.example. 9 TXT "mine now"`, `a.example. 9 TXT "one"`), dns.RcodeSuccess, `a.example. TXT "one"`},
		"only of others":   {says(t, nil, `bank.example. 9 TXT "mine now"`), dns.RcodeSuccess, ""},
		"of other types":   {says(t, nil, `a.example. 9 A 192.0.2.1`, `a.example. 9 AAAA 2001:db8::1`, `a.example. 9 MX 1 b.example.`, `a.example. 9 TXT "one"`), dns.RcodeSuccess, `a.example. TXT "one"`},
		"of another class": {says(t, nil, `a.example. 9 CH TXT "one"`), dns.RcodeSuccess, ""},
		"in other sections": {says(t, func(m *dns.Msg) {
			m.Extra, m.Ns = rrs(t, `a.example. 9 TXT "x"`, `a.example. 9 A 192.0.2.1`), rrs(t, `a.example. 9 NS b.example.`)
		}), dns.RcodeSuccess, ""},
		"64 answers":         {says(t, nil, many(64, `a.example. 9 TXT "#"`)...), dns.RcodeSuccess, "64"},
		"65 answers":         {says(t, nil, many(65, `a.example. 9 TXT "#"`)...), dns.RcodeServerFailure, ""},
		"1000 answers":       {says(t, nil, many(1000, `x#.example. 9 TXT "#"`)...), dns.RcodeServerFailure, ""},
		"much to read":       {says(t, nil, many(60, `a.example. 9 TXT "#`+strings.Repeat("x", 250)+`" "`+strings.Repeat("y", 250)+`"`)...), dns.RcodeServerFailure, ""},
		"another question":   {says(t, func(m *dns.Msg) { m.Question[0].Name = "bank.example." }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"of another type":    {says(t, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"two questions":      {says(t, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"no answer":          {says(t, func(m *dns.Msg) { m.Response = false }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"an update":          {says(t, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"a cut answer":       {says(t, func(m *dns.Msg) { m.Truncated = true }, `a.example. 9 TXT "one"`), dns.RcodeServerFailure, ""},
		"a failure":          {says(t, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }), dns.RcodeServerFailure, ""},
		"a refusal":          {says(t, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }), dns.RcodeServerFailure, ""},
		"nothing at all":     {raw(""), dns.RcodeServerFailure, ""},
		"half a header":      {raw("\x00\x00\x81"), dns.RcodeServerFailure, ""},
		"a pointer to it":    {raw("\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + "\xc0\x1b\x00\x10\x00\x01\x00\x00\x00\x09\x00\x02\x01x"), dns.RcodeServerFailure, ""},
		"pointers in rounds": {raw("\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + "\xc0\x1d\xc0\x1b\x00\x10\x00\x01\x00\x00\x00\x09\x00\x02\x01x"), dns.RcodeServerFailure, ""},
		"a length beyond it": {raw("\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x09\xff\xff\x01x"), dns.RcodeServerFailure, ""},
		"counts beyond it":   {raw("\x00\x00\x81\x80\x00\x01\xff\xff\xff\xff\xff\xff" + question), dns.RcodeServerFailure, ""},
		"an error":           {func(string, uint16) ([]byte, error) { return nil, errors.New("gone") }, dns.RcodeServerFailure, ""},
	} {
		r, q := through(t, c.say, "a.example.", dns.TypeTXT)
		var got []string
		for _, rr := range r.Answer {
			got = append(got, strings.Join(strings.Fields(strings.Replace(rr.String(), "\t9\tIN\t", " ", 1)), " "))
		}
		if s := strings.Join(got, "|"); r.Rcode != c.rcode || s != c.want && c.want != fmt.Sprint(len(got)) || len(r.Extra) > 0 || r.AuthenticatedData {
			t.Errorf("%s: %v", what, r)
		}
		if (q.Err != nil) != (c.rcode == dns.RcodeServerFailure) || len(q.Answers) != len(got) {
			t.Errorf("%s: recorded as %+v", what, q)
		}
	}
	for _, rr := range func() []dns.RR {
		r, _ := through(t, says(t, nil, `a.example. 2147483647 CNAME b.example.`, `b.example. 4294967295 TXT "one"`), "a.example.", dns.TypeTXT)
		return r.Answer
	}() {
		if rr.Header().Ttl != ttl {
			t.Errorf("it lives for %d s", rr.Header().Ttl)
		}
	}
}

// hostile 37, 94, 146: what HTTPS and SVCB records say passes without what leads
// round the gate: hidden names, addresses, HTTP/3, and what nobody knows yet.
func TestServiceRecords(t *testing.T) {
	for line, want := range map[string]string{
		`1 . alpn="h3,h2" ipv4hint=192.0.2.1 ipv6hint=2001:db8::1 ech="AAAA" port="8443"`: `1 . alpn="h2" port="8443"`,
		`1 b.example. alpn="h2,http/1.1" no-default-alpn`:                                 `1 b.example. alpn="h2,http/1.1" no-default-alpn=""`,
		`0 b.example.`:                                            `0 b.example.`,
		`1 A.example. alpn="h2"`:                                  `1 A.example. alpn="h2"`,
		`1 . alpn="h3,h3-29,hq-29"`:                               `1 .`,
		`1 . alpn="h3" no-default-alpn`:                           ``,
		`1 . mandatory="ech" ech="AAAA"`:                          ``,
		`1 . mandatory="alpn" alpn="h3"`:                          ``,
		`1 . mandatory="alpn" alpn="h2,h3"`:                       `1 . mandatory="alpn" alpn="h2"`,
		`1 . mandatory="ipv4hint,port" ipv4hint=192.0.2.1 port=1`: ``,
		`1 . key65333="x" key9="y" alpn="h2"`:                     `1 . alpn="h2"`,
		`1 . ohttp`:                                               `1 .`,
	} {
		for kind, qtype := range map[string]uint16{"HTTPS": dns.TypeHTTPS, "SVCB": dns.TypeSVCB} {
			want := want
			r, q := through(t, says(t, nil, "a.example. 9 "+kind+" "+line), "a.example.", qtype)
			got := ""
			if len(r.Answer) == 1 {
				_, got, _ = strings.Cut(r.Answer[0].String(), kind+"\t")
			}
			if kind == "HTTPS" && strings.Contains(line, "b.example.") {
				want = "" // nobody is led to another name
			}
			if got != want || q.Err != nil || r.Rcode != dns.RcodeSuccess {
				t.Errorf("%s %s: %q, %v", kind, line, got, q.Err)
			}
		}
	}
}

// Nobody is asked for what can hold addresses or anything at all, nor for what is no
// type of a record; what is granted is asked for by its one name.
func TestNeverAsked(t *testing.T) {
	l := &liar{say: says(t, nil)}
	s := &Server{Names: sandbox.NewNames(0), MayAsk: granted, Upstream: l}
	ask := func(name string, qtype uint16) {
		t.Helper()
		wire, _ := new(dns.Msg).SetQuestion(name, qtype).Pack()
		if out, later := s.answer(wire, "udp"); later != nil {
			later(t.Context())
		} else if out == nil {
			t.Errorf("%s %d is not answered", name, qtype)
		}
	}
	for _, q := range []uint16{dns.TypeA, dns.TypeAAAA, 0, dns.TypeNULL, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeTSIG, dns.TypeTKEY, dns.TypeOPT, 38, 11, dns.TypeAPL, dns.TypeIPSECKEY, dns.TypeL32, dns.TypeL64, dns.TypeAMTRELAY, 200} {
		ask("a.example.", q)
	}
	for _, n := range []string{"localhost.", "10.in-addr.arpa.", "x.ip6.arpa.", "in-addr.arpa."} {
		ask(n, dns.TypeNS)
	}
	ask("16.0.18.198.in-addr.arpa.", dns.TypePTR)
	ask("a!b.example.", dns.TypeTXT)
	if len(l.asked) > 0 {
		t.Errorf("asked for %v", l.asked)
	}
	ask("A.Example.", dns.TypeTXT)
	ask("8.8.8.8.in-addr.arpa.", dns.TypePTR)
	if got := fmt.Sprint(l.asked); got != "[a.example. TXT 8.8.8.8.in-addr.arpa. PTR]" {
		t.Error(got)
	}
	l.asked = nil
	for v, want := range map[Verdict]int{Nothing: dns.RcodeSuccess, Refuse: dns.RcodeRefused, Fail: dns.RcodeServerFailure} {
		s.MayAsk = func(context.Context, Question) (Verdict, func(Query)) { return v, nil }
		wire, _ := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT).Pack()
		_, later := s.answer(wire, "udp")
		r := new(dns.Msg)
		if err := r.Unpack(later(t.Context())); err != nil || r.Rcode != want || len(r.Answer) > 0 || len(l.asked) > 0 {
			t.Errorf("%v: %v %v", v, r, err)
		}
	}
}

// Name servers that are slow are in nobody's way; what they say does not fit is cut
// over UDP, and whole over TCP, where one connection asks again and again.
func TestUpstreamIsSlow(t *testing.T) {
	release, told := make(chan struct{}), says(t, nil, many(40, `a.example. 9 TXT "`+strings.Repeat("x", 60)+`#"`)...)
	s := serve(t, 0, nil, func(s *Server) {
		s.MayAsk = granted
		s.Upstream = &liar{say: func(name string, qtype uint16) ([]byte, error) {
			if name == "slow.example." {
				<-release
			}
			return told(name, qtype)
		}}
	})
	u, err := net.Dial("udp", s.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_ = u.SetDeadline(time.Now().Add(10 * time.Second))
	for i := range asking + 8 {
		m := new(dns.Msg).SetQuestion("slow.example.", dns.TypeTXT)
		m.Id = uint16(i)
		wire, _ := m.Pack()
		_, _ = u.Write(wire)
	}
	if r, err := dns.Exchange(new(dns.Msg).SetQuestion("a.example.", dns.TypeA), s.udp); err != nil || len(r.Answer) != 1 {
		t.Errorf("behind what is slow: %v %v", r, err)
	}
	close(release)
	for range asking { // the others were dropped
		if _, err := u.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	m := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
	if r, err := dns.Exchange(m, s.udp); err != nil || !r.Truncated {
		t.Errorf("%v %v", r, err)
	}
	c, err := dns.Dial("tcp", s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		for range 2 { // two at once are answered in their order
			if err := c.WriteMsg(m); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if r, err := c.ReadMsg(); err != nil || len(r.Answer) != 40 || r.Truncated {
				t.Fatalf("%v %v", r, err)
			}
		}
	}
}

// Whatever a name server says, what passes is an answer to the question, and holds
// nothing but what was asked for.
func FuzzTold(f *testing.F) {
	for _, q := range []uint16{dns.TypeTXT, dns.TypeHTTPS, dns.TypeMX, dns.TypePTR} {
		b, _ := says(f, nil, `a.example. 9 CNAME b.example.`, `b.example. 9 TXT "x"`, `a.example. 9 HTTPS 1 . alpn="h3,h2" ech="AAAA" ipv4hint=192.0.2.1`, `a.example. 9 A 192.0.2.1`)("a.example.", q)
		f.Add(b, q)
	}
	f.Fuzz(func(t *testing.T, wire []byte, qtype uint16) {
		if never(qtype) {
			return
		}
		r, _ := through(t, func(string, uint16) ([]byte, error) { return wire, nil }, "a.example.", qtype)
		if !r.Response || len(r.Question) != 1 || len(r.Answer) > maxChain+maxRecords || len(r.Extra) > 0 {
			t.Fatal(r)
		}
		for _, rr := range r.Answer {
			h := rr.Header()
			if h.Rrtype != qtype && h.Rrtype != dns.TypeCNAME || h.Class != dns.ClassINET || h.Ttl > ttl {
				t.Fatal(rr)
			}
			if s, ok := rr.(*dns.HTTPS); ok {
				for _, kv := range s.Value {
					switch kv.Key() {
					case dns.SVCB_ECHCONFIG, dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT:
						t.Fatal(rr)
					}
				}
			}
		}
	})
}

// Whatever a client asks, with everything granted, the answer is one, answers no more
// than was asked, and has no address but ours.
func FuzzQuery(f *testing.F) {
	for _, q := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypePTR, dns.TypeANY, dns.TypeHTTPS, 11} {
		b, _ := new(dns.Msg).SetQuestion("a.example.", q).SetEdns0(1232, true).Pack()
		f.Add(b, true)
		f.Add(b, false)
	}
	names := sandbox.NewNames(1 << 16)
	f.Fuzz(func(t *testing.T, wire []byte, udp bool) {
		asked := 0
		s := &Server{Names: names, MayAsk: granted, Upstream: &liar{say: func(name string, qtype uint16) ([]byte, error) {
			if asked++; never(qtype) || name != strings.ToLower(name) {
				t.Errorf("asked for %s %d", name, qtype)
			}
			m := new(dns.Msg).SetQuestion(name, qtype)
			m.Response, m.Answer = true, rrs(t, `x.example. 9 A 192.0.2.1`, `x.example. 9 AAAA 2001:db8::1`, `x.example. 9 TXT "x"`)
			for _, rr := range m.Answer {
				rr.Header().Name = name
			}
			return m.Pack()
		}}}
		transport := map[bool]string{true: "udp", false: "tcp"}[udp]
		out, later := s.answer(wire, transport)
		if later != nil {
			out = later(t.Context())
		}
		if out == nil {
			return
		}
		var q, r dns.Msg
		_ = q.Unpack(wire)
		if err := r.Unpack(out); err != nil || !r.Response || r.Id != q.Id || len(r.Question) > 1 || len(r.Answer) > 1 || asked > 1 {
			t.Fatalf("%v: %v", err, &r)
		}
		for _, rr := range r.Answer {
			var a net.IP
			switch rr := rr.(type) {
			case *dns.A:
				a = rr.A
			case *dns.AAAA:
				a = rr.AAAA
			case *dns.TXT:
				continue
			case *dns.PTR:
				continue
			default:
				t.Fatal(rr)
			}
			if s := a.String(); !strings.HasPrefix(s, "198.1") && !strings.HasPrefix(s, "fd53:616c:6c79:") && s != "127.0.0.1" && s != "::1" {
				t.Fatalf("a real address: %v", rr)
			}
		}
	})
}

// A name that stands for an address is that address's, and no other's.
func FuzzReverse(f *testing.F) {
	for _, s := range []string{"1.2.3.4.in-addr.arpa.", strings.Repeat("0.", 31) + "1.ip6.arpa.", "::1.in-addr.arpa.", "x", strings.Repeat("0.", 24) + ".00.0.0.0.00..1.ip6.arpa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		a, ok := reverse(name)
		if !ok {
			return
		}
		back, err := dns.ReverseAddr(a.String())
		if a.Is4In6() {
			return // it has another name, too
		}
		if err != nil || back != strings.ToLower(dns.Fqdn(name)) {
			t.Fatalf("%q is %v, and that is %q", name, a, back)
		}
	})
}
