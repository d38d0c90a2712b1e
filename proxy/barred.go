package proxy

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"mime"
	"net/http"
	"slices"
	"strings"

	"sallyport/policy"
)

// barred is why a request is not carried whatever policy says, or nil: it asks
// for names beside the sandbox's own name server (hostile 96), or speaks HTTP
// where another protocol is spoken (hostile 26). What an operator bound is not
// barred.
func (x *exchange) barred() *Refusal {
	switch {
	case x.within():
		return nil
	case otherPorts[x.target.Port()]:
		return portDenied()
	case asksNames(x.r.Header, x.facts):
		return overHTTPS()
	}
	return nil
}

func portDenied() *Refusal {
	return refuse(http.StatusForbidden, "port_denied", "this port is another protocol's, and nothing grants that here").operator("HTTP is carried there to a binding only; egress.connect, or --tcp, opens it to bytes")
}

func overHTTPS() *Refusal {
	return refuse(http.StatusForbidden, "dns_over_https", "names are asked of the sandbox's own name server").operator("DNS over HTTPS is carried to a binding only")
}

// otherPorts are those of protocols that a server of HTTP is not found on, and at
// which a request could be taken for something else: what the Fetch standard calls
// bad ports, DNS over TLS, and databases.
var otherPorts = func() map[uint16]bool {
	out := map[uint16]bool{}
	for _, p := range []uint16{1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115,
		117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 853, 989, 990,
		993, 995, 1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211} {
		out[p] = true
	}
	return out
}()

// shut is why nothing that is said on a new connection could be carried, or nil: its
// port is another protocol's, and egress.connect lets neither bytes nor TLS pass
// unread there. A client that can be told so before it says anything is.
func (w *ward) shut(ctx context.Context, at policy.Destination) *Refusal {
	if _, bound := w.sb.Binding(at.Addr); bound || !otherPorts[at.Addr.Port()] || w.sb.Via(at.Addr) != nil {
		return nil
	}
	for _, tls := range []bool{false, true} {
		at.Protocol = "tcp"
		if tls {
			at.Protocol = "tls"
			if _, ip := at.Addr.Host().Addr(); !ip {
				at.SNI = at.Addr.Host().String()
			}
		}
		if d := w.policy.Decide(ctx, &policy.Question{Phase: policy.Connect, Sandbox: w.sb, Destination: at}); d.Granted() && (d.Opaque || tls) {
			return nil
		}
	}
	return portDenied()
}

// dnsTypes are the media types of RFC 8484, RFC 9230, RFC 8427 and of what large
// resolvers offer beside them.
var dnsTypes = []string{"application/dns-message", "application/oblivious-dns-message", "application/dns+json", "application/dns-json"}

func dnsType(v string) bool {
	t, _, err := mime.ParseMediaType(v)
	if err != nil {
		t, _, _ = strings.Cut(strings.ToLower(v), ";")
	}
	return slices.Contains(dnsTypes, strings.TrimSpace(t))
}

// asksNames reports whether a request is a query of DNS over HTTPS, by any of the
// ways in which it can be said: RFC 8484, 4.1.
func asksNames(h http.Header, f *policy.RequestFacts) bool {
	for _, k := range []string{"Content-Type", "Accept"} {
		for _, v := range h[k] {
			for t := range strings.SplitSeq(v, ",") {
				if dnsType(t) {
					return true
				}
			}
		}
	}
	if slices.ContainsFunc(f.Segments, func(s string) bool { return strings.EqualFold(s, "dns-query") }) {
		return true
	}
	return slices.ContainsFunc(f.Query["dns"], isQuery)
}

// isQuery reports whether a text is a DNS message with one question, in base64url.
func isQuery(s string) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(b) < 17 { // a header, and the shortest question
		return false
	}
	flags, questions, answers := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	return flags&0xf800 == 0 && questions == 1 && answers == 0
}
