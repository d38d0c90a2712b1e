package dns

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// passed is a record as it is passed on, or nil: of HTTPS and SVCB (RFC 9460) what
// would lead round the gate is taken out.
func passed(rr dns.RR) dns.RR {
	switch rr := rr.(type) {
	case *dns.SVCB:
		return service(dns.Copy(rr).(*dns.SVCB))
	case *dns.HTTPS:
		out := dns.Copy(rr).(*dns.HTTPS)
		// A client that follows it to another name connects to that and asks for the
		// first, which is 421; without, it goes to the first.
		elsewhere := out.Target != "." && dns.CanonicalName(out.Target) != dns.CanonicalName(out.Hdr.Name)
		if elsewhere || service(&out.SVCB) == nil {
			return nil
		}
		return out
	}
	return rr
}

// service leaves which protocols are spoken, but HTTP/3, and at which port. Keys for
// hidden names (hostile 37), addresses, which nobody judged, and what is not known
// are taken out; a record that is nothing without them (8) is none.
func service(rr *dns.SVCB) dns.RR {
	var kept []dns.SVCBKeyValue
	var must []dns.SVCBKey
	spoken, alone := 0, false
	for _, kv := range rr.Value {
		switch kv := kv.(type) {
		case *dns.SVCBMandatory:
			must = kv.Code
		case *dns.SVCBAlpn:
			kv.Alpn = slices.DeleteFunc(kv.Alpn, func(p string) bool { // and its drafts, and QUIC before them
				return p == "" || strings.HasPrefix(p, "h3") || strings.HasPrefix(p, "hq") || strings.HasPrefix(p, "doq")
			})
			if spoken = len(kv.Alpn); spoken > 0 {
				kept = append(kept, kv)
			}
		case *dns.SVCBNoDefaultAlpn:
			alone = true
			kept = append(kept, kv)
		case *dns.SVCBPort, *dns.SVCBDoHPath:
			kept = append(kept, kv)
		}
	}
	if alone && spoken == 0 { // nothing that is left is spoken there
		return nil
	}
	for _, k := range must {
		if !slices.ContainsFunc(kept, func(kv dns.SVCBKeyValue) bool { return kv.Key() == k }) {
			return nil
		}
	}
	if len(must) > 0 {
		kept = append(kept, &dns.SVCBMandatory{Code: must})
	}
	rr.Value = kept
	return rr
}
