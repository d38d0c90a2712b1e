package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// caDays is how long the CA of an origin is good.
const caDays = 3650

// serial is one that no other certificate has.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return new(big.Int).SetBytes(b[:])
}

// kept returns the CA that is in a directory, or a new one that is put there. No
// directory keeps nothing.
func kept(dir string) (*x509.Certificate, *ecdsa.PrivateKey, []byte, error) {
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	if dir != "" {
		text, err := os.ReadFile(cert)
		if err == nil {
			return parse(text, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil, err
		}
	}
	ca, k, text, err := newCA()
	if err != nil || dir == "" {
		return ca, k, text, err
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, nil, nil, err
	}
	return ca, k, text, os.WriteFile(cert, text, 0o644)
}

func newCA() (*x509.Certificate, *ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "origin CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, caDays),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func parse(text []byte, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, []byte, error) {
	secret, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, nil, nil, err
	}
	c, _ := pem.Decode(text)
	k, _ := pem.Decode(secret)
	if c == nil || k == nil {
		return nil, nil, nil, fmt.Errorf("%s: there is no PEM in it, or beside it", keyFile)
	}
	ca, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(k.Bytes)
	return ca, key, text, err
}
