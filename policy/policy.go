// Package policy is the question that the proxy asks about traffic and the answer it gets.
package policy

import (
	"net/http"
	"net/netip"
	"time"

	"sallyport/dest"
	"sallyport/sandbox"
)

// A Phase is a point on the path of a request at which policy is asked. Its
// rules are in package egress, or egress.<phase>.
type Phase string

const (
	Request  Phase = "egress"   // an HTTP request, with everything known
	Connect  Phase = "connect"  // an opaque connection: raw TCP, or TLS passed through unopened
	DNS      Phase = "dns"      // a DNS query other than A and AAAA
	Dial     Phase = "dial"     // the addresses about to be dialled: only deny counts
	Response Phase = "response" // a response before it is delivered: only deny and edits count
	Message  Phase = "message"  // a WebSocket or gRPC message: only deny counts
)

// A BodyState says what is known of a body. The zero BodyState is None.
type BodyState string

const (
	BodyNone      BodyState = "none"      // there is no body
	BodyParsed    BodyState = "parsed"    // Body holds all of it
	BodyTruncated BodyState = "truncated" // longer than what is inspected: uncertain
	BodyUnparsed  BodyState = "unparsed"  // not read, or not of a form that can be read: uncertain
)

// A Question is all that one phase may know. Fields that its phase does not
// have are ignored.
type Question struct {
	Phase       Phase
	Sandbox     *sandbox.Sandbox
	Destination Destination
	Request     *RequestFacts  // phases egress, dial, response, message; nil in dial for an opaque connection
	Response    *ResponseFacts // phase response
	Message     *MessageFacts  // phase message
	Addresses   []netip.Addr   // phase dial
	DNS         *DNSFacts      // phase dns; Destination has nothing in it
}

// A Destination is where traffic wants to go, in canonical form, and what each
// layer called it.
type Destination struct {
	Addr     dest.Addr
	Scheme   string // "http", "https", or "" when opaque
	Protocol string // "http/1.0", "http/1.1", "h2", "h2c", "websocket", "tls", "tcp"
	Connect  string // authority of a CONNECT request, canonical; empty when there was none
	SNI      string
	Host     string // Host or :authority, canonical
}

// RequestFacts is an HTTP request as it will be forwarded.
type RequestFacts struct {
	Method      string
	Path        string // decoded, except %2F, so that segments stay what they are
	PathRaw     string // as sent
	Segments    []string
	Query       map[string][]string
	Header      http.Header
	Size        int64 // of the body in bytes; -1 when not known: uncertain
	ContentType string
	Body        any // a JSON value when BodyState is BodyParsed
	BodyState   BodyState
	GRPC        *GRPC // nil when the request is none of gRPC or gRPC-web
	Views
}

// A GRPC is the method that a gRPC request calls, as the server reads it.
type GRPC struct{ Service, Method string }

// ResponseFacts is an upstream's response as the sandbox will see it.
type ResponseFacts struct {
	Status      int
	Header      http.Header
	Size        int64
	ContentType string
	Body        any
	BodyState   BodyState
}

// MessageFacts is a message before the other side sees any of it.
type MessageFacts struct {
	Direction string // "to_origin", "to_client"
	Kind      string // "text", "binary", "grpc"
	Size      int64  // in bytes; -1 when not known: uncertain
	Body      any    // a JSON value when BodyState is BodyParsed
	BodyState BodyState
}

// DNSFacts are what a name server is asked.
type DNSFacts struct {
	Name dest.Host
	Type string // TXT, MX and the like; TYPE65280 where it has no name
}

// A Decision is an answer. The zero Decision denies. Nobody changes one: it can be
// kept, and given to whoever asks the same.
type Decision struct {
	Phase     Phase
	Allow     bool
	Opaque    bool     // phase connect: bytes may pass unread
	WebSocket bool     // phase egress: what is allowed may become a WebSocket
	Deny      []Denial // one is enough
	Err       error    // why there is no answer; then Allow is false

	Respond     *Respond
	Rewrite     *Rewrite
	Credentials []Credential
	Set         []Header // merged: one element a name, canonical MIME case
	Remove      []string // canonical MIME case
	Owned       []string // headers that some rule can set: the client's are dropped whether it holds or not
	Patch       []Patch  // of a body of JSON; they agree, in order of their paths
	Limits      Limits
	Quotas      []Quota // phases egress and connect
	Reasons     []string
	Audit       Audit

	Policy string // name of the policy
	Digest string // sha256 of the compiled policy with its data, hex
	// Input is the part of the input that the policy can read, as JSON: what a
	// record keeps so that the decision can be made again.
	Input []byte
	// Reads is what of the input the policy can read, as a JSON array of pointers: what
	// is in it and not in Input was not there. It is nil when that is not known.
	Reads []byte
	Steps int           // expressions evaluated
	Took  time.Duration // evaluation only: zero when Cached
	// Cached says that the same was asked before; Steps are those of then.
	Cached bool
}

// Granted reports whether the effect may happen.
func (d *Decision) Granted() bool {
	return d != nil && d.Err == nil && d.Allow && len(d.Deny) == 0
}

// Codes that are not of a rule.
const (
	CodeDefaultDeny = "default_deny" // no rule allows it
	CodePolicyError = "policy_error" // undefined, wrong shape, timeout, conflict of rules
	CodeUncertain   = "uncertain"    // it depends on a fact that is not known
	CodeConflict    = "header_conflict"

	CodeBodyConflict = "body_conflict"
)

// A Denial is a reason to refuse: a code in snake_case, what the client may
// read, and what only the operator does.
type Denial struct{ Code, Public, Operator string }

// Refusal returns the denial that the client is told, and false if there is none.
// The first in order of code stands for all.
func (d *Decision) Refusal() (Denial, bool) {
	switch {
	case d == nil:
		return Denial{Code: CodePolicyError, Public: "the policy gave no answer"}, true
	case d.Granted():
		return Denial{}, false
	case d.Err != nil && len(d.Deny) == 0:
		return Denial{Code: CodePolicyError, Public: "the policy could not be evaluated", Operator: d.Err.Error()}, true
	case len(d.Deny) > 0:
		return d.Deny[0], true
	}
	return Denial{Code: CodeDefaultDeny, Public: "no rule allows this"}, true
}

// A Header is one header field that policy sets.
type Header struct{ Name, Value string }

// A Credential is asked for by name; what it is and where it may go is not
// policy's to say.
type Credential struct {
	Name   string
	Params map[string]string
}

// A Respond is an answer of policy's own: no upstream is touched.
type Respond struct {
	Status int // 200 to 599
	Header []Header
	Body   string
}

// A Rewrite replaces the target of a request; it is judged again, once.
type Rewrite struct {
	Scheme string // "" keeps
	Host   string // host or host:port; "" keeps
	Path   string // "" keeps
}

// Limits bound an exchange; zero is none.
type Limits struct {
	RequestBytes, ResponseBytes int64
	Duration                    time.Duration
}

// Audit raises what a record keeps.
type Audit struct {
	Level string // "", "metadata", "request", "request_response"
	Tags  []string
}
