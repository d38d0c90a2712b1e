package credentials

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
)

// pieces gives what it has in pieces of any size.
type pieces struct {
	rest []byte
	rnd  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:1+p.rnd.IntN(min(len(p.rest), 9000))])
	p.rest = p.rest[n:]
	if len(p.rest) == 0 && p.rnd.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Whatever room a reader has, it gets the same, and nothing more is in that room.
func TestRoomDoesNotMatter(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Basic, User: "u"}))
	rnd := rand.New(rand.NewPCG(11, 12))
	b64 := base64.StdEncoding.EncodeToString([]byte(canary))
	parts := []string{canary, canary[:10], b64, b64 + canary, b64[:20], "\n", "{\"a\": 1},", string(answer()[:3000])}
	found := 0
	for range 300 {
		var in []byte
		for range rnd.IntN(12) {
			in = append(in, parts[rnd.IntN(len(parts))]...)
		}
		read := func(room int) (out []byte) {
			body, n, err := g.ScrubBody(io.NopCloser(&pieces{in, rnd}), http.Header{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { found += int(n.Load()) }()
			b := make([]byte, room)
			for {
				n, err := body.Read(b)
				out = append(out, b[:n]...)
				if bytes.Contains(b[n:], []byte(canary[:10])) {
					t.Fatalf("the rest of the room holds %q", b[n:])
				}
				clear(b)
				if err != nil {
					return out
				}
			}
		}
		want := read(100)
		if got := read(32 << 10); !bytes.Equal(got, want) {
			t.Fatalf("of %q: %q in much room, %q in little", in, got, want)
		}
	}
	if found < 100 {
		t.Errorf("%d were found, which shows little", found)
	}
}

// hostile 129: what another body is given to be read into holds nothing of this one.
func TestBuffersAreCleared(t *testing.T) {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	body, _, err := g.ScrubBody(io.NopCloser(bytes.NewReader(answer()[:9000])), http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := body.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s := body.(*scrubbed)
	buf, out := s.buf, s.out
	if len(bytes.Trim(buf, "\x00")) == 0 || len(out) == 0 {
		t.Fatal("nothing was read")
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	if left := len(bytes.Trim(buf, "\x00")) + len(bytes.Trim(out, "\x00")); left > 0 {
		t.Errorf("%d bytes are left", left)
	}
}
