package rego

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"golang.org/x/sys/unix"
)

// ReadBundle reads the file of a bundle, as long as one may be; limit is MaxBundle
// when it is 0.
func ReadBundle(file string, limit int64) ([]byte, error) {
	limit = cmp.Or(limit, MaxBundle)
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe shall not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is neither a directory nor a bundle (%v)", file, cmp.Or(err, ErrBundle))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", file, limit)
	}
	return b, err
}

// place is how files of a bundle are named in what is said of them.
func (o Options) place() string { return filepath.Clean(cmp.Or(o.Dir, o.Name)) }

// readArchive reads a bundle, checked against its signature when keys are given.
func readArchive(o Options, text map[string][]byte) (*bundle.Bundle, error) {
	limit := cmp.Or(o.MaxBytes, MaxBundle)
	a, err := unpack(o.Archive, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), badArchive{err})
	}
	r := bundle.NewCustomReader(a).WithBaseDir(o.place()).WithSizeLimitBytes(limit).WithLazyLoadingMode(false).
		WithRegoVersion(ast.RegoV1).WithProcessAnnotations(true).WithCapabilities(capabilities())
	if o.Verify == nil {
		r = r.WithSkipBundleVerification(true)
	} else {
		c, err := o.Verify.verify(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.place(), err)
		}
		r = r.WithBundleVerificationConfig(c)
	}
	for _, f := range a.files {
		if strings.HasSuffix(f.name, ".rego") {
			text[filepath.Join(o.place(), f.name)] = f.text
		}
	}
	b, err := r.Read()
	var placed ast.Errors
	var one *ast.Error
	if err != nil && !errors.As(err, &placed) && !errors.As(err, &one) {
		err = fmt.Errorf("%s: %w", o.place(), err)
	}
	return &b, err
}

// versioned takes over what a manifest says of the version of a policy.
func (s *source) versioned(m bundle.Manifest) error {
	s.revision = m.Revision
	v1 := ast.RegoV1.Int()
	if m.RegoVersion != nil && *m.RegoVersion != v1 {
		return fmt.Errorf(".manifest: rego_version is %d: write Rego v1, and leave it out", *m.RegoVersion)
	}
	for f, v := range m.FileRegoVersions {
		if v != v1 {
			return fmt.Errorf(".manifest: file_rego_versions has %d for %s: write Rego v1, and leave it out", v, f)
		}
	}
	if len(m.Revision) > 256 || strings.ContainsFunc(m.Revision, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf(".manifest: the revision has at most 256 characters, all of them visible ASCII")
	}
	ours, ok := m.Metadata["sallyport"]
	if !ok {
		return nil
	}
	fields, _ := ours.(map[string]any)
	n, ok := fields["sequence"].(json.Number)
	seq, err := n.Int64()
	if !ok || len(fields) != 1 || err != nil || seq < 0 || seq > math.MaxInt64/2 {
		return fmt.Errorf(".manifest: metadata.sallyport is {\"sequence\": N} with a whole number, and nothing else")
	}
	s.sequence, s.sequenced = seq, true
	return nil
}
