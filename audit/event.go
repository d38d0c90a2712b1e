package audit

import (
	"net/netip"
	"time"
)

// An Event is what happened, before the log gives it an id, a sequence number
// and a place in the chain. It is encoded at once when it is recorded, and is
// not kept.
type Event struct {
	Name Name
	// ID is the record's own id (UUIDv7); empty asks the log to choose one.
	ID         string
	Sandbox    Sandbox
	Connection Connection

	Request    *Request
	Server     *Server
	Decision   *Decision
	Credential []CredentialUse
	Result     *Result
	Packet     *Packet
	DNS        *DNS
	Lifecycle  *Lifecycle
	// Of names the decision that this event completes.
	Of string
}

// A Name is an event's type.
type Name string

const (
	RequestDecision Name = "egress.request.decision" // durable before any upstream byte
	RequestComplete Name = "egress.request.complete"
	RequestProgress Name = "egress.request.progress" // what passed of what lasts until now
	MessageDecision Name = "egress.message.decision" // a message that was refused
	RequestLost     Name = "egress.request.lost"     // made at recovery: a decision whose end nobody saw
	TunnelDecision  Name = "egress.tunnel.decision"
	TunnelOpen      Name = "egress.tunnel.open"
	TunnelProgress  Name = "egress.tunnel.progress" // what passed until now
	TunnelClose     Name = "egress.tunnel.close"
	DNSQuery        Name = "egress.dns.query"
	DNSDecision     Name = "egress.dns.decision"   // durable before a name server is asked; a query completes it
	PacketRefused   Name = "egress.packet.refused" // UDP, ICMP and the rest, at the wall
	DenySummary     Name = "egress.deny.summary"   // a flood of one kind, counted
	LifecycleStart  Name = "egress.lifecycle.start"
	LifecycleStop   Name = "egress.lifecycle.stop"
	LifecycleClock  Name = "egress.lifecycle.clock" // the wall clock jumped
	AuditOpen       Name = "egress.audit.open"
	AuditRecovered  Name = "egress.audit.recovered"
	AuditClosed     Name = "egress.audit.closed"
	AuditCheckpoint Name = "egress.audit.checkpoint"    // what was written so far is signed
	SinkState       Name = "egress.audit.sink_state"    // a sink gets nothing, or does again
	SinkRejected    Name = "egress.audit.sink_rejected" // records that a sink will not get
	AuditEpoch      Name = "egress.audit.epoch"         // another key signs from here on
	ControlChange   Name = "egress.control.change"      // somebody commanded the sidecar
	ControlRefused  Name = "egress.control.refused"     // somebody may not
	ConfigLoaded    Name = "egress.config.loaded"       // a new configuration is in force
	ConfigRefused   Name = "egress.config.refused"      // a new configuration is not taken
	PolicyLoaded    Name = "egress.policy.loaded"       // a policy is in force, or found to be what its source has
	PolicyRefused   Name = "egress.policy.refused"      // a bundle is not taken, or cannot be had
	PolicyShadow    Name = "egress.policy.shadow"       // a candidate says otherwise than the policy that decided
	SandboxEnrolled Name = "egress.sandbox.enrolled"
	EnrolRefused    Name = "egress.sandbox.enrol_refused"
	SandboxReleased Name = "egress.sandbox.released"
)

// Sandbox says whose event it is.
type Sandbox struct {
	ID, Name, Way string
	Labels        map[string]string
}

// Connection says what it came on.
type Connection struct {
	ID      string
	Ingress string // transparent, forward, connect, socks, dns
	Client  netip.AddrPort
	// Original is the address that the sandbox connected to, where there is one.
	Original netip.AddrPort
	TLS      *TLS
}

// TLS is what a handshake agreed on.
type TLS struct {
	Version, Cipher, ALPN, SNI string
	Intercepted                bool // opened with a leaf of our own
	LeafSHA256                 string
	Issuer                     string
	Verified                   bool
	Resumed                    bool
	ClientSHA256               string // the certificate that was shown to a server which asked for one
}

// Request is an HTTP request in canonical form. No header is kept but those
// named here.
type Request struct {
	Method, Scheme, Host string
	Port                 uint16
	Path                 string // escaped, as forwarded
	Query                string // with the values of names that carry secrets taken out
	Original             string // the request target as received, when it differs
	Protocol             string // "1.1", "2"
	Name                 string // of the protocol, where it is not HTTP: "websocket"
	UserAgent            string
	ContentType          string
	Size                 int64  // of the body; -1 when not known
	ClientID             string // X-Request-Id as sent: untrusted
	Connect, SNI, HostAs string // what each layer called the destination
}

// Server is the upstream that was dialled.
type Server struct {
	Address netip.AddrPort
	Judged  []Judged
	TLS     *TLS
	Binding string
	Via     string // the operator's service that carries it
	Parent  string // the parent proxy that connects to it
	// Unjudged: only the parent knows its addresses.
	Unjudged bool
}

// Judged is an address and what was said of it.
type Judged struct {
	Address netip.Addr
	Class   string
	OK      bool
}

// Decision is what policy, or a rule of the wall, said.
type Decision struct {
	Effect   string // allow, deny, error, respond
	Action   string // forwarded, blocked, reset, answered, observed
	Phase    string
	Code     string
	Public   string
	Operator string
	Reasons  []string
	Tags     []string
	Policy   string
	Digest   string
	Input    []byte // JSON: the part of the input that the policy read
	Reads    []byte // JSON: what of the input it can read
	Steps    int
	Cached   bool // the same was decided before; Took is zero then
	Took     time.Duration
	Would    string   // in observe: the code that would have refused
	Edits    []string // pointers to what policy edits in the body, never what it puts there
}

// CredentialUse names a credential that was put on a request, never its value.
type CredentialUse struct {
	Name, Kind, Version, Source string
	Place                       string // header:Authorization, query:key
	Client                      string // none, stripped, withheld
}

// Result is how it ended.
type Result struct {
	Outcome       string // success, failure, unknown
	Status        int    // 0 when nothing was returned
	Source        string // upstream, proxy
	ErrorType     string // dns, dial, tls_verify, timeout, truncated, canceled, panic …
	Error         string
	BytesIn       int64 // from the sandbox
	BytesOut      int64 // to the sandbox
	Scrubbed      int
	Edits         []string // pointers to what policy edited in the answer's body
	Resends       int
	Took          time.Duration
	TimeToFirst   time.Duration
	ContentType   string
	Flags         []string
	UpstreamProto string
	Messages      *Messages // of a WebSocket or gRPC; nil otherwise
}

// Messages counts those of one exchange.
type Messages struct {
	In, Out int64  // from the sandbox, to it
	Close   int    // code of the close of a WebSocket; 0 when there was none
	By      string // client, upstream, proxy
}

// Packet is one that was refused at the wall.
type Packet struct {
	Transport        string // udp, icmp, icmpv6, sctp, or a number
	Source, Dest     netip.AddrPort
	Type             int // ICMP type
	Count            int // how many like it, in the time that the record covers
	First, Last      time.Time
	PayloadTruncated bool
}

// DNS is a query, and what was answered: without asking anybody, unless the event
// completes a decision.
type DNS struct {
	Question, Type, Rcode string
	Answers               []string
	Transport             string // udp, tcp
	Count                 int
}

// Lifecycle is about the proxy itself.
type Lifecycle struct {
	Version, Command, Policy, Digest string
	Detail                           map[string]string
	Count, Lost                      int
}
