package h2

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"golang.org/x/net/http2"
)

type through struct {
	net.Conn
	bytes.Buffer
}

func (s *through) Write(p []byte) (int, error) { return s.Buffer.Write(p) }

func (s *through) Read(p []byte) (int, error) { return s.Buffer.Read(p) }

// However frames are cut, the same faults are told of, and every byte passes.
func TestFaults(t *testing.T) {
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
	_ = f.WriteRSTStream(1, http2.ErrCodeProtocol)
	_ = f.WriteData(3, false, bytes.Repeat([]byte{0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 1}, 50)) // looks like one
	_ = f.WriteRSTStream(5, http2.ErrCodeInternal)
	_ = f.WriteRSTStream(7, http2.ErrCodeNo)
	_ = f.WriteRSTStream(9, http2.ErrCodeFlowControl)
	_ = f.WriteSettingsAck()
	_ = f.WriteGoAway(11, http2.ErrCodeNo, []byte("bye"))
	_ = f.WriteGoAway(11, http2.ErrCodeCompression, []byte("why"))
	_ = f.WritePing(true, [8]byte{1})
	want := []Fault{{"PROTOCOL_ERROR", 1}, {"FLOW_CONTROL_ERROR", 9}, {"COMPRESSION_ERROR", 0}}
	for _, piece := range []int{1, 2, 5, 13, out.Len()} {
		var got []Fault
		s := &through{}
		c := NewFaults(s, func(f Fault) { got = append(got, f) })
		for p := range slices.Chunk(out.Bytes(), piece) {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if !slices.Equal(got, want) || !bytes.Equal(s.Bytes(), out.Bytes()) {
			t.Errorf("in pieces of %d: %v", piece, got)
		}
	}
}
