package credentials

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"
)

// A verified body ends with an error if it is not the one that was signed.
type verified struct {
	r        io.Reader
	sum      hash.Hash
	want     string
	unplaced error
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(v.sum.Sum(nil)) != v.want {
		return 0, v.unplaced
	}
	return n, err
}

// A signer signs the chunks of a body, each with the signature of the one before.
type signer struct {
	key         []byte
	date, scope string
	last        string
}

func chunkSigner(secret, region, service string, at time.Time, seed string) *signer {
	day := at.Format("20060102")
	key := mac([]byte("AWS4"+secret), day)
	for _, s := range []string{region, service, "aws4_request"} {
		key = mac(key, s)
	}
	return &signer{key, at.Format("20060102T150405Z"), strings.Join([]string{day, region, service, "aws4_request"}, "/"), seed}
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func (s *signer) sign(algorithm string, parts ...[]byte) string {
	text := algorithm + "\n" + s.date + "\n" + s.scope + "\n" + s.last
	for _, p := range parts {
		sum := sha256.Sum256(p)
		text += "\n" + hex.EncodeToString(sum[:])
	}
	s.last = hex.EncodeToString(mac(s.key, text))
	return s.last
}

// maxChunk is the size, in bytes, of the largest chunk that is signed anew.
const maxChunk = MaxBody

// A rechunked body is one of chunks that the client signed, with signatures of ours in
// the place of theirs. Nothing else changes, and so does not its length.
type rechunked struct {
	in      *bufio.Reader
	signer  *signer
	trailer bool
	room    Room
	held    int64
	chunk   []byte
	out     bytes.Buffer
	done    bool
	err     error
}

func newRechunked(r io.Reader, room Room, s *signer, trailer bool) *rechunked {
	return &rechunked{in: bufio.NewReaderSize(r, 4<<10), signer: s, trailer: trailer, room: room}
}

func (c *rechunked) Read(p []byte) (int, error) {
	for c.out.Len() == 0 {
		if c.err != nil {
			return 0, c.err
		}
		if c.err = c.next(); c.err != nil {
			c.out.Reset()
		}
	}
	return c.out.Read(p)
}

var errChunks = unplaced("its body is not made of the signed chunks that it says")

// line reads one that ends as they do.
func (c *rechunked) line() (string, error) {
	b, err := c.in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			return "", errChunks
		}
		return "", err
	}
	s, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", errChunks
	}
	return s, nil
}

// next signs one chunk.
func (c *rechunked) next() error {
	if c.done {
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			return errChunks
		}
		return io.EOF
	}
	head, err := c.line()
	if err != nil {
		return err
	}
	size, sig, ok := strings.Cut(head, ";chunk-signature=")
	n, bad := strconv.ParseUint(size, 16, 31)
	if !ok || bad != nil || len(sig) != 64 || n > maxChunk {
		return errChunks
	}
	if grow := int64(n) - c.held; c.room != nil && grow > 0 {
		if err := c.room.Hold(grow); err != nil {
			return err
		}
		c.held = int64(n)
	}
	if uint64(cap(c.chunk)) < n {
		c.chunk = make([]byte, n)
	}
	c.chunk = c.chunk[:n]
	if _, err := io.ReadFull(c.in, c.chunk); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errChunks
		}
		return err
	}
	fmt.Fprintf(&c.out, "%s;chunk-signature=%s\r\n", size, c.signer.sign("AWS4-HMAC-SHA256-PAYLOAD", nil, c.chunk))
	c.out.Write(c.chunk)
	if n > 0 || !c.trailer {
		end, err := c.line()
		if err != nil || end != "" {
			return errChunks
		}
		c.out.WriteString("\r\n")
	}
	if n == 0 {
		c.done = true
		if c.trailer {
			return c.trailers()
		}
	}
	return nil
}

// trailers signs the fields behind the last chunk.
func (c *rechunked) trailers() error {
	var fields bytes.Buffer
	for range 16 {
		l, err := c.line()
		if err != nil {
			return err
		}
		name, value, ok := strings.Cut(l, ":")
		switch {
		case !ok:
			return errChunks
		case strings.EqualFold(name, "x-amz-trailer-signature"):
			if end, err := c.line(); err != nil || end != "" || len(value) != 64 {
				return errChunks
			}
			fmt.Fprintf(&c.out, "%s:%s\r\n\r\n", name, c.signer.sign("AWS4-HMAC-SHA256-TRAILER", fields.Bytes()))
			return nil
		}
		fmt.Fprintf(&fields, "%s:%s\n", strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value))
		fmt.Fprintf(&c.out, "%s\r\n", l)
	}
	return errChunks
}
