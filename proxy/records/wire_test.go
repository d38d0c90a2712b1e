package records

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// pieces is a connection from which bytes are read, some at a time.
type pieces struct {
	net.Conn
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

// hostile 45: whatever pieces records come in, they pass as they are, and no read goes
// on into the next.
func TestRecordsAreReadApart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var stream []byte
		ends, records := map[int]bool{}, 1+r.IntN(20)
		for range records {
			size := r.IntN(200)
			if r.IntN(4) == 0 {
				size = r.IntN(3)
			}
			stream = append(stream, 23, 3, 3, byte(size>>8), byte(size))
			for range size {
				stream = append(stream, byte(r.Int()))
			}
			ends[len(stream)] = true
		}
		w := &wire{Conn: &pieces{rest: bytes.Clone(stream), size: 1 + r.IntN(400)}}
		var got []byte
		for {
			p := make([]byte, 1+r.IntN(300))
			n, err := w.Read(p)
			for at := len(got) + 1; at < len(got)+n; at++ {
				if ends[at] {
					t.Fatalf("%d bytes at %d are of two records", n, len(got))
				}
			}
			if got = append(got, p[:n]...); err == io.EOF { //nolint:errorlint // as pieces says it
				break
			}
		}
		if !bytes.Equal(got, stream) || w.records != records || w.left != 0 || w.kept != nil {
			t.Fatalf("%d of %d bytes passed, of %d and not %d records", len(got), len(stream), w.records, records)
		}
	}
}
