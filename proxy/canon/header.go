package canon

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// single are the fields that stand once and are no lists: a second one, or a
// comma, is read differently by different servers.
var single = []string{"Authorization", "Content-Length", "Content-Type", "Host", "Proxy-Authorization", "Transfer-Encoding", "User-Agent", "X-Api-Key"}

// Headers refuses what is ambiguous in any version of HTTP.
func Headers(h http.Header) error {
	for _, k := range single {
		if vs := h[k]; len(vs) > 1 {
			return invalid("header_duplicate", k+" stands more than once")
		} else if len(vs) == 1 && k == "Content-Length" && !digits(vs[0]) {
			return invalid("framing_invalid", "Content-Length is not a number")
		}
	}
	if vs := h["Authorization"]; len(vs) == 1 {
		if scheme, rest, _ := strings.Cut(vs[0], " "); strings.Contains(scheme, ",") || (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic")) && strings.ContainsAny(rest, ", ") {
			return invalid("header_duplicate", "Authorization is a list")
		}
	}
	for k, vs := range h {
		if !httpguts.ValidHeaderFieldName(k) {
			return invalid("header_invalid", "a field's name has a character that names do not have")
		}
		for _, v := range vs {
			switch {
			case !httpguts.ValidHeaderFieldValue(v):
				return invalid("header_invalid", k+" has a character that values do not have")
			case v != strings.Trim(v, " \t"): // RFC 9113, 8.2.1: HTTP/1 cuts it off
				return invalid("header_invalid", k+" begins or ends with a space")
			case !utf8.ValidString(v): // policy would see one sign for all that is none
				return invalid("header_invalid", k+" is not UTF-8")
			}
		}
	}
	return nil
}

// digits reports whether a length is a number as HTTP/1 writes it.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 18 && (s[0] != '0' || len(s) == 1)
}

// Delete takes a field off under every name that servers take for the same: for
// CGI and what follows it, all but letters and digits are one character.
func Delete(h http.Header, name string) {
	delete(h, textproto.CanonicalMIMEHeaderKey(name))
	for k := range h {
		if len(k) == len(name) && alike(k, name) {
			delete(h, k)
		}
	}
}

func alike(a, b string) bool {
	for i := range len(a) {
		if plainLetter(a[i]) != plainLetter(b[i]) {
			return false
		}
	}
	return true
}

// plainLetter is a letter in lower case, a digit, or - for all else.
func plainLetter(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return c
	}
	return '-'
}

// hop are the fields that end at the next hop: RFC 9110, 7.6.1.
var hop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// shielded are the fields whose removal by Connection would change what a
// request means, so nominating them is refused (hostile 64).
var shielded = []string{"Authorization", "Host", "Content-Length", "Content-Type", "Content-Encoding", "Cookie", "Transfer-Encoding", "Cache-Control", "Origin", "Range", "X-Api-Key"}

// identity are the fields by which servers behind proxies learn who asks, or
// what was asked really: a sandbox's own say nothing (hostile 78, 79). Names are
// compared with - for _.
var identity = map[string]bool{
	"Forwarded": true, "X-Real-Ip": true, "X-Original-Url": true, "X-Original-Uri": true, "X-Rewrite-Url": true, "X-Original-Host": true,
	"X-Host": true, "X-Client-Ip": true, "Client-Ip": true, "True-Client-Ip": true, "X-Cluster-Client-Ip": true, "Cf-Connecting-Ip": true,
	"Fastly-Client-Ip": true, "X-Envoy-External-Address": true, "X-Envoy-Original-Path": true, "X-Proxyuser-Ip": true, "X-Remote-Addr": true,
	"X-Remote-Ip": true, "X-Originating-Ip": true, "Via": true, "X-Http-Method": true, "X-Http-Method-Override": true, "X-Method-Override": true,
	"Http2-Settings": true, "X-Forwarded": true, "Cdn-Loop": true,
}

// StripRequest removes what ends at this hop, what a client nominates to end
// here, and what would claim another identity or method. The token trailers of
// TE stays on what says that it is gRPC: servers of gRPC demand it, and some take
// whatever comes with it for a call, which a policy would not know (hostile 92). An
// upgrade to websocket stays, too.
func StripRequest(h http.Header) error {
	websocket := httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") && httpguts.HeaderValuesContainsToken(h["Upgrade"], "websocket")
	upgrade := len(h["Upgrade"]) > 0 && !httpguts.HeaderValuesContainsToken(h["Upgrade"], "h2c")
	trailers := httpguts.HeaderValuesContainsToken(h["Te"], "trailers") && GRPCOf(h.Get("Content-Type")) == GRPCPlain
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if slices.Contains(shielded, name) {
				return invalid("connection_invalid", "Connection names "+name+", which does not end at this hop")
			}
			delete(h, name)
		}
	}
	for _, k := range hop {
		delete(h, k)
	}
	for k := range h {
		name := k
		if strings.Contains(k, "_") {
			name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(k, "_", "-"))
		}
		if identity[name] || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Sallyport-") {
			delete(h, k)
		}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	switch {
	case websocket:
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	case upgrade: // to something that is refused by name later
		h["Upgrade"] = []string{"other"}
	}
	return nil
}

// StripResponse removes what ends at this hop from a response.
func StripResponse(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); name != "Content-Length" && name != "Content-Type" && name != "Content-Encoding" {
				delete(h, name)
			}
		}
	}
	for _, k := range hop {
		delete(h, k)
	}
	delete(h, "Sallyport-Decision")
}

// TrailerForbidden reports whether a field may not stand in a trailer: what
// frames, routes, authenticates or describes the message (RFC 9110, 6.5.1).
func TrailerForbidden(name string) bool {
	k := textproto.CanonicalMIMEHeaderKey(name)
	if slices.Contains(hop, k) || slices.Contains(shielded, k) || identity[k] {
		return true
	}
	switch k {
	case "Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Location", "Retry-After", "Expect", "Max-Forwards", "Pragma", "Age", "Expires", "Date", "Vary",
		"Content-Range", "Content-Location", "Content-Security-Policy", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Alt-Svc", "Server":
		return true
	}
	return strings.HasPrefix(k, "If-") || strings.HasPrefix(k, "Access-Control-") || strings.HasPrefix(k, "X-Forwarded-")
}
