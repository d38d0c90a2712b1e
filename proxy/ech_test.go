package proxy_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"testing"
)

// hidden is what a client that hides a server's name was told (RFC 9849, 4): outer is
// the name that is seen.
func hidden(t *testing.T, outer string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	be := binary.BigEndian
	c := be.AppendUint16([]byte{1}, 0x0020) // DHKEM(X25519, HKDF-SHA256)
	c = be.AppendUint16(c, uint16(len(key.PublicKey().Bytes())))
	c = append(c, key.PublicKey().Bytes()...)
	c = be.AppendUint16(be.AppendUint16(be.AppendUint16(c, 4), 1), 1) // HKDF-SHA256, AES-128-GCM
	c = append(c, 64, byte(len(outer)))
	c = be.AppendUint16(append(c, outer...), 0)
	c = append(be.AppendUint16(be.AppendUint16(nil, 0xfe0d), uint16(len(c))), c...)
	return append(be.AppendUint16(nil, uint16(len(c))), c...)
}

// hostile 37: a name that is hidden is not passed on unread where it may be another
// than the one that was decided; where TLS is opened, the client learns that nobody
// there can read it, and what was hidden goes nowhere.
func TestHiddenNames(t *testing.T) {
	client := func(outer string) *tls.Config {
		return &tls.Config{ServerName: "inner.example.com", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: hidden(t, outer)}
	}
	opened := newRig(t, rigging{})
	cfg := client("outer.example.com")
	cfg.RootCAs = opened.roots
	err := tls.Client(opened.connect(opened.at("outer.example.com")), cfg).Handshake()
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || len(opened.origin.Seen()) > 0 {
		t.Errorf("opened: %v, %d requests", err, len(opened.origin.Seen()))
	}

	passed := newRig(t, rigging{policy: "package egress.connect\n\nallow if input.destination.protocol == \"tls\"\n"})
	s := passed.socks(passed.addr)
	if got := s.open("127.0.0.1", passed.origin.TLSPort, ""); got != 0 {
		t.Fatalf("replied %d", got)
	}
	if err := tls.Client(s, client("outer.example.com")).Handshake(); err == nil || errors.As(err, &rejected) {
		t.Errorf("to an address: %v", err)
	}
	if got := passed.found(map[string]string{"policy.code": "ech", "authority.sni": "outer.example.com"}); len(got) != 1 {
		t.Errorf("to an address: recorded %v", got)
	}
	// The name that was looked up is the one that is seen: browsers send the extension
	// without meaning it, and the destination is decided by that name.
	if err := tls.Client(passed.connect(passed.at("outer.example.com")), client("outer.example.com")).Handshake(); err == nil {
		t.Error("the origin has no such key")
	}
	if n := len(passed.found(map[string]string{"event.name": "egress.tunnel.open", "authority.sni": "outer.example.com"})); n != 1 {
		t.Errorf("by the name that is seen: %d tunnels", n)
	}
}
