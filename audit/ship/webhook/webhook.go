// Package webhook posts records as NDJSON, signed.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// A Sink posts batches, a record a line. It is for one goroutine.
type Sink struct {
	c   *post.Client
	key func() ([]byte, error)
}

var _ ship.Sink = (*Sink)(nil)

// The fields of a request.
const (
	// Signature is t=UNIX SECONDS,v1=HEX: HMAC-SHA256 of the time, a dot and the body as
	// it is sent.
	Signature = "Sallyport-Signature"
	First     = "Sallyport-First" // event.sequence of the first record
	Last      = "Sallyport-Last"
)

// New makes one. key gives what signs; nil leaves bodies unsigned.
func New(c *post.Client, key func() ([]byte, error)) *Sink { return &Sink{c, key} }

// Send posts a batch; 2xx says that the receiver has it.
func (s *Sink) Send(ctx context.Context, rs []ship.Record) error {
	var key []byte
	if s.key != nil {
		var err error
		if key, err = s.key(); err != nil {
			return err
		}
	}
	a, err := s.c.Post(ctx, "", "application/x-ndjson", post.Lines(rs), func(h http.Header, body []byte) {
		h.Set(First, strconv.FormatUint(rs[0].Sequence, 10))
		h.Set(Last, strconv.FormatUint(rs[len(rs)-1].Sequence, 10))
		if key != nil {
			h.Set(Signature, Sign(key, time.Now(), body))
		}
	})
	if err != nil {
		return err
	}
	return s.c.Verdict(a)
}

// Sign is what Signature holds.
func Sign(key []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// Close gives connections up.
func (s *Sink) Close() error { return s.c.Close() }

// String names the receiver.
func (s *Sink) String() string { return "http " + s.c.String() }
