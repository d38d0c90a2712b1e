package credentials

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"strings"
)

// MaxBody is the size, in bytes, of the largest body that is read whole for its
// credential: to put one in, or to sign it.
const MaxBody = 4 << 20

// digests are the fields that say something of a body that is changed.
var digests = []string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"}

// whole reads the body, which is bounded.
func (r *Request) whole() ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	if r.kept != nil {
		return r.kept, nil
	}
	b, err := io.ReadAll(io.LimitReader(&charged{r.Body, r.Room}, MaxBody+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxBody {
		return nil, unplaced("its body is larger than %d bytes", MaxBody)
	}
	r.kept, r.Body = b, bytes.NewReader(b)
	return b, nil
}

// charged is what is read into memory, of a room that is bounded.
type charged struct {
	io.Reader
	room Room
}

func (c *charged) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.room != nil && n > 0 {
		if e := c.room.Hold(int64(n)); e != nil {
			return 0, e
		}
	}
	return n, err
}

// replace gives the request another body.
func (r *Request) replace(b []byte) {
	r.kept, r.Body, r.Size = b, bytes.NewReader(b), int64(len(b))
	for _, k := range digests {
		r.Header.Del(k)
	}
}

// bodyOf reads a body of a media type, not coded and not in an odd character set.
func (r *Request) bodyOf(is func(mediaType string) bool) ([]byte, error) {
	t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch cs := params["charset"]; {
	case r.Body == nil || r.Body == http.NoBody:
		return nil, unplaced("it has no body")
	case err != nil || len(r.Header["Content-Type"]) != 1 || !is(t):
		return nil, unplaced("its body is of another type")
	case cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii"):
		return nil, unplaced("its body is in %q", cs)
	case len(r.Header["Content-Encoding"]) > 0:
		return nil, unplaced("its body is coded")
	}
	return r.whole()
}

// NeedsBody reports whether what is granted needs the request's body whole.
func (g *Grant) NeedsBody() bool {
	for _, it := range g.items {
		switch it.b.Place.Kind {
		case JSON, Form, SigV4:
			return true
		}
	}
	return false
}
