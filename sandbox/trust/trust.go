// Package trust makes the certificate stores of programs that do not read the system's.
package trust

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// ErrNoCertificate means that a text holds no certificate in PEM.
var ErrNoCertificate = errors.New("there is no certificate in it")

// certificates returns those that can be read; a bundle of a system may hold
// some that cannot.
func certificates(text []byte) (out []*x509.Certificate) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out
		}
		if c, err := x509.ParseCertificate(b.Bytes); err == nil && b.Type == "CERTIFICATE" {
			out = append(out, c)
		}
	}
}

// minCertificate is less than any certificate takes.
const minCertificate = 64

// Java makes a PKCS #12 trust store, without password, of all certificates in a
// bundle in PEM. Java reads it from 8u301, 11.0.12 and 12 on.
func Java(bundle []byte) ([]byte, error) {
	var entries []pkcs12.TrustStoreEntry
	for b, rest := pem.Decode(bundle); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == "CERTIFICATE" && len(b.Bytes) > minCertificate { // Java keeps one certificate for an alias, and reads them itself
			entries = append(entries, pkcs12.TrustStoreEntry{Cert: &x509.Certificate{Raw: b.Bytes}, FriendlyName: fmt.Sprintf("certificate %d", len(entries)+1)})
		}
	}
	if len(entries) == 0 {
		return nil, ErrNoCertificate
	}
	return pkcs12.Passwordless.EncodeTrustStoreEntries(entries, "")
}
