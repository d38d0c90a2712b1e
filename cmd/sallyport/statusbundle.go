package main

import (
	"fmt"
	"time"

	"sallyport/admin"
)

// bundleOf is how a policy stands that is fetched, such as web: revision 7 from
// https://bundles.example/web.tar.gz, which had nothing else 20s ago.
func bundleOf(p admin.Policy, now time.Time) string {
	b := p.Bundle
	out := p.Name + ": "
	switch {
	case p.Digest == "":
		out += "none yet"
	case p.Revision != "":
		out += "revision " + p.Revision
	default:
		out += p.Digest[:min(12, len(p.Digest))]
	}
	out += " from " + p.Source
	switch {
	case b.Code != "" && b.Answered.IsZero():
		out += fmt.Sprintf(" (%s)", b.Code)
	case b.Code != "":
		out += fmt.Sprintf(" (%s; it was well %s ago)", b.Code, span(now.Sub(b.Answered)))
	case b.Asked.IsZero():
		out += ", which has not answered yet"
	default:
		out += fmt.Sprintf(", which had nothing else %s ago", span(now.Sub(b.Answered)))
	}
	return out
}
