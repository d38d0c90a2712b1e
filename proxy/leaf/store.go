package leaf

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files of a CA that outlives its process.
const (
	certFile = "ca.pem"
	keyFile  = "ca.key"
)

// Open returns the issuer whose CA is kept in dir, and makes it at the first
// time. The key's file is for its owner alone: one that others may read is not
// used. A CA that has expired, or whose files do not belong together, is an error.
func Open(dir string, o Options) (*Issuer, error) {
	key := filepath.Join(dir, keyFile)
	st, err := os.Stat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir, o)
	}
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): make it 0600, and rotate the CA if somebody may have read it", key, st.Mode().Perm())
	}
	i, err := New(o)
	if err != nil {
		return nil, err
	}
	if i.caKey, err = readKey(key); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	cert := filepath.Join(dir, certFile)
	if i.ca, err = readCert(cert); err != nil {
		return nil, fmt.Errorf("%s: %w", cert, err)
	}
	pub, ok := i.ca.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || !pub.Equal(&i.caKey.PublicKey):
		return nil, fmt.Errorf("%s is not the certificate of %s", cert, key)
	case !i.ca.IsCA:
		return nil, fmt.Errorf("%s is not a CA", cert)
	case !time.Now().Before(i.ca.NotAfter):
		return nil, fmt.Errorf("the CA in %s expired on %s: rotate it", cert, i.ca.NotAfter.Format(time.DateOnly))
	}
	i.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.Raw})
	return i, nil
}

// create makes a CA and keeps it: the certificate first, so that a key is never
// there alone.
func create(dir string, o Options) (*Issuer, error) {
	i, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(i.caKey)
	if err != nil {
		return nil, err
	}
	if err := writeWhole(filepath.Join(dir, certFile), i.pem, 0o644); err != nil {
		return nil, err
	}
	return i, writeWhole(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeWhole makes a file appear with all of its content, or not at all.
func writeWhole(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func block(path, kind string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, rest := pem.Decode(b)
	if p == nil || p.Type != kind || len(rest) > 0 {
		return nil, fmt.Errorf("it does not hold one PEM block of type %s", kind)
	}
	return p.Bytes, nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := block(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("it is not a PKCS #8 key") // the error of the parser may quote it
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an ECDSA key")
	}
	return key, nil
}

func readCert(path string) (*x509.Certificate, error) {
	der, err := block(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
