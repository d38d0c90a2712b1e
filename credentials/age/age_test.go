package age

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"sallyport/credentials"
	"sallyport/credentials/file"
)

// sealed is a text for a recipient.
func sealed(t *testing.T, to age.Recipient, text string, armored bool) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = nopCloser{&b}
	if armored {
		w = armor.NewWriter(&b)
	}
	e, err := age.Encrypt(w, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(e, text); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type nopCloser struct{ io.Writer }

// Close does nothing.
func (nopCloser) Close() error { return nil }

// Files as age writes them are opened, and again when they or the identity are
// replaced; what does not open them is told without what it is.
func TestSealedFiles(t *testing.T) {
	dir := t.TempDir()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, b []byte) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key := put("key", []byte("# created: today\n# public key: "+id.Recipient().String()+"\n"+id.String()+"\n"))
	path := put("x.age", sealed(t, id.Recipient(), "first-secret\n", false))
	f, err := file.NewDocument(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := file.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), path, f, k)
	if err != nil {
		t.Fatal(err)
	}
	is := func(want string) {
		t.Helper()
		v, err := s.Fetch(t.Context(), nil)
		if w, _ := credentials.NewSecret([]byte(want)); err != nil || !v.Secret.Equal(w) {
			t.Errorf("%s: %v", want, err)
		}
	}
	is("first-secret")
	put("x.age", sealed(t, id.Recipient(), "second-secret", true))
	is("second-secret")
	put("key", []byte(other.String()))
	put("x.age", sealed(t, other.Recipient(), "third-secret", false))
	is("third-secret")
	whole := sealed(t, other.Recipient(), "hush-hush-hush", false)
	for name, c := range map[string]struct{ file, key []byte }{
		"another identity": {whole, []byte(id.String())},
		"no identity":      {whole, []byte("AGE-PLUGIN-EVIL-1QQQQ")},
		"text":             {whole, []byte("hush-hush-hush")},
		"cut":              {whole[:len(whole)-1], []byte(other.String())},
		"changed":          {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), []byte(other.String())},
		"no file of age":   {[]byte("hush-hush-hush"), []byte(other.String())},
		"too large":        {sealed(t, other.Recipient(), strings.Repeat("x", maxSize+1), false), []byte(other.String())},
		"with lines":       {sealed(t, other.Recipient(), "hush-hush-hush\nhush", false), []byte(other.String())},
	} {
		put("x.age", c.file)
		put("key", c.key)
		if v, err := s.Fetch(t.Context(), nil); err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "AGE-") {
			t.Errorf("%s: %v %v", name, v, err)
		}
	}
}
