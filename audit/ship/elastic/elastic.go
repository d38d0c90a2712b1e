// Package elastic puts records into Elasticsearch and OpenSearch by their bulk API.
package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// A Sink creates documents of which event.id is the id, so that a record that
// comes twice is one. It is for one goroutine.
type Sink struct {
	c     *post.Client
	index string
}

var _ ship.Sink = (*Sink)(nil)

// New makes one that writes to an index or a data stream.
func New(c *post.Client, index string) *Sink { return &Sink{c, index} }

// Send creates a document for each record.
func (s *Sink) Send(ctx context.Context, rs []ship.Record) error {
	var body bytes.Buffer
	type create struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	for _, r := range rs {
		action, err := json.Marshal(map[string]create{"create": {s.index, r.ID}})
		if err != nil {
			return err
		}
		body.Write(action)
		body.WriteByte('\n')
		body.Write(r.Line)
		body.WriteByte('\n')
	}
	a, err := s.c.Post(ctx, "/_bulk", "application/x-ndjson", body.Bytes(), nil)
	if err != nil {
		return err
	}
	if err := s.c.Verdict(a); err != nil {
		return err
	}
	var said struct {
		Errors bool `json:"errors"`
		Items  []map[string]struct {
			Status int `json:"status"`
			Error  struct {
				Type   string `json:"type"`
				Reason string `json:"reason"`
			} `json:"error"`
		} `json:"items"`
	}
	if json.Unmarshal(a.Body, &said) != nil || len(said.Items) != len(rs) {
		return fmt.Errorf("%s: its answer is not one of the bulk API, or not about these %d records", s.c, len(rs))
	}
	var no ship.RejectedError
	for i, item := range said.Items {
		for _, x := range item {
			switch {
			case x.Status >= 200 && x.Status < 300, x.Status == 409: // it is there already
			case x.Status == 400 || x.Status == 413:
				no.Which, no.Why = append(no.Which, i), fmt.Sprintf("%s: status %d, %s: %s", s.c, x.Status, x.Error.Type, x.Error.Reason)
			default: // those that are there are not created again
				return fmt.Errorf("%s: status %d for record %d, %s: %s", s.c, x.Status, rs[i].Sequence, x.Error.Type, x.Error.Reason)
			}
		}
	}
	if len(no.Which) > 0 {
		return &no
	}
	return nil
}

// Close gives connections up.
func (s *Sink) Close() error { return s.c.Close() }

// String names the receiver.
func (s *Sink) String() string { return "elasticsearch " + s.c.String() }
