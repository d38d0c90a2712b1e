package rego

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader/filter"
)

// Bounds of a bundle.
const (
	MaxBundle  = 64 << 20 // bytes, packed and unpacked, unless Options say otherwise
	maxEntries = 10_000
	maxPath    = 1024 // bytes of a name
)

// A packed is one file of a bundle. Its name is relative and has no dots in it.
type packed struct {
	name string
	text []byte
}

// An archive is the files of a bundle, in memory. It is what OPA's reader reads
// them from: that itself bounds no more than single files.
type archive struct {
	files []packed
	next  int
}

var _ bundle.DirectoryLoader = (*archive)(nil)

// NextFile gives the next file; the URL is its name, which signatures go by.
func (a *archive) NextFile() (*bundle.Descriptor, error) {
	if a.next == len(a.files) {
		return nil, io.EOF
	}
	f := a.files[a.next]
	a.next++
	return bundle.NewDescriptor(f.name, "/"+f.name, bytes.NewBuffer(f.text)), nil
}

// WithFilter and what follows are of the interface: nothing is left out, renamed or
// followed here.
func (a *archive) WithFilter(filter.LoaderFilter) bundle.DirectoryLoader   { return a }
func (a *archive) WithPathFormat(bundle.PathFormat) bundle.DirectoryLoader { return a }
func (a *archive) WithSizeLimitBytes(int64) bundle.DirectoryLoader         { return a }
func (a *archive) WithFollowSymlinks(bool) bundle.DirectoryLoader          { return a }

// ErrBundle is what the error is of an archive that is no bundle, or holds what is
// not read of one.
var ErrBundle = errors.New("it is no bundle, which is a tar archive, packed by gzip")

// A badArchive says what about an archive makes it none.
type badArchive struct{ error }

// Is reports that it is an ErrBundle.
func (badArchive) Is(target error) bool { return target == ErrBundle }

// Unwrap returns what it says.
func (b badArchive) Unwrap() error { return b.error }

// unpack reads a bundle, up to a limit of bytes, packed and unpacked. What OPA would
// pass over in silence is a problem.
func unpack(b []byte, limit int64) (*archive, error) {
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	in := bytes.NewReader(b)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	z.Multistream(false)
	bounded := &io.LimitedReader{R: z, N: limit + 1}
	out, t, seen := &archive{}, tar.NewReader(bounded), map[string]bool{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, tooLarge(bounded, limit, fmt.Errorf("%w: %w", ErrBundle, err))
		}
		name, err := nameOf(h)
		switch {
		case err != nil:
			return nil, err
		case name == "":
			continue
		case seen[name]:
			return nil, fmt.Errorf("%s: it is there twice", name)
		case len(out.files) == maxEntries:
			return nil, fmt.Errorf("there are more than %d files in it", maxEntries)
		}
		seen[name] = true
		text, err := io.ReadAll(t)
		if err != nil {
			return nil, tooLarge(bounded, limit, fmt.Errorf("%s: %w", name, err))
		}
		out.files = append(out.files, packed{name, text})
	}
	rest, err := io.ReadAll(bounded) // to the checksum
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	case bounded.N == 0:
		return nil, tooLarge(bounded, limit, nil)
	case len(bytes.Trim(rest, "\x00")) > 0, in.Len() > 0:
		return nil, errors.New("something is behind its end, and there may be rules in it")
	}
	return out, nil
}

// tooLarge is an error, or that there was more than the limit.
func tooLarge(r *io.LimitedReader, limit int64, err error) error {
	if r.N > 0 && err != nil {
		return err
	}
	return fmt.Errorf("unpacked it is larger than %d bytes", limit)
}

// nameOf is the name of an entry that is a file, and "" of one that is a directory
// or says something about the archive.
func nameOf(h *tar.Header) (string, error) {
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return "", nil
	case tar.TypeReg:
	default:
		return "", fmt.Errorf("%q: it is no regular file, and nothing else is read of a bundle", h.Name)
	}
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	fail := func(why string) (string, error) { return "", fmt.Errorf("%q: %s", h.Name, why) }
	switch base := path.Base(name); {
	case name == "" || len(h.Name) > maxPath || strings.ContainsAny(h.Name, "\\\x00\n"):
		return fail("it is not named as a file of a bundle is")
	case strings.Contains("/"+h.Name+"/", "/../"):
		return fail("its name leads elsewhere")
	case base == "patch.json":
		return fail("it is of a delta, which is not taken: build the whole")
	case strings.HasSuffix(base, ".wasm"), base == bundle.PlanFile, base == bundle.PlanProtoFile:
		return fail("it is compiled already, so nobody could check it: build the bundle without --target")
	case strings.HasSuffix(base, bundle.ManifestProtoExt):
		return fail("only a manifest in JSON is read")
	case strings.HasSuffix(base, bundle.ManifestExt) && name != bundle.ManifestExt, bundle.IsSignaturesFile(base) && name != base:
		return fail("its place is at the top")
	case path.Ext(base) != ".rego" && strings.EqualFold(path.Ext(base), ".rego"):
		return fail("files of Rego end in .rego, in lower case")
	}
	return name, nil
}
