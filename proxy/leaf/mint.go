package leaf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"time"

	"sallyport/dest"
)

// mint makes a key and a leaf for one name, with what stands behind it for those
// who trust an older CA. It is good until the first of these ends at the latest.
func (a *authority) mint(h dest.Host) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if !now.Before(a.ca.NotAfter) {
		return nil, errors.New("the CA has expired")
	}
	behind, end := a.chain(now)
	if usual := now.Add(leafLifetime); usual.Before(end) {
		end = usual
	}
	t := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-backdated), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		SubjectKeyId: id, AuthorityKeyId: a.ca.SubjectKeyId,
	}
	if len(h.String()) <= 64 { // the upper bound of a common name: RFC 5280, A.1
		t.Subject.CommonName = h.String()
	} else {
		t.Subject.CommonName = "sallyport leaf"
	}
	if ip, ok := h.Addr(); ok {
		t.IPAddresses = []net.IP{ip.AsSlice()}
	} else {
		t.DNSNames = []string{h.String()}
	}
	leaf, err := issue(t, a.ca, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{leaf.Raw}, behind...), PrivateKey: key, Leaf: leaf}, nil
}

// newSerial is a random positive number of 127 bits: RFC 5280, 4.1.2.2.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

// keyID is method 1 of RFC 7093, 2: 160 bits of SHA-256 of the public key.
func keyID(k *ecdsa.PublicKey) ([]byte, error) {
	b, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:20], nil
}
