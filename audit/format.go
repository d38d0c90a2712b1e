package audit

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

// FormatEntry writes a record as one line for people. What a sandbox chose
// cannot write on the terminal.
func FormatEntry(w io.Writer, e Entry, color bool) error {
	paint := func(c, s string) string {
		if !color || s == "" {
			return s
		}
		return c + s + plain
	}
	t, err := time.Parse(time.RFC3339Nano, e.Str("@timestamp"))
	at := e.Str("@timestamp")
	if err == nil {
		at = t.Local().Format("15:04:05.000")
	}
	verb, c := verb(e)
	parts := []string{paint(faint, at), paint(c, fmt.Sprintf("%-8s", verb))}
	if n := e.Str("sandbox.name"); n != "" {
		parts = append(parts, paint(faint, visible(n)))
	}
	if s := subject(e); s != "" {
		parts = append(parts, visible(s))
	}
	if s := detail(e); s != "" {
		parts = append(parts, visible(s))
	}
	if code := e.Str("policy.code"); code != "" {
		parts = append(parts, paint(c, visible(code)))
		if p := e.Str("policy.public"); p != "" {
			parts = append(parts, visible(p))
		}
		if p := e.Str("policy.operator"); p != "" {
			parts = append(parts, paint(faint, "("+visible(p)+")"))
		}
	}
	if w := e.Str("policy.would_deny"); w != "" {
		parts = append(parts, paint(c, "would be "+visible(w)))
	}
	if et := e.Str("error.type"); et != "" {
		parts = append(parts, paint(red, visible(et)), visible(strings.TrimPrefix(e.Str("error.message"), et+": ")))
	}
	if us, ok := e.Fields["credential.uses"].([]any); ok {
		for _, u := range us {
			if m, ok := u.(map[string]any); ok && m["name"] != nil {
				parts = append(parts, paint(yellow, "credential="+visible(fmt.Sprint(m["name"]))))
			}
		}
	}
	if d := e.Int("event.duration"); d > 0 {
		parts = append(parts, paint(faint, time.Duration(d).Round(10*time.Microsecond).String()))
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(strings.Join(parts, "  "), " "))
	return err
}

func verb(e Entry) (string, string) {
	switch n := Name(e.Str("event.name")); n {
	case RequestDecision, TunnelDecision, MessageDecision, DNSDecision:
		switch d := e.Str("policy.decision"); d {
		case "allow", "respond":
			if e.Str("policy.would_deny") != "" {
				return "observed", yellow
			}
			return d, green
		default:
			return d, red
		}
	case RequestComplete:
		if e.Str("event.outcome") == "failure" {
			return "failed", red
		}
		return "done", green
	case TunnelOpen:
		return "open", green
	case TunnelProgress, RequestProgress:
		return "passing", faint
	case TunnelClose:
		return "closed", faint
	case PacketRefused:
		return "refused", red
	case DenySummary:
		return "again", red
	case RequestLost:
		return "lost", yellow
	case DNSQuery:
		if unanswered(e) {
			return "refused", red
		}
		return "dns", faint
	default:
		s := strings.TrimPrefix(string(n), "egress.")
		return s, faint
	}
}

func subject(e Entry) string {
	switch Name(e.Str("event.name")) {
	case DNSQuery, DNSDecision:
		s := e.Str("dns.question.type") + " " + e.Str("dns.question.name") + " " + e.Str("dns.response_code")
		if a, ok := e.Fields["dns.answers"].([]any); ok {
			s += fmt.Sprint(" ", a)
		} else if e.Str("dns.response_code") == "NOERROR" {
			s += " without records"
		}
		return s
	case PacketRefused:
		return e.Str("network.transport") + " " + join(e.Str("destination.address"), e.Int("destination.port"))
	case DenySummary:
		return fmt.Sprintf("%d more %s %s", e.Int("event.count"), e.Str("detail.of"), target(e))
	case RequestLost:
		return "decision " + e.Str("event.of") + ": its outcome is not known"
	}
	s := target(e)
	if st := e.Int("http.response.status_code"); st != 0 {
		s += fmt.Sprintf(" %d", st)
	}
	return s
}

func target(e Entry) string {
	if e.Str("url.domain") == "" {
		return join(e.Str("connection.original.address"), e.Int("connection.original.port"))
	}
	host := join(e.Str("url.domain"), e.Int("url.port"))
	if m := e.Str("http.request.method"); m != "" {
		return m + " " + e.Str("url.scheme") + "://" + host + e.Str("url.path")
	}
	return "tcp " + host
}

func join(host string, port int64) string {
	if port == 0 {
		return host
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, s)
}
