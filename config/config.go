// Package config reads the file that says what serve does, and says everything that is wrong with it at once.
package config

import "time"

// A File is a configuration. Every text carries its place, so that whoever
// understands it can say where it is wrong.
type File struct {
	State         Text         `yaml:"state" doc:"directory of what outlives a restart: the CA and its key"`
	Control       Control      `yaml:"control" doc:"who may command the sidecar, and where"`
	Audit         Audit        `yaml:"audit" doc:"the log of records"`
	Policies      []Policy     `yaml:"policies" doc:"policies by name; a sandbox names those that decide for it"`
	DefaultPolicy []Text       `yaml:"default_policy" doc:"policies of a sandbox that names none, outermost first"`
	Credentials   []Credential `yaml:"credentials" doc:"secrets, and the one destination that may be sent each"`
	Network       Network      `yaml:"network" doc:"how upstreams are reached"`
	Limits        Limits       `yaml:"limits" doc:"what a sandbox may do at once that has no limits of its own"`
	Sandboxes     []Sandbox    `yaml:"sandboxes" doc:"sandboxes that exist from the start"`
	User          Text         `yaml:"user" doc:"name or number of the user that serve becomes when root starts it"`
	Confine       Confine      `yaml:"confine" doc:"what serve leaves itself, beside what the configuration names"`
	DrainTimeout  Duration     `yaml:"drain_timeout" doc:"how long a stop waits for what is under way"`
}

// Confine is what is left beside what the configuration names.
type Confine struct {
	Read []Text `yaml:"read" doc:"files and directories that later configurations may name, or that links lead to"`
}

// Control is where commands are taken.
type Control struct {
	Socket Text     `yaml:"socket" doc:"path of the control socket"`
	Users  []Number `yaml:"users" doc:"user ids that may command, beside root and the sidecar's own"`
	Groups []Number `yaml:"groups" doc:"group ids that may command"`

	Listen ControlListen `yaml:"listen" doc:"where commands are taken over TCP; by default nowhere"`
}

// ControlListen is where commands are taken over TCP.
type ControlListen struct {
	Address  Text `yaml:"address" doc:"ADDRESS:PORT to listen on; needs cert and key, and client_ca or token"`
	Cert     Text `yaml:"cert" doc:"PEM file of the certificate that is shown, with those between it and its CA"`
	Key      Text `yaml:"key" doc:"PEM file of its key"`
	ClientCA Text `yaml:"client_ca" doc:"PEM file of the CAs of which a client has to hold a certificate"`
	Token    Text `yaml:"token" doc:"where the token is that comes with every request: env:VARIABLE or file:PATH, a token a line"`
}

// Audit is where records go.
type Audit struct {
	Dir     Text `yaml:"dir" doc:"directory of the segments; by default audit in the directory that is state"`
	Segment Size `yaml:"segment" doc:"size at which a segment is closed"`

	Sinks    []Sink   `yaml:"sinks" doc:"where records are shipped; the log in dir is there all the same"`
	Progress Duration `yaml:"progress" doc:"how often it is recorded what passes in what stays open; the default is 1m"`
}

// A Sandbox is one tenant.
type Sandbox struct {
	Name     Text      `yaml:"name" doc:"its name in records and commands" need:"yes"`
	Labels   []Pair    `yaml:"labels" doc:"labels that policies see and selectors use"`
	Props    Tree      `yaml:"props" doc:"values of any shape that policies see"`
	Policy   []Text    `yaml:"policy" doc:"policies that decide for it, outermost first"`
	Mode     Text      `yaml:"mode" doc:"enforce, observe or sealed"`
	Bindings []Binding `yaml:"bindings" doc:"names that exist only inside: NAME: URL of http, https or tcp, NAME:PORT: HOST:PORT for raw TCP, or NAME: {to: …}"`
	Via      []Via     `yaml:"via" doc:"services of your own that carry what goes to some destinations"`
	Limits   Limits    `yaml:"limits" doc:"what it may do at once; what is left out or 0 is the default"`
	Explicit Explicit  `yaml:"explicit" doc:"a proxy that its clients are told of"`
	CA       Text      `yaml:"ca" doc:"file that is given the certificate of the CA, for what trusts no other way"`
	Enrol    Enrol     `yaml:"enrol" doc:"how a namespace becomes its, without the control socket"`
}

// Enrol is a directory with a socket and a one-time token: what has it, and
// nothing else, hands a namespace over.
type Enrol struct {
	Dir  Text   `yaml:"dir" doc:"directory of enrol.sock and token, of this sandbox alone"`
	Way  Text   `yaml:"way" doc:"join (the default), attach or gateway"`
	User Number `yaml:"user" doc:"user id that may enrol, beside root and the sidecar's own"`
}

// A Binding is a name that exists only inside; one that says no more than to is
// written as that.
type Binding struct {
	Name       Text       `yaml:"-"`
	To         Text       `yaml:"to" doc:"http(s)://HOST[:PORT][/PREFIX], or tcp://HOST:PORT for raw TCP, which may be HOST:PORT where the name has a port" need:"yes"`
	Credential Text       `yaml:"credential" doc:"credential that is put on every request of it; it is bound to the same target"`
	Host       Text       `yaml:"host" doc:"which Host the target sees: target, which is the default, or inside"`
	TLS        BindingTLS `yaml:"tls" doc:"how the target proves who it is, and who asks"`
}

// BindingTLS is how a target proves who it is. It is always verified.
type BindingTLS struct {
	CA         Text `yaml:"ca" doc:"PEM file of the CAs that the target's certificate may be of, in place of all others"`
	ServerName Text `yaml:"server_name" doc:"name that the target's certificate is for"`
	ClientCert Text `yaml:"client_cert" doc:"PEM file of the certificate of who asks"`
	ClientKey  Text `yaml:"client_key" doc:"PEM file of its key"`
}

// A Via is a service of the operator's that carries what goes to some
// destinations, and is told whose it is in signed headers.
type Via struct {
	Match       Text       `yaml:"match" doc:"HOST[:PORT] or *.HOST[:PORT]" need:"yes"`
	To          Text       `yaml:"to" doc:"http(s)://HOST[:PORT][/PREFIX] of the service" need:"yes"`
	Key         Text       `yaml:"key" doc:"where the key is that signs: env:VARIABLE or file:PATH, of at least 32 characters" need:"yes"`
	Credentials Bool       `yaml:"credentials" doc:"whether credentials of the destination go to the service; it is not so unless it is said"`
	TLS         BindingTLS `yaml:"tls" doc:"how the service proves who it is, and who asks"`
}

// Explicit is a listener for clients that are told of a proxy.
type Explicit struct {
	Socket     Text   `yaml:"socket" doc:"path of a Unix socket"`
	User       Number `yaml:"user" doc:"user id that owns the socket, and the only one that may connect beside root"`
	Listen     Text   `yaml:"listen" doc:"ADDRESS:PORT to listen on; needs token, client_cert or client_ca"`
	Token      Text   `yaml:"token" doc:"where the token is that comes with every request: env:VARIABLE or file:PATH, a token a line"`
	TLSNames   []Text `yaml:"tls_names" doc:"names or addresses for which the listener has certificates of the sidecar's CA; turns on TLS"`
	ClientCert Text   `yaml:"client_cert" doc:"PEM file of the certificates of which a client has to hold one"`
	ClientCA   Text   `yaml:"client_ca" doc:"PEM file of the CAs of which a client has to hold a certificate with client_name"`
	ClientName Text   `yaml:"client_name" doc:"the DNS name or URI in that certificate, to the letter"`
}

// Limits bound what one sandbox does.
type Limits struct {
	Connections Number   `yaml:"connections" doc:"connections that are open at once; the default is 4096"`
	Requests    Number   `yaml:"requests" doc:"requests that are under way at once; the default is 1024"`
	Rate        Number   `yaml:"rate" doc:"requests that are begun in a second; by default there is no limit"`
	TunnelIdle  Duration `yaml:"tunnel_idle" doc:"how long nothing may pass in a tunnel or a WebSocket, and a client may stop in a request or its answer, or take for 4 KiB of a body; the default is 15m"`
	TunnelLife  Duration `yaml:"tunnel_life" doc:"how long a tunnel or a WebSocket may last; by default there is no limit"`
}

// A Pos is a place in the file; the zero Pos is no place.
type Pos struct{ Line, Col int }

// A Text is a string and its place.
type Text struct {
	S   string
	Pos Pos
}

// A Number is a whole number that is not negative.
type Number struct {
	N   int64
	Pos Pos
	Set bool
}

// A Bool is true or false.
type Bool struct {
	B   bool
	Pos Pos
}

// A Duration has a unit: 500ms, 30s, 2m, 1h.
type Duration struct {
	D   time.Duration
	Pos Pos
}

// A Size has a unit: 512KiB, 64MiB, 1GiB, or plain bytes.
type Size struct {
	N   int64
	Pos Pos
}

// A Pair is a key and its value.
type Pair struct{ Key, Value Text }

// A Tree is a mapping of any shape, as JSON values.
type Tree struct {
	V   map[string]any
	Pos Pos
}

// Default returns what an empty file says.
func Default() *File {
	return &File{
		State:        Text{S: "/var/lib/sallyport"},
		Control:      Control{Socket: Text{S: "/run/sallyport/control.sock"}},
		Audit:        Audit{Dir: Text{S: "/var/lib/sallyport/audit"}, Segment: Size{N: 64 << 20}},
		DrainTimeout: Duration{D: 10 * time.Second},
	}
}
