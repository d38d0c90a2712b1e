// Package rego answers the proxy's questions with Rego, by OPA's compiler and evaluator.
package rego

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	opacache "github.com/open-policy-agent/opa/v1/topdown/cache"

	"sallyport/policy"
)

// Options of a load. Name and one of Dir, FS and Archive are required.
type Options struct {
	Name    string
	Dir     string         // a directory of Rego and data files, or an OPA bundle of them
	FS      fs.FS          // used instead of Dir: its whole tree
	Archive []byte         // used instead of both: an OPA bundle, of which Dir or Name is only the name
	Data    map[string]any // put beside the policy's own data; a name may not be in both

	Verify   *Verifier // whose signature a bundle needs; then a directory is not taken
	MaxBytes int64     // of a bundle, packed and unpacked; 0 means MaxBundle

	Steps    int           // expressions that one evaluation may take; 0 means 20,000
	Deadline time.Duration // of one evaluation; 0 means 100 ms
	Uncached bool          // evaluate each question, also one that was asked before
}

// A Policy is compiled and immutable, and safe for concurrent use.
type Policy struct {
	name     string
	digest   string
	revision string
	sequence int64 // -1 when its manifest has none
	steps    int
	deadline time.Duration
	compiler *ast.Compiler
	store    storage.Store
	txn      storage.Transaction // one read transaction for all: nobody writes
	values   opacache.InterQueryValueCache
	phases   map[policy.Phase]*phase
	props    []string
}

// A phase is one prepared question.
type phase struct {
	query  rego.PreparedEvalQuery
	reads  []ast.Ref // what of the input it can reach, without what another covers
	wants  *wanted   // the same
	told   []byte    // the same, as a record has it
	has    bool      // the author wrote a rule in it
	owned  []string  // headers that its rules set by constant name
	names  []string  // of counters, as rules write them
	entry  ast.Ref
	author []*ast.Rule
	parts  []keyPart // nil when decisions are not kept
	kept   *cache

	ofSandbox bool // it can read what a sandbox is
	clock     bool // it can ask for the time
}

// Name returns the name under which it was loaded.
func (p *Policy) Name() string { return p.name }

// Digest returns the SHA-256 of its modules and data, in hexadecimal.
func (p *Policy) Digest() string { return p.digest }

// Revision returns what its manifest calls its version; "" is none.
func (p *Policy) Revision() string { return p.revision }

// Sequence returns metadata.sallyport.sequence of its manifest, and false if there
// is none.
func (p *Policy) Sequence() (int64, bool) { return p.sequence, p.sequence >= 0 }

// RequiresProps returns the properties without which a sandbox cannot have this policy.
func (p *Policy) RequiresProps() []string { return p.props }

// Credentials returns the names of credentials that rules ask for by a constant.
func (p *Policy) Credentials() (out []string) {
	for _, r := range p.phases[policy.Request].author {
		if r.Head.Name.String() != "credentials" || r.Head.Key == nil {
			continue
		}
		t := r.Head.Key
		if o, ok := t.Value.(ast.Object); ok {
			t = o.Get(ast.StringTerm("name"))
		}
		if t != nil {
			if s, ok := t.Value.(ast.String); ok {
				out = append(out, string(s))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Has reports whether the author wrote rules for a phase.
func (p *Policy) Has(ph policy.Phase) bool { return p.phases[ph] != nil && p.phases[ph].has }

// Reads reports whether a phase can read a part of its input, or something in it.
func (p *Policy) Reads(ph policy.Phase, path ...string) bool {
	x := p.phases[ph]
	if x == nil {
		return false
	}
	want := ast.Ref{ast.InputRootDocument}
	for _, s := range path {
		want = append(want, ast.StringTerm(s))
	}
	return overlaps(x.reads, want) || x.patches() && overlaps([]ast.Ref{bodyOf[ph]}, want)
}

// bodyOf is the body that a phase can edit, and has to be read for it.
var bodyOf = map[policy.Phase]ast.Ref{policy.Request: bodyRef, policy.Response: responseBodyRef}

// patches reports whether a phase can edit a body.
func (x *phase) patches() bool {
	return slices.ContainsFunc(x.author, func(r *ast.Rule) bool { return r.Head.Name.String() == "patch_body" })
}

func overlaps(reads []ast.Ref, want ast.Ref) bool {
	for _, r := range reads {
		if r.HasPrefix(want) || want.HasPrefix(r) {
			return true
		}
	}
	return false
}

// A Problem is why a policy is not taken, or what is likely not meant, and where.
type Problem struct {
	File    string `json:"file,omitempty"`
	Row     int    `json:"row,omitempty"` // from 1; 0 when it is not of one line
	Col     int    `json:"col,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"` // what to write instead, when that is known
	Line    string `json:"line,omitempty"`   // of the source; only Inspect fills it in
}

// String is file:row:col: message.
func (p Problem) String() string {
	at := p.File
	if p.Row > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Row, p.Col)
	}
	if at == "" {
		return p.Message
	}
	return at + ": " + p.Message
}

// A LoadError is all the problems of a policy.
type LoadError struct {
	Name     string
	Problems []Problem

	cause error
	text  map[string][]byte // of files that are in a bundle
}

// Unwrap returns what was wrong as it was found; nil where that says no more.
func (e *LoadError) Unwrap() error { return e.cause }

func (e *LoadError) Error() string {
	s := fmt.Sprintf("policy %s is not taken:", e.Name)
	for _, p := range e.Problems {
		s += "\n  " + p.String()
	}
	return s
}

// Load reads, checks and compiles a policy.
func Load(ctx context.Context, o Options) (*Policy, error) {
	src, err := read(o)
	if err != nil {
		return nil, err
	}
	p, err := compile(ctx, o, src)
	return p, within(err, src.text)
}

// within gives a LoadError the text of the files that are in no directory.
func within(err error, text map[string][]byte) error {
	var le *LoadError
	if errors.As(err, &le) {
		le.text = text
	}
	return err
}
