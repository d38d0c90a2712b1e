// Package learn writes the least policy that allows what a log says was allowed.
package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/audit"
	"sallyport/policy"
	"sallyport/policy/replay"
)

// A Precision says how paths are taken. The zero Precision is Shape.
type Precision string

const (
	Shape Precision = "shape" // numbers, UUIDs and hexadecimal ids stand for others of their kind
	Exact Precision = "exact" // as they are
	None  Precision = "none"  // any path
)

// Options of learning. The zero Options are good.
type Options struct {
	Paths   Precision
	Sandbox string // name or id; "" is all
	Read    audit.ReadOptions
	Wall    []string        // codes of refusals that no policy makes
	AsIs    map[string]bool // hosts whose paths are taken exactly, whatever Paths says
	// Limits of what is learnt, so that a sandbox cannot make it endless; 0 means as
	// many as Defaults.
	MaxHosts, MaxPaths, MaxNames int
	Decided                      func(n int)
}

// Limits that hold where none are said: endpoints, paths of one, and names asked about.
const (
	DefaultHosts = 1000
	DefaultPaths = 100
	DefaultNames = 500
	maxMethods   = 32 // of one path
)

// ErrNothing means that nothing in the log was allowed.
var ErrNothing = errors.New("the log has nothing that was allowed, so there is nothing to learn")

// A Learnt is what was seen, and can be written as a policy.
type Learnt struct {
	Decisions int            // that were looked at
	Taken     int            // that were allowed, and are
	Left      map[string]int // that were allowed and are not, by the reason
	o         Options
	http      map[endpoint]*site
	opaque    map[endpoint]int
	questions map[string]map[string]int // names by type
	names     int
}

// An endpoint is where traffic goes. Scheme is the protocol of an opaque one.
type endpoint struct {
	host   string
	port   int64
	scheme string
}

// Run reads a log, in memory that is bounded by the limits of o.
func Run(ctx context.Context, log string, o Options) (*Learnt, error) {
	o.Paths = cmp.Or(o.Paths, Shape)
	o.MaxHosts, o.MaxPaths, o.MaxNames = cmp.Or(o.MaxHosts, DefaultHosts), cmp.Or(o.MaxPaths, DefaultPaths), cmp.Or(o.MaxNames, DefaultNames)
	l := &Learnt{Left: map[string]int{}, o: o, http: map[endpoint]*site{}, opaque: map[endpoint]int{}, questions: map[string]map[string]int{}}
	wall := map[string]bool{}
	for _, c := range o.Wall {
		wall[c] = true
	}
	o.Read.Only = replay.Decisions
	err := audit.Read(ctx, log, o.Read, func(e audit.Entry) error {
		if o.Sandbox != "" && e.Str("sandbox.name") != o.Sandbox && e.Str("sandbox.id") != o.Sandbox {
			return nil
		}
		a, why := replay.AskedOf(e, wall)
		if why != "" {
			return nil
		}
		l.Decisions++
		if a.Effect == "allow" { // what was refused, or answered by policy itself, is nothing to grant
			l.take(a)
		}
		if o.Decided != nil && l.Decisions%1024 == 0 {
			o.Decided(l.Decisions)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if l.Taken == 0 {
		return l, ErrNothing
	}
	return l, nil
}

// Why something that was allowed is not learnt.
const (
	unnamed    = "its record does not say where it went, in one form"
	manyHosts  = "more endpoints than are learnt"
	manyNames  = "more names than name servers may be asked about"
	manyVerbs  = "more methods of one path than are learnt"
	oddMethod  = "its method is not one of capital letters"
	otherPhase = "it is of a phase that grants nothing"
)

func (l *Learnt) take(a *replay.Asked) {
	why := ""
	switch a.Phase {
	case policy.Request:
		why = l.request(a)
	case policy.Connect:
		why = l.connection(a)
	case policy.DNS:
		why = l.question(a)
	default:
		why = otherPhase
	}
	if why != "" {
		l.Left[why]++
		return
	}
	l.Taken++
}

// text is a fact of a record that is known, and not empty.
func text(a *replay.Asked, path ...string) string {
	v, _ := a.Kept.Get(path...)
	s, _ := v.(string)
	return s
}

// at is where something went.
func at(a *replay.Asked, scheme string, known ...string) (endpoint, bool) {
	v, _ := a.Kept.Get("destination", "port")
	e := endpoint{text(a, "destination", "host"), a.Port, text(a, "destination", scheme)}
	return e, e.host != "" && slices.Contains(known, e.scheme) && e.port > 0 && e.port < 1<<16 && fmt.Sprint(v) == fmt.Sprint(e.port)
}

func (l *Learnt) request(a *replay.Asked) string {
	e, ok := at(a, "scheme", "http", "https")
	method := text(a, "request", "method")
	path := text(a, "request", "path")
	v, _ := a.Kept.Get("request", "segments")
	list, _ := v.([]any)
	if !ok || method == "" || path == "" || len(list) == 0 {
		return unnamed
	}
	if strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return oddMethod
	}
	segments := make([]string, 0, len(list))
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return unnamed
		}
		segments = append(segments, s)
	}
	s := l.http[e]
	if s == nil {
		if len(l.http)+len(l.opaque) >= l.o.MaxHosts {
			return manyHosts
		}
		s = &site{most: l.o.MaxPaths, depth: -1, paths: l.o.Paths, shapes: map[string]*shape{}}
		if l.o.AsIs[e.host] && s.paths == Shape {
			s.paths = Exact
		}
		l.http[e] = s
	}
	return s.take(method, path, segments, text(a, "destination", "protocol") == "websocket", a)
}

func (l *Learnt) connection(a *replay.Asked) string {
	e, ok := at(a, "protocol", "tcp", "tls")
	if !ok {
		return unnamed
	}
	if _, there := l.opaque[e]; !there && len(l.http)+len(l.opaque) >= l.o.MaxHosts {
		return manyHosts
	}
	l.opaque[e]++
	return ""
}

func (l *Learnt) question(a *replay.Asked) string {
	name, kind := text(a, "question", "name"), text(a, "question", "type")
	if name == "" || kind == "" {
		return unnamed
	}
	of := l.questions[kind]
	if of[name] == 0 {
		if l.names >= l.o.MaxNames {
			return manyNames
		}
		l.names++
	}
	if of == nil {
		of = map[string]int{}
		l.questions[kind] = of
	}
	of[name]++
	return ""
}
