package bundle

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// maxManifest bounds the manifest of an image, in bytes.
const maxManifest = 1 << 20

// OCIOptions say what a bundle is asked for with.
type OCIOptions struct {
	Reference string                 // REGISTRY/REPOSITORY:TAG, with @sha256:… only that
	Login     func() (string, error) // USER:PASSWORD, or a token of the registry; nil is none. It is called for each request
	TLS       *tls.Config            // its certificates are shown to the registry alone
	Max       int64                  // bytes of a bundle
	Time      time.Duration          // of a request; 0 means a minute
}

// An OCI is a source that is an image in a registry: its one layer of type tar+gzip
// is the bundle.
type OCI struct {
	o    OCIOptions
	repo *remote.Repository
	http *http.Client
}

var _ Source = (*OCI)(nil)

// NewOCI returns the source of an image, or says what is wrong with its name.
func NewOCI(o OCIOptions) (*OCI, error) {
	repo, err := remote.NewRepository(o.Reference)
	if err != nil {
		return nil, err
	}
	if err := repo.Reference.ValidateReference(); err != nil || repo.Reference.Reference == "" {
		return nil, errors.New("expected oci://REGISTRY/REPOSITORY:TAG, of which @sha256:… may follow")
	}
	o.Time = cmp.Or(o.Time, requestTime)
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	unknown := o.TLS.Clone()
	unknown.Certificates = nil
	c := &http.Client{
		Transport: &byOrigin{repo.Reference.Host(), client(o.TLS).Transport, client(unknown).Transport},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxHops:
				return failed(BadRedirect, "it leads elsewhere more than %d times", maxHops)
			case r.URL.Scheme != "https":
				return failed(BadRedirect, "it leads to %s, which is not over TLS", Shown(r.URL))
			}
			return nil
		},
	}
	return &OCI{o, repo, c}, nil
}

// A byOrigin shows certificates to one host alone.
type byOrigin struct {
	host          string
	own, stranger http.RoundTripper
}

// RoundTrip sends a request to whom it is for.
func (b *byOrigin) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == b.host {
		return b.own.RoundTrip(r)
	}
	return b.stranger.RoundTrip(r)
}

// String is the name of the image.
func (s *OCI) String() string { return "oci://" + s.o.Reference }

// Fetch asks which image there is, and for its bundle when it is another. A registry
// waits for nothing.
func (s *OCI) Fetch(ctx context.Context, a Ask) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Time)
	defer cancel()
	repo, wrong := s.as()
	if wrong != nil {
		return Answer{}, wrong
	}
	image, err := repo.Resolve(ctx, repo.Reference.Reference)
	if err != nil {
		return s.broken(ctx, err)
	}
	if tag := string(image.Digest); tag == a.ETag {
		return Answer{}, nil
	}
	if image.Size > maxManifest {
		return s.fail(TooLarge, "its manifest is larger than %d bytes", maxManifest)
	}
	text, err := content.FetchAll(ctx, repo.Manifests(), image)
	if err != nil {
		return s.broken(ctx, err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return s.fail(NotBundle, "its manifest is none of an image")
	}
	var layers []ocispec.Descriptor
	for _, l := range m.Layers {
		if strings.HasSuffix(l.MediaType, ".tar+gzip") || strings.HasSuffix(l.MediaType, ".tar.gzip") {
			layers = append(layers, l)
		}
	}
	switch {
	case len(layers) != 1:
		return s.fail(NotBundle, "it has %d layers of type tar+gzip, and a bundle is one", len(layers))
	case layers[0].Size > s.o.Max:
		return s.fail(TooLarge, "it is larger than %d bytes", s.o.Max)
	}
	b, err := content.FetchAll(ctx, repo.Blobs(), layers[0])
	if err != nil {
		return s.broken(ctx, err)
	}
	return Answer{Bundle: &Bundle{Bytes: b, ETag: string(image.Digest)}}, nil
}

// as is the repository, asked with what is to be shown now.
func (s *OCI) as() (*remote.Repository, *Error) {
	who := auth.EmptyCredential
	if s.o.Login != nil {
		text, err := s.o.Login()
		if err != nil {
			return nil, failed(NoToken, "the token: %w", err)
		}
		if user, password, ok := strings.Cut(text, ":"); ok {
			who = auth.Credential{Username: user, Password: password}
		} else {
			who = auth.Credential{AccessToken: text}
		}
	}
	repo, err := remote.NewRepository(s.o.Reference)
	if err != nil {
		return nil, failed(BadAnswer, "%w", err)
	}
	c := &auth.Client{Client: s.http, Cache: auth.NewCache(), Header: http.Header{"User-Agent": {"sallyport"}}, Credential: auth.StaticCredential(repo.Reference.Registry, who)}
	if host, _, err := net.SplitHostPort(repo.Reference.Host()); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() { // so may be what gives it tokens
			c.BlockedRealmPrefixes = []netip.Prefix{}
		}
	}
	repo.Client = c
	return repo, nil
}

func (s *OCI) fail(c Code, format string, a ...any) (Answer, error) {
	return Answer{}, failed(c, "%s: %w", s, fmt.Errorf(format, a...))
}

// broken says why there is no answer. What a registry says in words is left out.
func (s *OCI) broken(ctx context.Context, err error) (Answer, error) {
	var said *errcode.ErrorResponse
	var own *Error
	switch {
	case errors.As(err, &own):
		return s.fail(own.Code, "%w", own.Err)
	case errors.As(err, &said):
		e := failed(BadStatus, "%s: %d %s", s, said.StatusCode, http.StatusText(said.StatusCode))
		e.Status = said.StatusCode
		return Answer{Status: said.StatusCode}, e
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return s.fail(BadStatus, "it wants to be shown who asks")
	case errors.Is(err, errdef.ErrNotFound):
		e := failed(BadStatus, "%s: there is no such image", s)
		e.Status = http.StatusNotFound
		return Answer{Status: http.StatusNotFound}, e
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData), errors.Is(err, content.ErrInvalidDescriptorSize):
		return s.fail(BadAnswer, "what it gave is not what it named: %w", err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.fail(Slow, "it took too long")
	}
	return s.fail(Unreachable, "%s", queries.ReplaceAllString(err.Error(), "?…"))
}

// queries are of URLs that errors name: where a registry leads to, they give access.
var queries = regexp.MustCompile(`\?[^"\s]*`)
