package origin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// maxEcho is how much of a body is kept.
const maxEcho = 1 << 20

// answer is the built-in handler. Paths say what it does:
//
//	/echo…            what it saw, as JSON
//	/coded/C          the same, in content coding C: gzip, br, zstd
//	/headers          the same, in header fields and a trailer too
//	/split            the same, a byte at a time
//	/status/N         status N
//	/stream           three events, 50 ms apart
//	/hints            103, then 200
//	/cut              a body that ends before its end
//	/large?bytes=N    N bytes
func (g *Origin) answer(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxEcho))
	n, rest := io.Copy(io.Discard, r.Body)
	req := Request{Proto: r.Proto, Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Body: string(b), Cut: err != nil || rest != nil}
	if n > 0 {
		req.Body = fmt.Sprintf("%d bytes", int64(len(b))+n)
	}
	g.mu.Lock()
	g.seen = append(g.seen, req)
	g.mu.Unlock()
	echo, _ := json.Marshal(req)
	echo = bytes.ReplaceAll(echo, []byte(`\u0026`), []byte("&"))
	first, more, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch first {
	case "coded":
		coded(w, more, echo)
	case "headers":
		auth := r.Header.Get("Authorization")
		w.Header().Set("X-Echo", auth)
		w.Header().Set("Set-Cookie", "session="+strings.TrimPrefix(auth, "Bearer "))
		w.Header().Set("Trailer", "X-Echo-Trailer")
		_, _ = w.Write(echo)
		w.Header().Set("X-Echo-Trailer", auth)
	case "split":
		for i := range echo {
			_, _ = w.Write(echo[i : i+1])
			_ = http.NewResponseController(w).Flush()
		}
	case "status":
		n, err := strconv.Atoi(more)
		if err != nil || n < 200 || n > 599 {
			n = http.StatusBadRequest
		}
		w.WriteHeader(n)
	case "stream":
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	case "hints":
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = w.Write(echo)
	case "cut":
		_, _ = w.Write([]byte("the beginning"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "large":
		n, _ := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		buf := make([]byte, 32<<10)
		for n > 0 {
			m, err := w.Write(buf[:min(n, int64(len(buf)))])
			if err != nil {
				return
			}
			n -= int64(m)
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(echo, '\n'))
	}
}

func coded(w http.ResponseWriter, coding string, b []byte) {
	w.Header().Set("Content-Encoding", coding)
	w.Header().Set("Etag", `"x"`)
	var z io.WriteCloser
	switch coding {
	case "gzip":
		z = gzip.NewWriter(w)
	case "br":
		z = brotli.NewWriter(w)
	case "zstd":
		z, _ = zstd.NewWriter(w)
	default:
		_, _ = w.Write(b)
		return
	}
	_, _ = z.Write(b)
	_ = z.Close()
}
