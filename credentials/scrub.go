package credentials

import (
	"bufio"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"compress/flate"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Limits of what an answer may become when it is decoded (hostile 140).
const (
	maxRatio   = 200
	ratioFrom  = 1 << 20
	maxDecoded = 8 << 30
	maxCodings = 2
)

// ErrBomb means an answer that grows beyond all measure when it is decoded.
var ErrBomb = errors.New("the answer grows too much when it is decoded")

// A Count is how many secrets were found so far. It is safe for concurrent use.
type Count struct{ n atomic.Int64 }

// Load returns the count.
func (c *Count) Load() int64 { return c.n.Load() }

// lengthy are the fields that say something of a body which is not sent like
// that: a length or digest would tell how long the secret is, or whether a guess
// of it is right (hostile 110).
var lengthy = []string{"Content-Length", "Content-Encoding", "Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges", "Content-Range"}

// ScrubBody returns a body without the secrets, decoded. It edits the header
// accordingly. A coding that cannot be decoded is an error.
func (g *Grant) ScrubBody(body io.ReadCloser, h http.Header) (io.ReadCloser, *Count, error) {
	// A part of an answer may begin or end inside of the secret.
	if t := strings.ToLower(h.Get("Content-Type")); h.Get("Content-Range") != "" || strings.HasPrefix(t, "multipart/byteranges") || strings.HasPrefix(t, "multipart/x-byteranges") {
		return nil, nil, errors.New("the answer is a part, which was not asked for")
	}
	count := &Count{}
	in := &counted{r: body}
	var r io.Reader = in
	var codings []string
	for _, v := range h["Content-Encoding"] {
		for c := range strings.SplitSeq(v, ",") {
			if c = strings.ToLower(strings.TrimSpace(c)); c != "" && c != "identity" {
				codings = append(codings, c)
			}
		}
	}
	if len(codings) > maxCodings {
		return nil, nil, fmt.Errorf("the answer is coded %d times", len(codings))
	}
	var closers []func()
	for i := len(codings) - 1; i >= 0 && body != http.NoBody; i-- {
		d, closer, err := decoder(codings[i], r)
		if err != nil {
			return nil, nil, err
		}
		if closer != nil {
			closers = append(closers, closer)
		}
		r = d
	}
	for _, k := range lengthy {
		h.Del(k)
	}
	if body == http.NoBody {
		return body, count, nil
	}
	s := &scrubbed{r: r, in: in, body: body, coded: len(codings) > 0, scan: scan{a: g.find, even: true}, count: count, closers: closers}
	if g.grpc && isGRPC(h) {
		m, err := newMessages(g.find, g.room, h)
		if err != nil {
			return nil, nil, err
		}
		s.messages = m
	} else if c := hiddenCoding(h); c != "" {
		return nil, nil, fmt.Errorf("the answer has messages within that are coded as %q", c)
	}
	return s, count, nil
}

// decoder undoes one coding. Nothing is read before the first Read.
func decoder(coding string, r io.Reader) (io.Reader, func(), error) {
	switch coding {
	case "gzip", "x-gzip":
		return &lazy{open: func() (io.Reader, error) { return gzip.NewReader(r) }}, nil, nil
	case "deflate": // zlib, and what some servers send instead
		return &lazy{open: func() (io.Reader, error) {
			b := bufio.NewReader(r)
			head, err := b.Peek(2)
			if err != nil {
				return nil, err
			}
			if head[0]&15 == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
				return zlib.NewReader(b)
			}
			return flate.NewReader(b), nil
		}}, nil, nil
	case "br":
		return brotli.NewReader(r), nil, nil
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	}
	return nil, nil, fmt.Errorf("the answer's coding %q is not known", coding)
}

// lazy opens a decoder that reads when it is made.
type lazy struct {
	open func() (io.Reader, error)
	r    io.Reader
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return 0, io.EOF // an empty body is empty in any coding
			}
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(p)
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

var errClosed = errors.New("the body is closed")

// A scrubbed is a body on its way through the search.
type scrubbed struct {
	r       io.Reader
	in      *counted
	body    io.Closer
	coded   bool
	scan    scan
	count   *Count
	closers []func()
	out     []byte // found to be clean, not read yet
	buf     []byte
	n       int64
	err     error

	messages *messages // of gRPC, in the place of scan; or nil
}

// feed searches what came, and returns what can go on.
func (s *scrubbed) feed(p []byte) (err error) {
	if m := s.messages; m != nil {
		s.out, err = m.feed(s.out[:0], p)
		s.count.n.Store(int64(m.scan.hits))
		return err
	}
	s.out = s.scan.feed(s.out[:0], p)
	s.count.n.Store(int64(s.scan.hits))
	return nil
}

// weigh counts what came, and says whether it is too much.
func (s *scrubbed) weigh(n int, err error) error {
	s.n += int64(n)
	if s.coded && (s.n > maxDecoded || s.n > ratioFrom && s.n > maxRatio*max(s.in.n, 1)) {
		return ErrBomb
	}
	return err
}

// came takes what came, and how reading it ended.
func (s *scrubbed) came(p []byte, err error) {
	if err == ErrBomb { //nolint:errorlint // as weigh returns it
		s.out, s.err = nil, err
		return
	}
	if e := s.feed(p); e != nil {
		err = e
	}
	s.ended(err)
}

// ended lets what is held go when nothing follows.
func (s *scrubbed) ended(err error) {
	s.err = err
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.out = s.scan.flush(s.out)
		if s.messages.cut() {
			s.err = io.ErrUnexpectedEOF
		}
	}
}

func (s *scrubbed) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.fits(p) {
			if n := s.readInto(p); n > 0 {
				return n, nil
			}
			continue
		}
		if s.buf == nil {
			s.buf = *buffers.Get().(*[]byte)
		}
		n, err := s.r.Read(s.buf)
		s.came(s.buf[:n], s.weigh(n, err))
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// Close closes the body and forgets what was held of it.
func (s *scrubbed) Close() error {
	for _, c := range s.closers {
		c()
	}
	if s.buf != nil { // what another is given holds nothing of this
		clear(s.buf)
		b := s.buf
		buffers.Put(&b)
	}
	clear(s.out)
	s.buf, s.out, s.scan.held, s.scan.late, s.messages, s.err = nil, nil, nil, nil, nil, errClosed
	return s.body.Close()
}
