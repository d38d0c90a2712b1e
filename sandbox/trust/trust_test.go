package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ca(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func tool(t *testing.T, name, pkg string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install -y %s", name, pkg)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// SQLite finds nothing wrong, and NSS finds a CA for servers.
func TestNSS(t *testing.T) {
	dir := t.TempDir()
	b, err := NSS(ca(t, "a CA of the test"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, NSSFile)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := tool(t, "sqlite3", "sqlite3", file, "pragma integrity_check; select count(*), hex(a0) from nssPublic group by a0 order by a0"); out != "ok\n1|00000001\n1|CE534353\n" {
		t.Errorf("sqlite3 says %q", out)
	}
	tool(t, "certutil", "libnss3-tools", "-N", "-d", "sql:"+dir, "--empty-password") // as programs do that open it to write
	if out := tool(t, "certutil", "libnss3-tools", "-L", "-d", "sql:"+dir); !strings.Contains(out, "sallyport") || !strings.Contains(out, "C,,") {
		t.Errorf("certutil says %s", out)
	}
	if out := tool(t, "certutil", "libnss3-tools", "-V", "-d", "sql:"+dir, "-n", "sallyport", "-u", "L"); !strings.Contains(out, "certificate is valid") {
		t.Errorf("certutil says %s", out)
	}
}

func TestJava(t *testing.T) {
	b, err := Java(append(ca(t, "one"), ca(t, "two")...))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "store.p12")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := tool(t, "keytool", "default-jdk-headless", "-list", "-keystore", file, "-storetype", "PKCS12", "-storepass", "")
	if strings.Count(out, "trustedCertEntry") != 2 {
		t.Errorf("keytool says %s", out)
	}
}

func TestWithoutCertificate(t *testing.T) {
	for _, text := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := NSS([]byte(text)); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("NSS of %q: %v", text, err)
		}
		if _, err := Java([]byte(text)); !errors.Is(err, ErrNoCertificate) {
			t.Errorf("Java of %q: %v", text, err)
		}
	}
}

// A certificate of any size makes a database that is whole, or an error.
func FuzzDatabase(f *testing.F) {
	f.Add(uint16(0), byte(1))
	f.Add(uint16(3900), byte(7))
	f.Fuzz(func(t *testing.T, n uint16, id byte) {
		b, err := database("t", "CREATE TABLE t (id PRIMARY KEY, a, b)", []row{{id, map[string][]byte{"b": make([]byte, n)}}})
		if err == nil && len(b) != 3*pageSize || err != nil && !errors.Is(err, errTooLarge) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}
