package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/dest"
	"sallyport/sandbox"
)

// served is a Server on loopback.
type served struct {
	*Server
	udp, tcp string
	mu       sync.Mutex
	asked    []Query
}

func serve(t *testing.T, limit int, exists func(dest.Host) bool, change ...func(*Server)) *served {
	t.Helper()
	s := &served{}
	s.Server = &Server{Names: sandbox.NewNames(limit), Exists: exists, Record: func(q Query) {
		s.mu.Lock()
		s.asked = append(s.asked, q)
		s.mu.Unlock()
	}}
	for _, f := range change {
		f(s.Server)
	}
	u, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	if err := PacketInfo(u); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.ServePacket(u) })
	wg.Go(func() { _ = s.ServeTCP(l) })
	t.Cleanup(func() { _, _ = u.Close(), l.Close(); wg.Wait() })
	s.udp, s.tcp = fmt.Sprintf("127.0.0.1:%d", u.LocalAddr().(*net.UDPAddr).Port), l.Addr().String()
	return s
}

func (s *served) last() Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return Query{}
	}
	return s.asked[len(s.asked)-1]
}

// hostile 95: every question is answered from here, and none with more than an
// address of ours.
func TestAnswers(t *testing.T) {
	s := serve(t, 0, func(h dest.Host) bool { return h.String() != "gone.example" })
	first := map[string]string{}
	for _, c := range []struct {
		name    string
		qtype   uint16
		class   uint16
		rcode   int
		answers string // prefix of the one answer; "" none
	}{
		{"api.example.com.", dns.TypeA, dns.ClassINET, dns.RcodeSuccess, "198.18.0.16"},
		{"API.Example.COM.", dns.TypeA, dns.ClassINET, dns.RcodeSuccess, "198.18.0.16"},
		{"api.example.com.", dns.TypeAAAA, dns.ClassINET, dns.RcodeSuccess, "fd53:616c:6c79::10"},
		{"b.example.com.", dns.TypeA, dns.ClassINET, dns.RcodeSuccess, "198.18.0.17"},
		{"localhost.", dns.TypeA, dns.ClassINET, dns.RcodeSuccess, "127.0.0.1"},
		{"x.localhost.", dns.TypeAAAA, dns.ClassINET, dns.RcodeSuccess, "::1"},
		{"gone.example.", dns.TypeA, dns.ClassINET, dns.RcodeNameError, ""},
		{"16.0.18.198.in-addr.arpa.", dns.TypePTR, dns.ClassINET, dns.RcodeSuccess, "api.example.com."},
		{"1.0.0.10.in-addr.arpa.", dns.TypePTR, dns.ClassINET, dns.RcodeNameError, ""},
		{"x.in-addr.arpa.", dns.TypePTR, dns.ClassINET, dns.RcodeNameError, ""},
		{strings.Repeat("0.", 31) + "1.ip6.arpa.", dns.TypePTR, dns.ClassINET, dns.RcodeNameError, ""},
		{"api.example.com.", dns.TypeTXT, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", dns.TypeMX, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", dns.TypeHTTPS, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", dns.TypeSVCB, dns.ClassINET, dns.RcodeSuccess, ""},
		{"_x._tcp.example.com.", dns.TypeSRV, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", dns.TypeANY, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", dns.TypeNULL, dns.ClassINET, dns.RcodeSuccess, ""},
		{"api.example.com.", 65280, dns.ClassINET, dns.RcodeSuccess, ""},
		{"version.bind.", dns.TypeTXT, dns.ClassCHAOS, dns.RcodeRefused, ""},
		{"a_b!.example.", dns.TypeA, dns.ClassINET, dns.RcodeNameError, ""},
		{".", dns.TypeNS, dns.ClassINET, dns.RcodeNameError, ""},
	} {
		for network, at := range map[string]string{"udp": s.udp, "tcp": s.tcp} {
			m := new(dns.Msg)
			m.SetQuestion(c.name, c.qtype)
			m.Question[0].Qclass = c.class
			r, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, at)
			if err != nil {
				t.Fatalf("%s %s: %v", network, c.name, err)
			}
			if r.Rcode != c.rcode || len(r.Answer) > 1 || (len(r.Answer) == 1) != (c.answers != "") || c.answers != "" && !strings.Contains(r.Answer[0].String(), c.answers) {
				t.Errorf("%s %s %s: %v", network, c.name, dns.TypeToString[c.qtype], r)
			}
			q := s.last()
			if q.Transport != network || q.Rcode != dns.RcodeToString[c.rcode] || !strings.EqualFold(q.Name, c.name) {
				t.Errorf("recorded as %+v", q)
			}
			if len(r.Answer) == 1 {
				k := strings.ToLower(c.name) + dns.TypeToString[c.qtype]
				if a, ok := first[k]; ok && a != q.Answers[0] {
					t.Errorf("%s has two addresses: %s, %s", k, a, q.Answers[0])
				}
				first[k] = q.Answers[0]
			}
		}
	}
}

// Full means SERVFAIL, never an address of another name.
func TestFull(t *testing.T) {
	s := serve(t, 2, nil)
	for i, want := range []int{dns.RcodeSuccess, dns.RcodeSuccess, dns.RcodeServerFailure} {
		m := new(dns.Msg)
		m.SetQuestion(fmt.Sprintf("n%d.example.", i), dns.TypeA)
		r, err := dns.Exchange(m, s.udp)
		if err != nil || r.Rcode != want {
			t.Errorf("%d: %v %v", i, r, err)
		}
	}
}

// EDNS is spoken as far as it is needed: RFC 6891.
func TestEDNS(t *testing.T) {
	s := serve(t, 0, nil)
	m := new(dns.Msg)
	m.SetQuestion("a.example.", dns.TypeA)
	m.SetEdns0(4096, true)
	r, err := dns.Exchange(m, s.udp)
	if err != nil || r.IsEdns0() == nil || r.Rcode != dns.RcodeSuccess {
		t.Errorf("%v %v", r, err)
	}
	m.IsEdns0().SetVersion(1)
	if r, err = dns.Exchange(m, s.udp); err != nil || r.IsEdns0() == nil || r.IsEdns0().ExtendedRcode()|r.Rcode != dns.RcodeBadVers {
		t.Errorf("%v %v", r, err)
	}
}

// What is no query gets an error or nothing, and the server lives on.
func TestMalformed(t *testing.T) {
	s := serve(t, 0, nil)
	two := new(dns.Msg)
	two.SetQuestion("a.example.", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	update := new(dns.Msg)
	update.SetUpdate("example.")
	answer := new(dns.Msg)
	answer.SetQuestion("a.example.", dns.TypeA)
	answer.Response = true
	pack := func(m *dns.Msg) []byte { b, _ := m.Pack(); return b }
	for name, c := range map[string]struct {
		wire []byte
		want int // rcode, -1 for no answer
	}{
		"nothing":       {[]byte{}, -1},
		"short":         {[]byte{1, 2, 3}, -1},
		"a header only": {make([]byte, 12), dns.RcodeFormatError},
		"cut":           {pack(two)[:20], dns.RcodeFormatError},
		"two questions": {pack(two), dns.RcodeFormatError},
		"an update":     {pack(update), dns.RcodeNotImplemented},
		"an answer":     {pack(answer), -1},
		"a loop":        {append(append(make([]byte, 4), 0, 1, 0, 0, 0, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
	} {
		out, _ := s.answer(c.wire, "udp")
		if c.want < 0 {
			if out != nil {
				t.Errorf("%s is answered", name)
			}
			continue
		}
		var r dns.Msg
		if err := r.Unpack(out); err != nil || r.Rcode != c.want || len(r.Answer) > 0 {
			t.Errorf("%s: %v %v", name, &r, err)
		}
	}
	if _, err := dns.Exchange(new(dns.Msg).SetQuestion("a.example.", dns.TypeA), s.udp); err != nil {
		t.Error(err)
	}
}

// A flood is not answered beyond what one sandbox may ask.
func TestQueryFlood(t *testing.T) {
	s := &Server{Names: sandbox.NewNames(0)}
	wire, _ := new(dns.Msg).SetQuestion("a.example.", dns.TypeA).Pack()
	answered := 0
	start := time.Now()
	for range 3 * burst {
		if out, _ := s.answer(wire, "udp"); out != nil {
			answered++
		}
	}
	if most := burst + int(time.Since(start).Seconds()*perSecond) + 1; answered < burst || answered > most {
		t.Errorf("%d of %d were answered, want %d to %d", answered, 3*burst, burst, most)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"1.2.3.4.in-addr.arpa.": "4.3.2.1",
		"0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.7.c.6.c.6.1.6.3.5.d.f.ip6.arpa.": "fd53:616c:6c79::10",
		"2.3.4.in-addr.arpa.": "", "1.2.3.4.5.in-addr.arpa.": "", "x.ip6.arpa.": "", "example.": "", ".": "",
	} {
		a, ok := reverse(name)
		if ok != (want != "") || ok && a != netip.MustParseAddr(want) {
			t.Errorf("%s: %v %v", name, a, ok)
		}
	}
}

// Whatever comes, the answer is one, and carries nothing but addresses of ours.
func FuzzAnswer(f *testing.F) {
	for _, q := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT} {
		b, _ := new(dns.Msg).SetQuestion("a.example.", q).Pack()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := &Server{Names: sandbox.NewNames(16)}
		out, _ := s.answer(wire, "udp")
		if out == nil {
			return
		}
		var r dns.Msg
		if err := r.Unpack(out); err != nil {
			t.Fatalf("the answer is not one: %v", err)
		}
		if len(out) > 65535 || !r.Response {
			t.Fatal(&r)
		}
		for _, a := range r.Answer {
			switch a.(type) {
			case *dns.A, *dns.AAAA, *dns.PTR:
			default:
				t.Fatalf("answered with %v", a)
			}
		}
	})
}
