package proxy

import (
	"encoding/base64"
	"encoding/binary"
	"mime"
	"net/http"
	"slices"
	"strings"

	"sallyport/policy"
)

// barred is why a request is not carried whatever policy says, or nil: it asks
// for names beside the sandbox's own name server (hostile 96). What an operator
// bound is not barred.
func (x *exchange) barred() *Refusal {
	switch {
	case x.within():
		return nil
	case asksNames(x.r.Header, x.facts):
		return overHTTPS()
	}
	return nil
}

func overHTTPS() *Refusal {
	return refuse(http.StatusForbidden, "dns_over_https", "names are asked of the sandbox's own name server").operator("DNS over HTTPS is carried to a binding only")
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
