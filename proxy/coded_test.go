package proxy_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/origin"
)

// hostile 366: messages of gRPC that are compressed are held until they are whole,
// in memory that is bounded as for all that is looked at, and given back.
func TestCodedMessagesAreBounded(t *testing.T) {
	coded := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		return append(binary.BigEndian.AppendUint32([]byte{1}, uint32(z.Len())), z.Bytes()...)
	}
	noise := make([]byte, 600<<10)
	_, _ = rand.Read(noise)
	r := newRig(t, rigging{inspect: 2 << 20, origin: origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Encoding", "gzip")
		w.Header().Set("Trailer", "Grpc-Status")
		switch {
		case strings.HasSuffix(r.URL.Path, "/Noise"): // too much as it comes
			_, _ = w.Write(coded(noise))
		case strings.HasSuffix(r.URL.Path, "/Bomb"): // too much when it is decoded
			_, _ = w.Write(coded(make([]byte, 1<<20)))
		default: // one after the other, each as much as there may be of all
			for range 20 {
				_, _ = w.Write(coded(noise[:200<<10]))
			}
		}
		w.Header().Set("Grpc-Status", "0")
	})}})
	for range 3 {
		for path, refused := range map[string]bool{"/s.S/Noise": true, "/s.S/Bomb": true, "/s.S/Some": false} {
			resp, err := r.client(t, true).Post("https://"+r.at("api.example.com")+path, "application/grpc", strings.NewReader("\x00\x00\x00\x00\x00"))
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			status, said := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
			if refused && (n != 0 || status != "14" || !strings.Contains(said, "too_much_to_inspect")) || !refused && (n != 20*(200<<10+5) || status != "0") {
				t.Errorf("%s: %d bytes, %v, %q %q", path, n, err, status, said)
			}
		}
	}
}
