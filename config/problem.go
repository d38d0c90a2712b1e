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
