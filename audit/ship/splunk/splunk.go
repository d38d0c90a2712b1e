// Package splunk gives records to Splunk's HTTP Event Collector, and waits until it
// has indexed them.
package splunk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// Options of a sink. The zero Options leave all to the token.
type Options struct {
	Index      string
	SourceType string
	NoAck      bool // the collector was set up without acknowledgement
}

// A Sink posts events. It is for one goroutine.
type Sink struct {
	c       *post.Client
	o       Options
	channel string
}

var _ ship.Sink = (*Sink)(nil)

// askAgain is how long it waits between questions whether records are indexed.
const askAgain = 250 * time.Millisecond

// New makes one, with a channel of its own.
func New(c *post.Client, o Options) *Sink { return &Sink{c, o, uuid.NewString()} }

// Send posts a batch, and returns when the collector says that it is indexed.
func (s *Sink) Send(ctx context.Context, rs []ship.Record) error {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	for _, r := range rs {
		ev := struct {
			Time       json.Number     `json:"time"`
			Index      string          `json:"index,omitempty"`
			SourceType string          `json:"sourcetype,omitempty"`
			Source     string          `json:"source"`
			Event      json.RawMessage `json:"event"`
		}{json.Number(strconv.FormatFloat(float64(r.Time.UnixMicro())/1e6, 'f', 6, 64)), s.o.Index, s.o.SourceType, "sallyport", r.Line}
		if err := e.Encode(ev); err != nil {
			return err
		}
	}
	channel := func(h http.Header, _ []byte) { h.Set("X-Splunk-Request-Channel", s.channel) }
	a, err := s.c.Post(ctx, "/services/collector/event", "application/json", body.Bytes(), channel)
	if err != nil {
		return err
	}
	if err := s.c.Verdict(a); err != nil {
		return err
	}
	var said struct {
		Code  int    `json:"code"`
		Text  string `json:"text"`
		AckID *int64 `json:"ackId"`
	}
	if json.Unmarshal(a.Body, &said) != nil || said.Code != 0 {
		return fmt.Errorf("%s: its answer is not one of an event collector: code %d %s", s.c, said.Code, said.Text)
	}
	switch {
	case s.o.NoAck:
		return nil
	case said.AckID == nil:
		return fmt.Errorf("%s: it acknowledges nothing: turn acknowledgement on for the token, or say ack: false", s.c)
	}
	return s.indexed(ctx, *said.AckID, channel)
}

// indexed waits until a batch is.
func (s *Sink) indexed(ctx context.Context, id int64, channel func(http.Header, []byte)) error {
	ask, err := json.Marshal(map[string][]int64{"acks": {id}})
	if err != nil {
		return err
	}
	for {
		a, err := s.c.Post(ctx, "/services/collector/ack", "application/json", ask, channel)
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("%s: status %d, asked whether records are indexed", s.c, a.Status)
		}
		var said struct {
			Acks map[string]bool `json:"acks"`
		}
		if json.Unmarshal(a.Body, &said) != nil {
			return fmt.Errorf("%s: its answer says not whether records are indexed", s.c)
		}
		if said.Acks[strconv.FormatInt(id, 10)] {
			return nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return fmt.Errorf("%s: the records were taken and are not indexed: %w", s.c, ctx.Err())
		}
	}
}

// Close gives connections up.
func (s *Sink) Close() error { return s.c.Close() }

// String names the receiver.
func (s *Sink) String() string { return "splunk " + s.c.String() }
