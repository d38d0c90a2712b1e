package credentials

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

// size is what an automaton takes, in bytes.
func (a *patterns) size() int {
	return cap(a.states)*int(unsafe.Sizeof(state{})) + len(a.forks)*16 + len(a.jumps) + int(unsafe.Sizeof(*a)) + cap(a.ps)*int(unsafe.Sizeof(pattern{}))
}

// naive is what a search does, without an automaton: of the patterns that end
// first the longest, and on from there.
func naive(ps []pattern, in []byte) []byte {
	var out []byte
	base := 0
	for end := 1; end <= len(in); end++ {
		var found *pattern
		for i := range ps {
			if p := &ps[i]; bytes.HasSuffix(in[base:end], p.text) && (found == nil || len(p.text) >= len(found.text)) {
				found = p
			}
		}
		if found != nil {
			out = append(out, in[base:end-len(found.text)]...)
			out = append(out, marker(found.name)...)
			base = end
		}
	}
	return append(out, in[base:]...)
}

// An automaton finds what comparing everywhere finds, in pieces of any size: with
// patterns that begin, end and stand in others, and texts that are made of them.
func TestAutomatonIsNaive(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	letters := "aab\xff:"
	word := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		return b
	}
	found := 0
	for round := range 3000 {
		var ps []pattern
		for i := range 1 + rnd.IntN(8) {
			p := word(minSecret + rnd.IntN(6)*(1+round%7))
			if len(ps) > 0 && rnd.IntN(2) == 0 { // begins as another, or is inside of it
				o := ps[rnd.IntN(len(ps))].text
				p = append(bytes.Clone(o[rnd.IntN(len(o)):]), p...)
			}
			ps = append(ps, pattern{text: p, name: fmt.Sprint(i)})
		}
		var in []byte
		for range rnd.IntN(30) {
			p := ps[rnd.IntN(len(ps))].text
			switch rnd.IntN(4) {
			case 0:
				in = append(in, p...)
			case 1:
				in = append(in, p[:rnd.IntN(len(p))]...)
			case 2:
				in = append(in, p[rnd.IntN(len(p)):]...)
			default:
				in = append(in, word(rnd.IntN(12))...)
			}
		}
		want := naive(ps, in)
		s := scan{a: compile(ps)}
		var got []byte
		for rest := in; len(rest) > 0; {
			n := 1 + rnd.IntN(len(rest))
			got, rest = s.feed(got, rest[:n]), rest[n:]
		}
		if got = s.flush(got); !bytes.Equal(got, want) {
			t.Fatalf("%d patterns in %q: %q, want %q", len(ps), in, got, want)
		}
		found += s.hits
	}
	if found < 3000 {
		t.Errorf("%d were found, which shows little", found)
	}
}

// token is one of a kilobyte, as a JWT is.
func token(n int) string {
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rnd.IntN(len(alphabet))]
	}
	return string(b)
}

// A token of a kilobyte is looked for in all its forms in little memory.
func TestAutomatonIsSmall(t *testing.T) {
	b := binding(t, "a", Place{Kind: Basic, User: "bot"})
	b.Source = &fixed{v: token(1024)}
	if n := grant(t, b).find.size(); n > 1<<19 {
		t.Errorf("it takes %d bytes", n)
	}
}

// ten is a search for as many secrets as a busy host has.
func ten(tb testing.TB) *patterns {
	var bs []Binding
	for i := range 10 {
		b := binding(tb, fmt.Sprint("n", i), Place{Kind: Header, Name: fmt.Sprint("X-", i)})
		b.Source = &fixed{v: token(40 + i)}
		bs = append(bs, b)
	}
	return grant(tb, bs...).find
}

// answer is a megabyte of JSON.
func answer() []byte {
	rnd := rand.New(rand.NewPCG(7, 8))
	var b bytes.Buffer
	b.WriteByte('[')
	for b.Len() < 1<<20 {
		fmt.Fprintf(&b, `{"id": %d, "node_id": %q, "name": "an ordinary answer", "url": "https://api.example.com/v1/items/%d", "created_at": "2026-11-%02dT13:14:%02dZ", "tags": ["red", "green"], "score": %.4f},`,
			rnd.IntN(1<<30), token(20+rnd.IntN(12)), rnd.IntN(1<<20), 1+rnd.IntN(28), rnd.IntN(60), rnd.Float64())
	}
	b.WriteByte(']')
	return b.Bytes()
}

func BenchmarkSearch(b *testing.B) {
	text := answer()
	for name, a := range map[string]*patterns{"one": grant(b, binding(b, "a", Place{Kind: Bearer})).find, "ten": ten(b)} {
		b.Run(name, func(b *testing.B) {
			s := scan{a: a}
			dst := make([]byte, 0, len(text)+64)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				dst = s.feed(dst[:0], text)
			}
		})
	}
	b.Run("prefixes", func(b *testing.B) { // what comes close everywhere
		s := scan{a: ten(b)}
		near := []byte(strings.Repeat(token(40)[:39], 1<<20/39))
		dst := make([]byte, 0, len(near)+64)
		b.SetBytes(int64(len(near)))
		for b.Loop() {
			dst = s.feed(dst[:0], near)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	bind := binding(b, "a", Place{Kind: Basic, User: "bot"})
	sec, err := NewSecret([]byte(token(1024)))
	if err != nil {
		b.Fatal(err)
	}
	ps := patternsOf(&bind, Value{Secret: sec})
	b.ReportAllocs()
	for b.Loop() {
		b.ReportMetric(float64(compile(ps).size()), "held-B")
	}
}
