package rego

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"sallyport/policies"
)

// A shelf is the text of the library by package, below data.sallyport: its files
// by name.
type shelf map[string]map[string]string

// library reads what ships. The package of a module is that of its place.
var library = sync.OnceValues(func() (shelf, error) {
	out := shelf{}
	err := fs.WalkDir(policies.Library, "library", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(policies.Library, path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, "library/")
		pkg := packageIn(strings.Split(string(text), "\n"))
		if out[pkg] == nil {
			out[pkg] = map[string]string{}
		}
		out[pkg]["sallyport/"+name] = string(text)
		return nil
	})
	return out, err
})

// borrow adds to the modules of all what authors' modules name of the library, and
// what that names in turn. What nobody names is not parsed. It returns the names
// of the files.
func borrow(all map[string]*ast.Module, authors ...map[string]*ast.Module) ([]string, error) {
	s, err := library()
	if err != nil {
		return nil, err
	}
	var queue []*ast.Module
	for _, ms := range authors {
		for _, m := range ms {
			queue = append(queue, m)
		}
	}
	taken := map[string]bool{}
	var files []string
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for _, pkg := range s.namedIn(m) {
			if taken[pkg] {
				continue
			}
			taken[pkg] = true
			for file, text := range s[pkg] {
				m, err := ast.ParseModuleWithOpts(file, text, ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities()})
				if err != nil {
					return nil, err
				}
				all["sallyport:"+file] = m // no name of an author's file
				files, queue = append(files, file), append(queue, m)
			}
		}
	}
	slices.Sort(files)
	return files, nil
}

// namedIn returns the packages that a module can come to by what it says: the one
// that a reference leads into, and all that are below a shorter one.
func (s shelf) namedIn(m *ast.Module) (out []string) {
	known := map[ast.Var]ast.Ref{ast.DefaultRootDocument.Value.(ast.Var): ast.DefaultRootRef}
	for _, i := range m.Imports {
		if ref, ok := i.Path.Value.(ast.Ref); ok && ref[0].Equal(ast.DefaultRootDocument) {
			known[i.Name()] = ref
		}
	}
	name := func(head *ast.Term, rest ast.Ref) {
		v, _ := head.Value.(ast.Var)
		if base, ok := known[v]; ok {
			out = append(out, s.below(base.Concat(rest))...)
		}
	}
	var visit func(x any) bool
	visit = func(x any) bool {
		switch x := x.(type) {
		case *ast.Import, *ast.Package:
			return true
		case ast.Ref:
			name(x[0], x[1:])
			for _, t := range x[1:] {
				ast.NewGenericVisitor(visit).Walk(t)
			}
			return true
		case *ast.Term:
			name(x, nil)
		}
		return false
	}
	ast.NewGenericVisitor(visit).Walk(m)
	return out
}

// below returns the package that a reference leads into, or those below it.
func (s shelf) below(ref ast.Ref) (out []string) {
	var said []string
	for _, t := range ref[1:] {
		k, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		said = append(said, string(k))
	}
	name := strings.Join(said, ".")
	for pkg := range s {
		if name == "" || pkg == name || strings.HasPrefix(name, pkg+".") || strings.HasPrefix(pkg, name+".") {
			out = append(out, pkg)
		}
	}
	return out
}

// borrowed reports whether a place is in the library.
func borrowed(at *ast.Location) bool { return at != nil && strings.HasPrefix(at.File, "sallyport/") }

// blame returns where the author's rules come to what the library reads, and by
// which of its names.
func (p *Policy) blame(res *reached, rd inputRead) (*ast.Location, string) {
	for r := range res.rules {
		if r.Module == nil || r.Module.Package.Path.HasPrefix(dataRef("sallyport")) {
			continue
		}
		at, name := r.Location, ""
		ast.NewGenericVisitor(func(x any) bool {
			switch x := x.(type) {
			case *ast.Expr:
				if name == "" && x.Location != nil {
					at = x.Location
				}
			case ast.Ref:
				if name != "" || !x.HasPrefix(dataRef("sallyport")) {
					return false
				}
				for _, in := range reach(p.compiler, x.ConstantPrefix()).reads {
					if in.path.Equal(rd.path) {
						name = x.ConstantPrefix().String()
					}
				}
			}
			return name != ""
		}).Walk(r)
		if name != "" {
			return at, name
		}
	}
	return rd.at, "the library"
}

// withLibrary is a digest that holds for a policy and what it borrowed.
func withLibrary(digest string, files []string) (string, error) {
	if len(files) == 0 {
		return digest, nil
	}
	s, err := library()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00", digest)
	for _, f := range files {
		for _, texts := range s {
			if text, ok := texts[f]; ok {
				fmt.Fprintf(sum, "%s\x00%s\x00", f, text)
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
