package sidecar

import (
	"context"
	"errors"
	"net"
	"net/http"

	"sallyport/audit"
	"sallyport/proxy"
	"sallyport/proxy/dns"
	"sallyport/sandbox"
)

// nameServer answers the names of a sandbox.
func nameServer(gate *proxy.Gate, names *sandbox.Names) *dns.Server {
	record := func(q dns.Query) audit.DNS {
		return audit.DNS{Question: q.Name, Type: q.Type, Rcode: q.Rcode, Answers: q.Answers, Transport: q.Transport}
	}
	return &dns.Server{Names: names, Exists: gate.Exists, Upstream: gate,
		Record: func(q dns.Query) { gate.Asked(record(q)) },
		MayAsk: func(ctx context.Context, q dns.Question) (dns.Verdict, func(dns.Query)) {
			done, ref := gate.MayAsk(ctx, q.Name, q.Type, q.About)
			return verdict(ref), func(q dns.Query) { done(record(q), unanswered(q.Err)) }
		}}
}

// verdict is what a client of DNS is told of a refusal.
func verdict(ref *proxy.Refusal) dns.Verdict {
	switch {
	case ref == nil:
		return dns.Ask
	case ref.Status == http.StatusTooManyRequests || ref.Code == "paused" || ref.Code == "revoked":
		return dns.Refuse
	case ref.Status >= http.StatusInternalServerError:
		return dns.Fail
	}
	return dns.Nothing
}

// unanswered is why name servers that were asked gave no answer, or one that is not
// passed on.
func unanswered(err error) *proxy.Refusal {
	var bad *dns.AnswerError
	var ne net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		return &proxy.Refusal{Status: http.StatusBadGateway, Code: "upstream_malformed", Public: "the answer of the name server is not passed on", Err: err}
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout():
		return &proxy.Refusal{Status: http.StatusGatewayTimeout, Code: "upstream_timeout", Public: "no name server answered in time", Err: err}
	}
	return &proxy.Refusal{Status: http.StatusBadGateway, Code: "name_unresolved", Public: "no name server gave an answer", Err: err}
}
