package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong, and where.
type Problem struct {
	Pos     Pos
	Key     string // such as sandboxes[2].mode
	Message string // what is wrong and what was expected
}

// Problems are all that is wrong with one file.
type Problems struct {
	File string
	List []Problem

	form []string // keys that could not be read
}

// Formed notes that what is there is wrong with the form of the file: what is added
// about the same keys from then on comes of that, and is left out.
func (p *Problems) Formed() {
	for _, x := range p.List {
		p.form = append(p.form, x.Key)
	}
}

// follows reports whether a problem with a key comes of one with its form: it is of
// that key, below it, or beside it where what stands beside each other is one thing.
// The parts of a sandbox, and of the whole, stand each for itself.
func (p *Problems) follows(key string) bool {
	return slices.ContainsFunc(p.form, func(of string) bool {
		if of == "" {
			return false
		}
		if up := of[:max(strings.LastIndexByte(of, '.'), 0)]; up != "" && (strings.Contains(up, ".") || !strings.HasPrefix(up, "sandboxes[")) {
			of = up
		}
		rest, ok := strings.CutPrefix(key, of)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// Error has a line for each: file:line:column: key: message.
func (p *Problems) Error() string {
	var b strings.Builder
	for i, x := range p.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.File)
		if x.Pos.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", x.Pos.Line, x.Pos.Col)
		}
		if x.Key != "" {
			b.WriteString(": " + x.Key)
		}
		b.WriteString(": " + x.Message)
	}
	return b.String()
}

// Add notes a problem.
func (p *Problems) Add(at Pos, key, format string, a ...any) {
	if p.follows(key) {
		return
	}
	p.List = append(p.List, Problem{at, key, fmt.Sprintf(format, a...)})
}

// Err returns p with its problems in the order of the file, or nil when there are none.
func (p *Problems) Err() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	return p
}
