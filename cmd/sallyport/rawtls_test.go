package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	bigendian "encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Types of records and of handshake messages: RFC 8446, 5.1 and 4.
const (
	tlsAlert     = 21
	tlsHandshake = 22
	tlsData      = 23
	keyUpdate    = 24
)

// A tlsClient shook hands as TLS 1.3 is spoken, and then writes records that no library
// would write.
type tlsClient struct {
	net.Conn // below TLS
	secret   []byte
	seal     cipher.AEAD
	iv       []byte
	seq      uint64
}

// dialTLS shakes hands on a connection.
func dialTLS(ctx context.Context, c net.Conn, name, alpn string) (*tlsClient, error) {
	var keys bytes.Buffer
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, ServerName: name, NextProtos: []string{alpn}, KeyLogWriter: &keys}) //nolint:gosec // who answers is not what is tested
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if s := tc.ConnectionState().CipherSuite; s != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("%s was agreed on", tls.CipherSuiteName(s))
	}
	out := &tlsClient{Conn: c}
	for line := range strings.Lines(keys.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			var err error
			if out.secret, err = hex.DecodeString(f[2]); err != nil {
				return nil, err
			}
			return out, out.keyed()
		}
	}
	return nil, errors.New("no secret was told")
}

// expand is HKDF-Expand-Label with an empty context: RFC 8446, 7.1.
func (c *tlsClient) expand(label string, size int) ([]byte, error) {
	info := append(bigendian.BigEndian.AppendUint16(nil, uint16(size)), byte(len("tls13 "+label)))
	return hkdf.Expand(sha256.New, c.secret, string(append(append(info, "tls13 "+label...), 0)), size)
}

// keyed makes the keys of the secret.
func (c *tlsClient) keyed() error {
	key, err := c.expand("key", 16)
	if err != nil {
		return err
	}
	if c.iv, err = c.expand("iv", 12); err != nil {
		return err
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	c.seq = 0
	c.seal, err = cipher.NewGCM(b)
	return err
}

// record appends one, with so many zeros of padding.
func (c *tlsClient) record(out []byte, kind byte, data []byte, padding int) []byte {
	inner := append(append(bytes.Clone(data), kind), make([]byte, padding)...)
	head := bigendian.BigEndian.AppendUint16([]byte{tlsData, 3, 3}, uint16(len(inner)+c.seal.Overhead()))
	nonce := bytes.Clone(c.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(c.seq >> (56 - 8*i))
	}
	c.seq++
	return c.seal.Seal(append(out, head...), nonce, inner, head)
}

// update appends new keys, and asks for some when asks is 1: RFC 8446, 4.6.3.
func (c *tlsClient) update(out []byte, asks byte) []byte {
	out = c.record(out, tlsHandshake, []byte{keyUpdate, 0, 0, 1, asks}, 0)
	var err error
	if c.secret, err = c.expand("traffic upd", sha256.Size); err == nil {
		err = c.keyed()
	}
	if err != nil {
		panic(err)
	}
	return out
}
