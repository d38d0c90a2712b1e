package metrics

import (
	"slices"
	"strings"

	"sallyport/audit"
)

// other stands for whatever has no label of its own.
const other = "other"

// What labels can be. What an event says beyond these is other.
var (
	phases     = set("none egress connect dns dial response message")
	effects    = set("allow deny error respond observe")
	outcomes   = set("success failure unknown")
	sources    = set("none upstream proxy")
	rcodes     = set("NOERROR NXDOMAIN SERVFAIL REFUSED FORMERR NOTIMP BADVERS dropped")
	transports = set("udp udplite icmp icmpv6 sctp dccp")
	actions    = set("create create.error change change.error remove restore restore.error ca.rotate ca.rotate.error")
	reasons    = set("no_certificate wrong_certificate no_token wrong_token from_browser forbidden busy")
	events     = func() map[string]bool {
		out := map[string]bool{}
		for _, n := range []audit.Name{audit.RequestDecision, audit.RequestComplete, audit.RequestProgress, audit.MessageDecision, audit.RequestLost, audit.TunnelDecision, audit.TunnelOpen, audit.TunnelProgress, audit.TunnelClose, audit.DNSDecision, audit.DNSQuery, audit.PacketRefused,
			audit.DenySummary, audit.LifecycleStart, audit.LifecycleStop, audit.ControlChange, audit.ControlRefused, audit.ConfigLoaded, audit.ConfigRefused, audit.PolicyShadow, audit.PolicyLoaded, audit.PolicyRefused, audit.SandboxEnrolled, audit.EnrolRefused} {
			out[string(n)] = true
		}
		return out
	}()
)

// codes are those of refusals and outcomes, as docs/refusals.md has them.
var codes = set(`
	default_deny port_denied dns_over_https policy_error uncertain header_conflict body_conflict rewrite_again sealed paused revoked binding_changed binding_raw via_opaque context_too_large
	request_too_large response_too_large upgrade_denied websocket_invalid method_denied too_many_connections no_descriptors too_many_requests too_many_names rate_exceeded rate_limited concurrency_limited
	proxy_auth_required proxy_auth_wrong proxy_auth_limited too_many_strangers proxy_tls socks_version socks_command socks_invalid
	too_many_questions name_not_asked
	address_denied address_unknown loop_detected too_many_failures too_much_to_inspect authority_mismatch authority_contradiction authority_invalid host_invalid host_missing
	scheme_invalid sni_invalid not_a_proxy_request
	framing_invalid line_invalid target_invalid method_invalid header_invalid header_duplicate connection_invalid
	grpc_invalid path_invalid query_invalid version_unsupported target_too_long headers_too_large headers_too_many body_invalid
	body_unreadable client_stalled http2_flood http2_invalid tls_flood unreadable tls_handshake silent unknown_protocol no_server_name ech
	credential_unknown credential_not_bound credential_ambiguous credential_parameter credential_unplaced credential_client_value placeholder_required placeholder_misplaced credential_unavailable
	h2c_failed name_unresolved resolve_timeout parent_refused parent_auth parent_failed parent_timeout tls_timeout request_timeout response_timeout body_timeout trailer_timeout connect_failed connect_timeout tls_verify tls_failed upstream_timeout upstream_failed
	upstream_malformed response_unreadable leaf audit_unavailable internal
	canceled client_gone truncated reset idle life policy_changed protocol_denied panic
	websocket_violation message_too_large message_flood shutdown`)

// Codes returns the codes that are labels of their own, sorted.
func Codes() []string {
	out := make([]string, 0, len(codes))
	for c := range codes {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// code is the label of a code: ours, the one that stands for all that policies
// make up, or other. What went well has none.
func code(c string, byPolicy bool) string {
	switch {
	case c == "", codes[c]:
		return c
	case byPolicy:
		return "policy"
	}
	return other
}

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

func known(in map[string]bool, s string) string {
	if in[s] {
		return s
	}
	return other
}
