// Package bundles makes OPA bundles and signs them, for tests.
package bundles

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"
)

// Files are those of a bundle by name.
type Files map[string]string

// With returns the files with another, or without it when its text is "".
func (f Files) With(name, text string) Files {
	out := maps.Clone(f)
	if out[name] = text; text == "" {
		delete(out, name)
	}
	return out
}

// Pack makes a bundle.
func (f Files) Pack() []byte {
	var out []tar.Header
	for _, name := range slices.Sorted(maps.Keys(f)) {
		out = append(out, tar.Header{Typeflag: tar.TypeReg, Name: "/" + name, Mode: 0o644, Size: int64(len(f[name]))})
	}
	return PackAs(f, out...)
}

// PackAs makes an archive of entries as they are; the text of each is that of the
// file of its name.
func PackAs(f Files, entries ...tar.Header) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(err)
	t := tar.NewWriter(z)
	for _, h := range entries {
		must(t.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := t.Write([]byte(f[strings.TrimPrefix(h.Name, "/")]))
			must(err)
		}
	}
	must(t.Close())
	must(z.Close())
	return b.Bytes()
}

// A Key signs by ES256.
type Key struct {
	Public  string // PEM
	private string
}

// NewKey makes one.
func NewKey() *Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	must(err)
	public, err := x509.MarshalPKIXPublicKey(k.Public())
	must(err)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return &Key{block("PUBLIC KEY", public), block("PRIVATE KEY", private)}
}

// Sign returns the files with their signature, of this key id and scope.
func (k *Key) Sign(f Files, id, scope string) Files {
	h, err := bundle.NewSignatureHasher(bundle.SHA256)
	must(err)
	var infos []bundle.FileInfo
	for _, name := range slices.Sorted(maps.Keys(f)) {
		var of any = []byte(f[name])
		if bundle.IsStructuredDoc(name) {
			must(util.Unmarshal([]byte(f[name]), &of))
		}
		sum, err := h.HashFile(of)
		must(err)
		infos = append(infos, bundle.NewFile(name, hex.EncodeToString(sum), bundle.SHA256.String()))
	}
	claims := ""
	if scope != "" {
		c, err := os.CreateTemp("", "claims")
		must(err)
		defer os.Remove(c.Name())
		must(json.NewEncoder(c).Encode(map[string]string{"scope": scope, "keyid": id}))
		must(c.Close())
		claims = c.Name()
	}
	token, err := bundle.GenerateSignedToken(infos, bundle.NewSigningConfig(k.private, "ES256", claims), id)
	must(err)
	b, err := json.Marshal(bundle.SignaturesConfig{Signatures: []string{token}})
	must(err)
	return f.With(".signatures.json", string(b))
}

func must(err error) {
	if err != nil {
		panic(err) // only tests come here
	}
}
