package proxy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"sync/atomic"
)

// pseudonym begins the name that a sallyport has in Via: RFC 9110, 7.6.3.
const pseudonym = "sallyport-"

// maxHops is how many other sallyports a request may have come through.
const maxHops = 8

// marks are the names of this instance in Via. Each is used once: whoever reads
// some of them cannot tell which sandbox or request they belong to, how many there
// were, or whether two are of one instance; and only the instance itself can make
// one that it knows.
type marks struct {
	block cipher.Block
	next  atomic.Uint64
}

func newMarks() (*marks, error) {
	var key [16]byte
	_, _ = rand.Read(key[:])
	b, err := aes.NewCipher(key[:])
	return &marks{block: b}, err
}

// mark is a number and eight zeros, enciphered as one block.
func (m *marks) mark() string {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:8], m.next.Add(1))
	m.block.Encrypt(b[:], b[:])
	return pseudonym + hex.EncodeToString(b[:])
}

// made reports whether a name is one of this instance's.
func (m *marks) made(name string) bool {
	var b [aes.BlockSize]byte
	if n, err := hex.Decode(b[:], []byte(name)); err != nil || n != len(b) {
		return false
	}
	m.block.Decrypt(b[:], b[:])
	return binary.BigEndian.Uint64(b[8:]) == 0
}

// passed reads where a request says that it came through. It refuses one that was
// here before (hostile 102), and returns what is kept: the marks of other sallyports,
// by which a circle of several is found. What else a sandbox says in Via is not
// passed on.
func (m *marks) passed(via []string) (others []string, ref *Refusal) {
	for _, v := range via {
		for hop := range strings.SplitSeq(v, ",") {
			f := strings.Fields(hop)
			if len(f) < 2 || len(f[0]) > len("HTTP/1.1") {
				continue
			}
			name, ok := strings.CutPrefix(strings.ToLower(f[1]), pseudonym)
			if !ok || len(name) != 2*aes.BlockSize {
				continue
			}
			if m.made(name) {
				return nil, refuse(http.StatusLoopDetected, "loop_detected", "this request came through this sallyport before").closing()
			}
			if others = append(others, f[0]+" "+pseudonym+name); len(others) > maxHops {
				return nil, refuse(http.StatusLoopDetected, "loop_detected", "this request came through too many sallyports").closing()
			}
		}
	}
	return others, nil
}

// viaField is what Via says of this exchange to the upstream.
func (x *exchange) viaField() string {
	version := "1.1 "
	switch {
	case x.r.ProtoMajor == 2:
		version = "2.0 "
	case x.r.ProtoMinor == 0:
		version = "1.0 "
	}
	return strings.Join(append(x.via, version+x.srv.marks.mark()), ", ")
}
