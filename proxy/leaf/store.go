package leaf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/dest"
)

// Files of a CA that outlives its process. The key's holds all that belongs to it
// in PEM: the key, the CA, and for each older CA, youngest first, its vouching
// certificate and itself. So one rename replaces all. The other is a copy of the
// certificate for people.
const (
	keyFile  = "ca.key"
	nextFile = "ca.key.next" // what it is going to be
	oldFile  = "ca.key.old"  // what it was, until that is overwritten
	certFile = "ca.pem"
)

// maxKeyFile is more than a key file holds.
const maxKeyFile = 64 << 10

// ErrExists means that there is a CA already.
var ErrExists = errors.New("there is a CA already")

// Open returns the issuer whose CA is kept in dir, and makes it at the first
// time. The key's file is for its owner alone: one that others may read, that is
// another user's, or whose directory others can write is not used, nor one whose
// parts do not belong together. An expired CA is taken, to be rotated.
func Open(dir string, o Options) (*Issuer, error) {
	i, err := Init(dir, o)
	if !errors.Is(err, ErrExists) {
		return i, err
	}
	if o, err = o.whole(); err != nil {
		return nil, err
	}
	a, err := load(dir)
	if err != nil {
		return nil, err
	}
	a.leaves = newRecent[dest.Host, *tls.Certificate](o.Size)
	if err := tidy(dir); err != nil {
		return nil, err
	}
	return newIssuer(dir, o, a), publish(dir, a)
}

// Init makes a CA in dir, ahead of the first Open. ErrExists says that there is one.
func Init(dir string, o Options) (*Issuer, error) {
	o, err := o.whole()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := ownDirectory(dir); err != nil {
		return nil, err
	}
	if there(filepath.Join(dir, keyFile)) {
		return nil, fmt.Errorf("%w in %s", ErrExists, dir)
	}
	a, err := newAuthority(o, true, nil)
	if err != nil {
		return nil, err
	}
	if err := create(dir, a); err != nil {
		return nil, err
	}
	return newIssuer(dir, o, a), publish(dir, a)
}

// ownDirectory refuses a directory in which somebody else than its owner could
// put another key, and returns the owner.
func ownDirectory(dir string) (*syscall.Stat_t, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !st.IsDir():
		return nil, fmt.Errorf("%s is not a directory", dir)
	case st.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("others can write the directory %s (mode %04o), and could put a key of theirs in the place of the CA's: make it 0700", dir, st.Mode().Perm())
	}
	return sys, nil
}

// openKey opens the key's file, if nobody else can read it or has put it there.
func openKey(dir string, flags int) (*os.File, error) {
	own, err := ownDirectory(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keyFile)
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a link: the CA's key is kept in the directory itself", path)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		sys, _ := st.Sys().(*syscall.Stat_t)
		switch {
		case sys == nil || !st.Mode().IsRegular():
			err = fmt.Errorf("%s is not a regular file", path)
		case sys.Uid != own.Uid && int(sys.Uid) != os.Geteuid():
			err = fmt.Errorf("%s belongs to user %d: give it to user %d, whose directory it is in, and rotate the CA if that user may have read it", path, sys.Uid, own.Uid)
		case st.Mode().Perm()&0o077 != 0:
			err = fmt.Errorf("%s may be read by others (mode %04o): make it 0600, and rotate the CA if somebody may have read it", path, st.Mode().Perm())
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// load reads what is kept in dir, and checks that it belongs together.
func load(dir string) (*authority, error) {
	f, err := openKey(dir, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte("CERTIFICATE")) { // as it was kept before there were rotations
		c, err := os.ReadFile(filepath.Join(dir, certFile))
		if err != nil {
			return nil, err
		}
		b = append(b, c...)
	}
	a, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return a, nil
}

// marshal is the content of the key's file.
func (a *authority) marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	out.Write(a.pem())
	for _, e := range a.elders {
		out.Write(certPEM(e.cross))
		out.Write(certPEM(e.ca))
	}
	return out.Bytes(), nil
}

// parse is the reverse of marshal.
func parse(b []byte) (*authority, error) {
	p, rest := pem.Decode(b)
	if p == nil || p.Type != "PRIVATE KEY" {
		return nil, errors.New("it does not begin with a PEM block of type PRIVATE KEY")
	}
	k, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, errors.New("it does not hold a PKCS #8 key") // the error of the parser may quote it
	}
	a := &authority{}
	var ok bool
	if a.key, ok = k.(*ecdsa.PrivateKey); !ok {
		return nil, errors.New("it does not hold an ECDSA key")
	}
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(rest)) > 0 {
		if p, rest = pem.Decode(rest); p == nil || p.Type != "CERTIFICATE" {
			return nil, errors.New("something else than certificates stands behind the key")
		}
		c, err := x509.ParseCertificate(p.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs)%2 != 1 {
		return nil, fmt.Errorf("%d certificates stand behind the key: expected the CA's, and two for each CA before it", len(certs))
	}
	a.ca = certs[0]
	for certs = certs[1:]; len(certs) > 0; certs = certs[2:] {
		a.elders = append(a.elders, elder{ca: certs[1], cross: certs[0]})
	}
	return a, a.check()
}

// check reports parts that do not belong together.
func (a *authority) check() error {
	switch pub, err := publicKey(a.ca); {
	case err != nil:
		return err
	case !pub.Equal(&a.key.PublicKey):
		return errors.New("the certificate is not that of the key")
	case !a.ca.IsCA:
		return errors.New("the certificate is not a CA's")
	case len(a.elders) > maxElders:
		return fmt.Errorf("it holds %d older CAs, and %d are the most", len(a.elders), maxElders)
	}
	next := a.ca
	for n, e := range a.elders {
		pub, err := publicKey(e.cross)
		if err != nil || !pub.Equal(next.PublicKey) || !bytes.Equal(e.cross.RawSubject, next.RawSubject) || e.cross.CheckSignatureFrom(e.ca) != nil {
			return fmt.Errorf("older CA %d does not vouch for the one after it", n+1)
		}
		next = e.ca
	}
	return nil
}

func publicKey(c *x509.Certificate) (*ecdsa.PublicKey, error) {
	if k, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
		return k, nil
	}
	return nil, errors.New("the key of a certificate is not an ECDSA key")
}
