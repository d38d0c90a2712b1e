package leaf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lasting makes an issuer whose CA is kept in a new directory.
func lasting(t testing.TB, o Options) (*Issuer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	i, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return i, dir
}

// A CA outlives its process, also one that was made ahead of it.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := Init(dir, Options{CommonName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, Options{}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second CA: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, certFile)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{CommonName: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.CAPEM(), again.CAPEM()) || !first.now.Load().key.Equal(again.now.Load().key) {
		t.Error("another CA was made")
	}
	for file, mode := range map[string]os.FileMode{keyFile: 0o600, certFile: 0o644} {
		if st, err := os.Stat(filepath.Join(dir, file)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", file, st, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, certFile)); err != nil || !bytes.Equal(b, first.CAPEM()) {
		t.Errorf("the copy of the certificate: %s %v", b, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 2 {
		t.Errorf("%v %v", all, err)
	}
}

// A CA that was kept in two files, and may not vouch for another, is taken.
func TestOpenOfTwoFiles(t *testing.T) {
	dir := t.TempDir()
	i, _ := issuer(t, Options{CommonName: "strict"})
	a := i.now.Load()
	b, err := a.marshal()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pem.Decode(b)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(p), 0o600), os.WriteFile(filepath.Join(dir, certFile), a.pem(), 0o644)); err != nil {
		t.Fatal(err)
	}
	got, err := Open(dir, Options{})
	if err != nil || !bytes.Equal(got.CAPEM(), i.CAPEM()) {
		t.Fatal(err)
	}
	if _, err := got.Successor(0, false); !errors.Is(err, ErrStranded) || !strings.Contains(err.Error(), "it may not vouch for another") {
		t.Errorf("%v", err)
	}
	s, err := got.Successor(0, true)
	if err != nil || len(s.CA().Older) != 0 || len(s.Lost()) != 1 || !s.Lost()[0].Equal(a.ca) {
		t.Fatalf("%+v %v", s, err)
	}
	if err := got.Adopt(s); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(dir, Options{}); err != nil || !bytes.Equal(again.CAPEM(), got.CAPEM()) {
		t.Error(err)
	}
}

// hostile 202: a key that others may have, or have put there, is not used, nor
// one whose parts do not belong together.
func TestKeysOfOthers(t *testing.T) {
	_, dir := lasting(t, Options{})
	key := filepath.Join(dir, keyFile)
	whole, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	certs := whole[bytes.Index(whole, []byte("-----BEGIN CERTIFICATE")):]
	other, _ := lasting(t, Options{})
	another := other.CAPEM()
	leaf, err := other.Leaf(t.Context(), host(t, "example.com"))
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := func(b ...[]byte) func() error {
		return func() error { return os.WriteFile(key, bytes.Join(b, nil), 0o600) }
	}
	elsewhere := filepath.Join(t.TempDir(), "key")
	cases := map[string]struct {
		breakIt func() error
		want    string
	}{
		"readable by a group":      {func() error { return os.Chmod(key, 0o640) }, "may be read by others (mode 0640): make it 0600, and rotate the CA"},
		"readable by all":          {func() error { return os.Chmod(key, 0o604) }, "may be read by others (mode 0604)"},
		"replaceable by others":    {func() error { return os.Chmod(dir, 0o770) }, "others can write the directory"},
		"a link":                   {func() error { return errors.Join(os.Rename(key, elsewhere), os.Symlink(elsewhere, key)) }, "is a link"},
		"a pipe":                   {func() error { return errors.Join(os.Remove(key), syscall.Mkfifo(key, 0o600)) }, "is not a regular file"},
		"a directory":              {func() error { return errors.Join(os.Remove(key), os.Mkdir(key, 0o700)) }, "is not a regular file"},
		"nothing":                  {text(), "no such file"},
		"no key":                   {text([]byte("x")), "no such file"},
		"no key but certificates":  {text(certs), "does not begin with a PEM block of type PRIVATE KEY"},
		"another's certificate":    {text(whole[:len(whole)-len(certs)], another), "the certificate is not that of the key"},
		"something behind":         {text(whole, []byte("x")), "something else than certificates"},
		"half an older CA":         {text(whole, another), "2 certificates stand behind the key"},
		"an older CA of its own":   {text(whole, another, another), "older CA 1 does not vouch"},
		"an older CA of another's": {text(whole, certs, another), "older CA 1 does not vouch"},
		"a leaf": {text(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leafKey}),
			certPEM(leaf.Leaf)), "the certificate is not a CA's"},
	}
	if os.Getuid() == 0 {
		cases["another user's"] = struct {
			breakIt func() error
			want    string
		}{func() error { return errors.Join(os.Chown(dir, 12345, 12345), os.Chown(key, 23456, 23456)) }, "belongs to user 23456"}
	}
	for name, c := range cases {
		if err := errors.Join(c.breakIt(), os.Remove(filepath.Join(dir, certFile))); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "MIG") {
			t.Errorf("%s: %v", name, err)
		}
		err := errors.Join(os.Chmod(dir, 0o700), os.RemoveAll(key), os.RemoveAll(elsewhere), os.WriteFile(key, whole, 0o600), os.WriteFile(filepath.Join(dir, certFile), nil, 0o644))
		if os.Getuid() == 0 {
			err = errors.Join(err, os.Chown(dir, 0, 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err != nil {
			t.Fatalf("%s: as it was: %v", name, err)
		}
	}
}

// What root makes in a user's directory is that user's.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	uid := os.Getuid()
	if uid == 0 {
		uid = 12345
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	i, err := Init(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rotate(t, i)
	for _, f := range []string{keyFile, certFile} {
		st, err := os.Stat(filepath.Join(dir, f))
		if err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Errorf("%s: %+v %v", f, st, err)
		}
	}
}

// An expired CA is there to be rotated, and makes nothing.
func TestExpired(t *testing.T) {
	i, dir := lasting(t, Options{Lifetime: time.Nanosecond})
	if _, err := Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Leaf(t.Context(), host(t, "example.com")); err == nil {
		t.Error("an expired CA makes leaves")
	}
	s, err := i.Successor(time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Adopt(s); err != nil {
		t.Fatal(err)
	}
	if c, err := i.Leaf(t.Context(), host(t, "example.com")); err != nil || len(c.Certificate) != 1 {
		t.Errorf("%+v %v", c, err)
	}
}

// A key of another kind, or that is no CA's, is an error.
func TestWrongKeys(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{nil, []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if _, err := parse(b); err == nil {
			t.Errorf("%q is taken", b)
		}
	}
}
