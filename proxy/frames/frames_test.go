package frames

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// pieces is a connection from which a byte slice is read, some at a time.
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

func (p *pieces) Write(b []byte) (int, error) { return len(b), nil }

func of(b *Budget) func() *Budget { return func() *Budget { return b } }

// hostile 138: what carries nothing is counted, however it is cut into pieces, and what
// is sent gives room; bytes of bodies are not.
func TestFloods(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(*http2.Framer, int)
		floods bool
	}{
		"data":          {func(f *http2.Framer, _ int) { _ = f.WriteData(1, false, []byte("x")) }, false},
		"ends":          {func(f *http2.Framer, i int) { _ = f.WriteData(uint32(2*i+1), true, nil) }, false},
		"empty":         {func(f *http2.Framer, _ int) { _ = f.WriteData(1, false, nil) }, true},
		"padded":        {func(f *http2.Framer, _ int) { _ = f.WriteDataPadded(1, false, nil, make([]byte, 9)) }, true},
		"pings":         {func(f *http2.Framer, _ int) { _ = f.WritePing(false, [8]byte{}) }, true},
		"pongs":         {func(f *http2.Framer, _ int) { _ = f.WritePing(true, [8]byte{}) }, true},
		"settings":      {func(f *http2.Framer, _ int) { _ = f.WriteSettings() }, true},
		"windows":       {func(f *http2.Framer, _ int) { _ = f.WriteWindowUpdate(0, 1) }, true},
		"resets":        {func(f *http2.Framer, _ int) { _ = f.WriteRSTStream(1, http2.ErrCodeCancel) }, true},
		"priorities":    {func(f *http2.Framer, _ int) { _ = f.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }, true},
		"unknown":       {func(f *http2.Framer, _ int) { _ = f.WriteRawFrame(0x42, 0, 1, make([]byte, 99)) }, true},
		"continuations": {func(f *http2.Framer, _ int) { _ = f.WriteContinuation(1, false, nil) }, true},
	} {
		var b bytes.Buffer
		b.WriteString(http2.ClientPreface)
		f := http2.NewFramer(&b, nil)
		f.AllowIllegalWrites = true
		const whole = Free + Burst + 20*Rate
		for i := range whole {
			c.write(f, i)
		}
		for _, size := range []int{1 << 20, 7, 1000} {
			told := 0
			conn := NewConn(&pieces{rest: b.Bytes(), size: size}, 0, of(new(Budget)), func() { told++ })
			began := time.Now()
			n, err := io.Copy(io.Discard, struct{ io.Reader }{conn})
			if took := time.Since(began); took > 10*time.Second {
				t.Fatalf("%s in %d takes %v", name, size, took)
			}
			if flooded := errors.Is(err, ErrFlood); flooded != c.floods || told == 1 != c.floods || !c.floods && n != int64(b.Len()) {
				t.Errorf("%s in pieces of %d: %v after %d of %d bytes, told %d times", name, size, err, n, b.Len(), told)
			}
		}
	}
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	for range 20 * Burst {
		_ = f.WriteWindowUpdate(0, 1)
	}
	p := &pieces{rest: b.Bytes(), size: 13 * 100}
	conn := NewConn(p, 0, of(new(Budget)), func() {})
	for buf := make([]byte, 13*100); len(p.rest) > 0; {
		if _, err := conn.Write(make([]byte, 100*gives)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("with %d bytes left: %v", len(p.rest), err)
		}
	}
}
