package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"sallyport/origin"
)

// serveOrigin answers with 1 KiB, until its input ends. It prints its ports, and
// its CA for those behind it.
func serveOrigin(t task) error {
	g, err := origin.Start(origin.Options{HTTP1: !t.H2, Handler: http.HandlerFunc(answer)})
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.CA, g.CAPEM(), 0o644); err != nil {
		return err
	}
	fmt.Println(g.TLSPort, g.PlainPort)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

var kilobyte = []byte(strings.Repeat("x", 1024))

// answer serves 1 KiB, or by path:
//
//	/large?n=N         N MiB
//	/events?n=N        N events of 20 ms, each the time at which it was sent
//	/bench.Echo/Talk   each gRPC message back
func answer(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	rc := http.NewResponseController(w)
	switch r.URL.Path {
	case "/large":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n<<20))
		block := make([]byte, 64<<10)
		for range n << 4 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		_ = rc.Flush()
		for range n {
			time.Sleep(20 * time.Millisecond)
			_, _ = fmt.Fprintf(w, "data: %d\n\n", time.Now().UnixNano())
			_ = rc.Flush()
		}
	case "/bench.Echo/Talk":
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_ = rc.Flush()
		for {
			m, err := message(r.Body)
			if err != nil {
				break
			}
			_, _ = w.Write(m)
			_ = rc.Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	default:
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(kilobyte)
	}
}

// message reads one message of gRPC, with its five bytes.
func message(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	m := append(head[:], make([]byte, binary.BigEndian.Uint32(head[1:]))...)
	_, err := io.ReadFull(r, m[5:])
	return m, err
}
