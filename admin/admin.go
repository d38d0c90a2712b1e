// Package admin is the control API of the sidecar: what operators say of sandboxes, and who may say it.
package admin

import (
	"context"
	"errors"
	"time"
)

// A Sandbox is what the API says of one.
type Sandbox struct {
	ID       string             `json:"id"`
	Name     string             `json:"name"`
	Labels   map[string]string  `json:"labels,omitempty"`
	Props    map[string]any     `json:"props,omitempty"`
	Policy   []string           `json:"policy"`
	Mode     string             `json:"mode"`
	State    string             `json:"state"` // active, paused, revoked
	Way      string             `json:"way,omitempty"`
	Bindings map[string]Binding `json:"bindings,omitempty"`
	Via      []Via              `json:"via,omitempty"`   // which only the configuration makes
	Limits   Limits             `json:"limits,omitzero"` // of its own
	Created  time.Time          `json:"created"`

	Placeholders map[string]string `json:"placeholders,omitempty"` // of credentials, by the variable in which a command is given them
}

// States of a sandbox.
const (
	Active  = "active"
	Paused  = "paused"
	Revoked = "revoked"
)

// A Create asks for a sandbox. Only the name is required.
type Create struct {
	Name     string             `json:"name"`
	Way      string             `json:"way,omitempty"` // how its traffic comes in: run, which is the default, join, attach or gateway
	Labels   map[string]string  `json:"labels,omitempty"`
	Props    map[string]any     `json:"props,omitempty"`
	Policy   []string           `json:"policy,omitempty"`
	Mode     string             `json:"mode,omitempty"`
	Bindings map[string]Binding `json:"bindings,omitempty"`
	Limits   Limits             `json:"limits,omitzero"`
}

// Limits bound what one sandbox does. What is zero is the sidecar's default.
type Limits struct {
	Connections int `json:"connections,omitempty"`         // open at once
	Requests    int `json:"requests,omitempty"`            // under way at once
	Rate        int `json:"rate,omitempty"`                // begun in a second
	TunnelIdle  int `json:"tunnel_idle_seconds,omitempty"` // in which nothing passes in a tunnel
	TunnelLife  int `json:"tunnel_life_seconds,omitempty"` // that a tunnel lasts
}

// A LimitsPatch changes what is not nil; zero is the sidecar's default again.
type LimitsPatch struct {
	Connections *int `json:"connections,omitempty"`
	Requests    *int `json:"requests,omitempty"`
	Rate        *int `json:"rate,omitempty"`
	TunnelIdle  *int `json:"tunnel_idle_seconds,omitempty"`
	TunnelLife  *int `json:"tunnel_life_seconds,omitempty"`
}

// A Ticket is how a new sandbox's namespace is enrolled: one message on a socket
// of its own, with a token that is good once. Unless the way is run the token lies
// in a file beside the socket, too.
type Ticket struct {
	Socket string `json:"socket"`
	Token  string `json:"token"`
	CA     string `json:"ca"` // PEM, for what runs inside to trust
}

// Created is a sandbox and its ticket.
type Created struct {
	Sandbox Sandbox `json:"sandbox"`
	Ticket  Ticket  `json:"ticket"`
}

// A Patch changes what is not nil. A label or property that is null goes.
type Patch struct {
	Labels map[string]*string `json:"labels,omitempty"`
	Props  map[string]any     `json:"props,omitempty"`
	Policy []string           `json:"policy,omitempty"`
	Mode   *string            `json:"mode,omitempty"`
	State  *string            `json:"state,omitempty"` // a revoked sandbox stays revoked
	Limits *LimitsPatch       `json:"limits,omitempty"`
}

// A Change is one of a sandbox, as watchers see it.
type Change struct {
	Sandbox Sandbox `json:"sandbox"`
	Gone    bool    `json:"gone,omitempty"`
}

// A Status is how the sidecar is.
type Status struct {
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Ready     bool      `json:"ready"`
	Reasons   []string  `json:"reasons,omitempty"` // why it is not ready
	Sandboxes int       `json:"sandboxes"`
	Limits    Limits    `json:"limits"` // of a sandbox that has none of its own
	Policies  []Policy  `json:"policies"`
	// Credentials are named, never shown.
	Credentials []string  `json:"credentials"`
	Audit       string    `json:"audit"` // directory of the log
	CA          string    `json:"ca"`    // PEM: what has to be trusted inside
	Older       []OlderCA `json:"ca_older,omitempty"`
	// Resolvers are the name servers that are asked, in their order; none are the system's.
	Resolvers []Resolver `json:"resolvers,omitempty"`
	// Parents are the parent proxies: what they carry, and whether it is judged by name only.
	Parents []string `json:"parents,omitempty"`
	// Confinement is of the process that carries the traffic.
	Confinement Confinement `json:"confinement"`
	// Sinks are where records are shipped.
	Sinks []Sink `json:"sinks,omitempty"`
}

// A Sink is where records are shipped, and how that goes.
type Sink struct {
	Name     string     `json:"name"`
	Receiver string     `json:"receiver"`
	Required bool       `json:"required,omitempty"` // serve is not ready while it gets nothing
	Sent     uint64     `json:"sent"`               // sequence of the last record that it has
	Behind   uint64     `json:"behind"`             // records that wait for it, of all
	Rejected uint64     `json:"rejected"`           // that it did not take, since the start
	Error    string     `json:"error,omitempty"`    // why it gets nothing
	Since    *time.Time `json:"since,omitempty"`    // of the error
	Last     *time.Time `json:"last,omitempty"`     // when it last took something
}

// A Resolver is a name server, and how often it was asked and gave no answer.
type Resolver struct {
	Server string `json:"server"`
	Asked  uint64 `json:"asked"`
	Failed uint64 `json:"failed"`
}

// A Policy is one that is loaded. Of a Status it has no more than its name, digest,
// revision and source.
type Policy struct {
	Name        string   `json:"name"`
	Digest      string   `json:"digest"`
	Revision    string   `json:"revision,omitempty"`    // as its manifest has it
	Source      string   `json:"source,omitempty"`      // the directory or bundle that it is from
	Bundle      *Bundle  `json:"bundle,omitempty"`      // of one that is fetched
	Default     bool     `json:"default,omitempty"`     // decides for sandboxes that name none
	Credentials []string `json:"credentials,omitempty"` // that it can ask for
	Props       []string `json:"props,omitempty"`       // that a sandbox needs for it
	Sandboxes   []string `json:"sandboxes,omitempty"`   // for which it decides, by name
}

// A Bundle is how a policy stands that is fetched, in the shape of OPA's status.
type Bundle struct {
	SHA256   string `json:"sha256,omitempty"`    // of the bundle in force, as it was published
	Size     int    `json:"size,omitempty"`      // in bytes, packed
	Restored bool   `json:"restored,omitempty"`  // it was kept over a restart, and its source has said nothing yet
	Waits    bool   `json:"long_poll,omitempty"` // the source waits for what is new
	Status   int    `json:"http_code,omitempty"` // the last

	Activated  time.Time `json:"last_successful_activation,omitzero"`
	Downloaded time.Time `json:"last_successful_download,omitzero"`
	Answered   time.Time `json:"last_successful_request,omitzero"`
	Asked      time.Time `json:"last_request,omitzero"`

	// Code and Message are what is wrong since the last request; empty is nothing.
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Errors  []BundleProblem `json:"errors,omitempty"` // with places in its files
}

// A BundleProblem is what is wrong in a file of a bundle.
type BundleProblem struct {
	File    string `json:"file,omitempty"`
	Row     int    `json:"row,omitempty"`
	Col     int    `json:"col,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// An Actor is who asks: by the kernel's word, or over TCP by what they showed.
type Actor struct {
	UID, GID uint32 // over TCP those of the sidecar
	PID      int32
	// Remote is, over TCP, the name in the client's certificate, or token; on the
	// socket it is empty.
	Remote      string
	Certificate string // SHA-256 of the client's certificate
	From        string // address of the client
}

// Errors that the API answers in their own way.
var (
	ErrNotFound = errors.New("there is no such sandbox")
	ErrConflict = errors.New("conflict")
	ErrInvalid  = errors.New("invalid")
	// ErrNoDecision says so, and where it was looked for.
	ErrNoDecision = errors.New("there is no such decision")
)

// A Keeper keeps sandboxes. Every change is recorded with its actor before it
// has an effect. It is safe for concurrent use.
type Keeper interface {
	Create(context.Context, Actor, Create) (Created, error)
	// Change changes the sandbox with a name or id.
	Change(ctx context.Context, a Actor, ref string, p Patch) (Sandbox, error)
	// Remove forgets a sandbox, and cuts what it has open.
	Remove(ctx context.Context, a Actor, ref string) error
	// RotateCA puts a new CA in the place of the one in force.
	RotateCA(context.Context, Actor, Rotate) (Rotated, error)
	// RevokeCredential and RotateCredential change one credential by its name.
	RevokeCredential(context.Context, Actor, string) (Credential, error)
	RotateCredential(context.Context, Actor, string) (Credential, error)
}

// A Teller tells what is.
type Teller interface {
	Sandboxes(labels map[string]string) ([]Sandbox, error)
	Status() Status
	Credentials(context.Context) []Credential
	CheckCredentials(context.Context) []Credential
	Policies() ([]Policy, error)
	// Decisions returns the newest first, of what is kept at hand.
	Decisions(Decisions) []Decision
	// Decision looks in the log, too, for some seconds.
	Decision(ctx context.Context, id string) (Decision, error)
	// Watch calls see for each change until ctx ends. It returns ErrBehind when the
	// watcher does not keep up.
	Watch(ctx context.Context, see func(Change) error) error
}

// ErrBehind means that a watcher was dropped: it lists again and watches again.
var ErrBehind = errors.New("the watcher fell behind")
