package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A sink keeps what is written to a connection.
type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) { return s.Buffer.Write(p) }
func (s *sink) Read(p []byte) (int, error)  { return s.Buffer.Read(p) }

// said are the frames that a client reads, in short.
func said(t *testing.T, b *bytes.Buffer) (out []string) {
	t.Helper()
	fr := http2.NewFramer(io.Discard, b)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%v after %v", err, out)
		}
		s := fmt.Sprintf("%d", f.Header().StreamID)
		switch f := f.(type) {
		case *http2.DataFrame:
			s += fmt.Sprintf(" data %q", f.Data())
			if f.StreamEnded() {
				s += " end"
			}
		case *http2.MetaHeadersFrame:
			s += " head"
		case *http2.RSTStreamFrame:
			s += " " + f.ErrCode.String()
		default:
			s += " " + f.Header().Type.String()
		}
		out = append(out, s)
	}
}

// Whatever the pieces are in which the server writes, a stream is ended behind its
// data and once, between frames, and nothing else is changed but the code of a reset.
func TestStreamsEnd(t *testing.T) {
	for size := 1; size < 80; size++ {
		var wire bytes.Buffer
		fr, block := http2.NewFramer(&wire, nil), new(bytes.Buffer)
		enc := hpack.NewEncoder(block)
		head := func(id uint32, mark string) {
			block.Reset()
			_ = enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = enc.WriteField(hpack.HeaderField{Name: "x-mark", Value: mark})
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes()[:2], EndHeaders: false})
			_ = fr.WriteContinuation(id, true, block.Bytes()[2:])
		}
		out := &sink{}
		c := NewConn(out, "x-mark")
		one, two, three := c.Mark("one"), c.Mark("two"), c.Mark("three")
		write := func() {
			for wire.Len() > 0 {
				p := wire.Next(size)
				if n, err := c.Write(p); err != nil || n != len(p) {
					t.Fatal(n, err)
				}
			}
		}
		if err := one.End(5); err != nil { // before anything of it passed
			t.Fatal(err)
		}
		head(1, "one")
		head(3, "two")
		head(5, "three")
		head(7, "none")
		_ = fr.WriteData(1, false, []byte("abc"))
		_ = fr.WriteData(3, false, []byte("xyz"))
		_ = fr.WriteData(1, false, []byte("de"))
		write()
		_ = fr.WriteData(1, true, nil) // the handler ends
		_ = fr.WriteRSTStream(1, http2.ErrCodeNo)
		write()
		if err := two.End(3); err != nil {
			t.Fatal(err)
		}
		_ = fr.WritePing(false, [8]byte{})
		_ = fr.WriteRSTStream(3, http2.ErrCodeInternal)
		_ = fr.WriteRSTStream(7, http2.ErrCodeInternal)
		_ = fr.WriteData(5, true, []byte("q"))
		write()
		for _, s := range []*Stream{one, two, three} {
			s.Leave()
		}
		got := strings.Join(said(t, &out.Buffer), "\n")
		want := strings.Join([]string{`1 head`, `3 head`, `5 head`, `7 head`, `1 data "abc"`, `3 data "xyz"`, `1 data "de"`, `1 data "" end`, `1 NO_ERROR`, `3 data "" end`, `0 PING`, `3 CONNECT_ERROR`, `7 INTERNAL_ERROR`, `5 data "q" end`}, "\n")
		if got != want {
			t.Fatalf("in pieces of %d:\n%s\nwant\n%s", size, got, want)
		}
		if len(c.marked)+len(c.ending) > 0 || len(c.streams) > 1 {
			t.Errorf("%v %v %v are kept", c.marked, c.ending, c.streams)
		}
	}
}

// Streams that are gone without a last frame are not remembered for ever.
func TestStreamsAreForgotten(t *testing.T) {
	c := NewConn(&sink{}, "x-mark")
	for id := uint32(1); id < 10*maxGone; id += 2 {
		s := c.Mark("m")
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		_ = e.WriteField(hpack.HeaderField{Name: "x-mark", Value: "m", Sensitive: true})
		if err := http2.NewFramer(c, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		_ = s.End(1 << 20) // never comes
		s.Leave()
	}
	if len(c.streams) > maxGone || len(c.gone) > maxGone || len(c.ending)+len(c.marked) > 0 {
		t.Errorf("%d %d %d %d", len(c.streams), len(c.gone), len(c.ending), len(c.marked))
	}
}

// What the server would never write ends the connection.
func TestUnexpectedFrames(t *testing.T) {
	for name, b := range map[string]string{"padded": "\x00\x00\x02\x01\x0c\x00\x00\x00\x01\x00\x88", "no fields": "\x00\x00\x01\x01\x04\x00\x00\x00\x01\xff"} {
		c := NewConn(&sink{}, "x-mark")
		_, err := io.WriteString(c, b)
		if _, again := io.WriteString(c, "x"); err == nil || again == nil {
			t.Errorf("%s: %v %v", name, err, again)
		}
	}
}
