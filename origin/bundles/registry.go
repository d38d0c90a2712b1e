package bundles

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// Layer is the type of a layer that is a bundle.
const Layer = "application/vnd.oci.image.layer.v1.tar+gzip"

// Robot is the login that a locked Registry gives a token for.
const Robot = "robot:s3cret-of-robot"

// robotToken is that token.
const robotToken = "a-token-for-a-while"

// A Registry of OCI images over TLS on 127.0.0.1, with the repository team/web. It
// is safe for concurrent use.
type Registry struct {
	CA string // PEM

	srv    *httptest.Server
	locked atomic.Bool
	wrong  atomic.Pointer[http.HandlerFunc]
	given  atomic.Int64
}

// ServeImages starts one.
func ServeImages() *Registry {
	s := &Registry{}
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			if user+":"+password != Robot || r.URL.Query().Get("scope") != "repository:team/web:pull" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"token": robotToken})
			return
		}
		if s.locked.Load() && r.Header.Get("Authorization") != "Bearer "+robotToken {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.srv.URL+`/token",service="registry",scope="repository:team/web:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(r.URL.Path, "/blobs/sha256:") && r.Method == http.MethodGet {
			s.given.Add(1)
			if f := s.wrong.Load(); f != nil {
				(*f)(w, r)
				return
			}
		}
		h.ServeHTTP(w, r)
	}))
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.srv.Certificate().Raw}))
	return s
}

// Close ends it.
func (s *Registry) Close() { s.srv.Close() }

// Name is that of its image of a tag, such as :v1 or @sha256:….
func (s *Registry) Name(tag string) string {
	return strings.TrimPrefix(s.srv.URL, "https://") + "/team/web" + tag
}

// Lock makes it ask for a token.
func (s *Registry) Lock() { s.locked.Store(true) }

// Given counts the layers that it was asked for.
func (s *Registry) Given() int64 { return s.given.Load() }

// Wrong answers otherwise when a layer is asked for; nil answers well again.
func (s *Registry) Wrong(how http.HandlerFunc) {
	if how == nil {
		s.wrong.Store(nil)
		return
	}
	s.wrong.Store(&how)
}

// Push puts an image of these layers into it while it is not locked, and returns
// its digest.
func (s *Registry) Push(tag, kind string, layers ...[]byte) string {
	repo, err := remote.NewRepository(s.Name(""))
	must(err)
	repo.Client = s.srv.Client()
	put := func(kind string, b []byte) ocispec.Descriptor {
		d := content.NewDescriptorFromBytes(kind, b)
		must(repo.Blobs().Push(context.Background(), d, bytes.NewReader(b)))
		return d
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: put("application/vnd.oci.image.config.v1+json", []byte("{}"))}
	for _, b := range layers {
		m.Layers = append(m.Layers, put(kind, b))
	}
	text, err := json.Marshal(m)
	must(err)
	d := content.NewDescriptorFromBytes(m.MediaType, text)
	must(repo.Manifests().PushReference(context.Background(), d, bytes.NewReader(text), tag))
	return d.Digest.String()
}
