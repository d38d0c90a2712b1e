package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"sallyport/policy"
)

// However a body of gRPC comes and is read, what passes is what came, and messages
// are counted.
func TestCalledProperty(t *testing.T) {
	g := &Gate{}
	g.ward.Store(&ward{policy: nobody{}})
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b bytes.Buffer
		n := int64(r.IntN(20))
		for range n {
			m := make([]byte, r.IntN(50)*r.IntN(50))
			_, _ = b.Write(binary.BigEndian.AppendUint32([]byte{byte(r.IntN(2))}, uint32(len(m))))
			_, _ = b.Write(m)
		}
		want := bytes.Clone(b.Bytes())
		var in io.Reader = &b
		switch r.IntN(3) {
		case 0:
			in = iotest.OneByteReader(in)
		case 1:
			in = iotest.DataErrReader(in)
		}
		c := &called{Reader: in, x: &exchange{gate: g}}
		var got bytes.Buffer
		for err := error(nil); err == nil; {
			p := make([]byte, 5+r.IntN(100))
			var k int
			k, err = c.Read(p)
			got.Write(p[:k])
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(seed, err)
			}
		}
		if !bytes.Equal(got.Bytes(), want) || c.messages.Load() != n {
			t.Fatalf("%d: %d of %d bytes, %d of %d messages", seed, got.Len(), len(want), c.messages.Load(), n)
		}
	}
	c := &called{Reader: bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 0}), x: &exchange{gate: g}}
	if b, err := io.ReadAll(c); len(b) != 5 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a head: %d bytes, %v", len(b), err)
	}
}

// nobody has no rules.
type nobody struct{ Decider }

func (nobody) Has(policy.Phase) bool { return false }
