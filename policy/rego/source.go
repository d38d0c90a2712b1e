package rego

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader"

	"sallyport/policies"
)

// A source is a policy that was read and parsed.
type source struct {
	modules map[string]*ast.Module // the author's, without tests
	tests   map[string]*ast.Module
	data    map[string]any
	digest  string
	text    map[string][]byte // of modules that are in no file of their own

	revision  string
	sequence  int64
	sequenced bool
}

// read loads the files of a policy. Their places are as the user named them.
func read(o Options) (*source, error) {
	text := map[string][]byte{}
	b, err := readFiles(&o, text)
	if err != nil {
		return nil, within(problems(o.Name, err), text)
	}
	s := &source{modules: map[string]*ast.Module{}, tests: map[string]*ast.Module{}, data: map[string]any{}, text: text}
	if err := s.versioned(b.Manifest); err != nil {
		return nil, problems(o.Name, fmt.Errorf("%s: %w", o.place(), err))
	}
	maps.Copy(s.data, b.Data)
	if _, ours := s.data["sallyport"]; ours {
		return nil, problems(o.Name, fmt.Errorf("%s: data.sallyport is reserved: call the directory or the key otherwise", o.place()))
	}
	for k, v := range o.Data {
		if _, twice := s.data[k]; twice {
			return nil, &LoadError{Name: o.Name, Problems: []Problem{{Message: fmt.Sprintf("data.%s is given by sallyport: call yours something else", k)}}}
		}
		s.data[k] = v
	}
	sum := sha256.New()
	for _, m := range b.Modules {
		name := strings.TrimPrefix(m.Path, "/")
		if o.Archive != nil {
			name = m.Path
		} else if o.FS == nil && !strings.HasPrefix(name, strings.TrimPrefix(o.Dir, "/")) {
			name = strings.TrimSuffix(o.Dir, "/") + "/" + name
		} else if strings.HasPrefix(o.Dir, "/") {
			name = "/" + name
		}
		if strings.HasSuffix(name, "_test.rego") {
			s.tests[name] = m.Parsed
			continue
		}
		s.modules[name] = m.Parsed
	}
	for _, name := range slices.Sorted(maps.Keys(s.modules)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name[strings.LastIndexByte(name, '/')+1:], s.modules[name].String())
	}
	j, err := json.Marshal(s.data)
	if err != nil {
		return nil, err
	}
	sum.Write(j)
	s.digest = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// readFiles reads what Options name: a tree, a directory, or a bundle, which is put
// into them. What texts of a bundle there are stays when there is an error.
func readFiles(o *Options, text map[string][]byte) (*bundle.Bundle, error) {
	l := loader.NewFileLoader().WithRegoVersion(ast.RegoV1).WithProcessAnnotation(true).WithCapabilities(capabilities())
	if o.Archive != nil {
		return readArchive(*o, text)
	}
	if o.FS != nil {
		return l.WithFS(o.FS).AsBundle(".")
	}
	st, err := os.Stat(o.Dir)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if o.Archive, err = ReadBundle(o.Dir, o.MaxBytes); err != nil {
			return nil, err
		}
		return readArchive(*o, text)
	}
	if o.Verify != nil {
		return nil, fmt.Errorf("%s: %w: it is a directory, which cannot be", o.Dir, ErrSignature)
	}
	root := o.Dir
	if real, err := filepath.EvalSymlinks(o.Dir); err == nil && real != filepath.Clean(o.Dir) {
		if st, err := os.Lstat(o.Dir); err == nil && st.Mode()&fs.ModeSymlink != 0 { // the loader does not follow it
			o.Dir, root = real, real
		}
	}
	if ps := survey(o.Dir); len(ps) > 0 {
		return nil, &LoadError{Name: o.Name, Problems: ps}
	}
	return l.AsBundle(root)
}

// composing returns the shipped modules, parsed anew: compiling changes them.
func composing() (map[string]*ast.Module, error) {
	out := map[string]*ast.Module{}
	err := fs.WalkDir(policies.Composing, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := policies.Composing.ReadFile(path)
		if err != nil {
			return err
		}
		out["sallyport:"+path], err = ast.ParseModuleWithOpts(path, string(text), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities()})
		return err
	})
	return out, err
}

// problems turns what OPA says into our form.
func problems(name string, err error) error {
	var list ast.Errors
	var one *ast.Error
	out := &LoadError{Name: name, cause: err}
	switch {
	case errors.As(err, &out):
		return out
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = ast.Errors{one}
	default:
		out.Problems = []Problem{{Message: err.Error()}}
		return out
	}
	list.Sort()
	for _, e := range list {
		p := Problem{Code: e.Code, Message: e.Message}
		if e.Location != nil {
			p.File, p.Row, p.Col = e.Location.File, e.Location.Row, e.Location.Col
		}
		if m, meant := unknownField(e); m != "" {
			p.Message, p.Advice = m, meant
		} else if e.Details != nil {
			for _, l := range e.Details.Lines() {
				if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "^") {
					p.Message += "; " + l
				}
			}
		}
		if !slices.Contains(out.Problems, p) {
			out.Problems = append(out.Problems, p)
		}
	}
	return out
}

// capabilities are OPA's builtins without those that reach the network, the
// host, or randomness, or that can run for long on small input.
func capabilities() *ast.Capabilities { return allowed() }

var allowed = sync.OnceValue(func() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		switch b.Name {
		case "time.now_ns":
			return false
		case "bits.lsh", "product", "json.match_schema", "json.verify_schema", "crypto.x509.parse_and_verify_certificates", "crypto.x509.parse_and_verify_certificates_with_options", "net.cidr_expand":
			return true
		}
		return b.Nondeterministic
	})
	c.AllowNet = []string{}
	return c
})
