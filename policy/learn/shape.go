package learn

import (
	"slices"
	"strings"

	"sallyport/policy/replay"
)

// A site is what was seen of one endpoint over HTTP.
type site struct {
	paths  Precision
	most   int // shapes
	depth  int // segments that are looked at, since there were too many shapes; -1 is all
	shapes map[string]*shape
	n      int
}

// A shape is paths that are alike.
type shape struct {
	parts   []part
	path    string // of the first
	decoded []string
	rest    bool // and whatever is below
	methods map[string]*use
	sockets int // WebSockets
}

// A part is one segment of a shape.
type part struct {
	kind  string // "" is first alone
	first string
	more  bool // others were seen
}

// A use is how often a method was seen, and with which credentials.
type use struct {
	n, sockets  int
	credentials map[string]int
}

// Kinds of segments that stand for others.
const (
	number = "number"
	uuid   = "uuid"
	hexId  = "hex_id"
)

// kindOf is the kind of a segment; "" is of none.
func kindOf(s string) string {
	switch {
	case s == "" || len(s) > 128:
	case only(s, "0123456789"):
		return number
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && only(strings.ReplaceAll(s, "-", ""), hexDigits) && strings.Count(s, "-") == 4:
		return uuid
	case len(s) >= 16 && only(s, hexDigits) && strings.ContainsAny(s, "0123456789"):
		return hexId
	}
	return ""
}

const hexDigits = "0123456789abcdefABCDEF"

func only(s, of string) bool { return strings.Trim(s, of) == "" }

// take adds a request; what it returns is why not.
func (s *site) take(method, path string, segments []string, websocket bool, a *replay.Asked) string {
	sh := s.shapeOf(path, segments)
	u := sh.methods[method]
	if u == nil {
		if len(sh.methods) >= maxMethods {
			return manyVerbs
		}
		u = &use{credentials: map[string]int{}}
		sh.methods[method] = u
	}
	s.n++
	u.n++
	if websocket {
		u.sockets++
		sh.sockets++
	}
	if a.Named {
		for _, n := range a.Names {
			if len(u.credentials) < maxMethods || u.credentials[n] > 0 {
				u.credentials[n]++
			}
		}
	}
	return ""
}

// shapeOf finds the shape that a path has, or makes it.
func (s *site) shapeOf(path string, segments []string) *shape {
	for {
		n := newShape(s.paths, s.depth, path, segments)
		key := n.key()
		if old := s.shapes[key]; old != nil {
			old.seen(n)
			return old
		}
		if len(s.shapes) < s.most || s.depth == 0 {
			s.shapes[key] = n
			return n
		}
		s.fold()
	}
}

func newShape(p Precision, depth int, path string, segments []string) *shape {
	n := &shape{path: path, decoded: segments, methods: map[string]*use{}}
	if p == None {
		depth = 0
	}
	if depth >= 0 {
		n.rest, segments = len(segments) > depth || p == None, segments[:min(depth, len(segments))]
	}
	for _, seg := range segments {
		x := part{first: seg}
		if p == Shape {
			x.kind = kindOf(seg)
		}
		n.parts = append(n.parts, x)
	}
	return n
}

// key is what two paths have in common that are of one shape.
func (n *shape) key() string {
	var b strings.Builder
	for _, x := range n.parts {
		if x.kind == "" {
			b.WriteString("=" + x.first)
		} else {
			b.WriteString("~" + x.kind)
		}
		b.WriteByte(0)
	}
	if n.rest {
		b.WriteByte('*')
	}
	return b.String()
}

// seen notes which parts vary.
func (n *shape) seen(o *shape) {
	for i := range n.parts {
		n.parts[i].more = n.parts[i].more || o.parts[i].more || n.parts[i].first != o.parts[i].first
	}
}

// fold looks at fewer segments, so that there are at most half as many shapes as
// there may be.
func (s *site) fold() {
	depth := 0
	for _, n := range s.shapes {
		depth = max(depth, len(n.parts))
	}
	keys := make([]string, 0, len(s.shapes))
	for k := range s.shapes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for depth--; depth >= 0; depth-- {
		folded := map[string]*shape{}
		for _, k := range keys {
			old := s.shapes[k]
			n := &shape{parts: old.parts[:min(depth, len(old.parts))], path: old.path, decoded: old.decoded, rest: old.rest || len(old.parts) > depth, methods: map[string]*use{}}
			if have := folded[n.key()]; have != nil {
				have.seen(n)
				n = have
			}
			n.join(old)
			folded[n.key()] = n
		}
		if s.depth = depth; len(folded) <= s.most/2 || depth == 0 {
			s.shapes = folded
			return
		}
	}
}

// join adds what was seen of another.
func (n *shape) join(o *shape) {
	n.sockets += o.sockets
	for m, u := range o.methods {
		have := n.methods[m]
		if have == nil {
			have = &use{credentials: map[string]int{}}
			n.methods[m] = have
		}
		have.n += u.n
		have.sockets += u.sockets
		for c, k := range u.credentials {
			have.credentials[c] += k
		}
	}
}

// settle makes numbers that never varied what they were: one may be a version.
func (n *shape) settle() {
	for i, x := range n.parts {
		if x.kind == number && !x.more {
			n.parts[i].kind = ""
		}
	}
}

// plain reports whether a shape is one path.
func (n *shape) plain() bool {
	return !n.rest && !slices.ContainsFunc(n.parts, func(x part) bool { return x.kind != "" })
}
