// Package loki pushes records to Grafana Loki.
package loki

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// A Sink pushes records as entries of streams. Labels are those of the
// configuration, event_name and decision: never anything that a sandbox says, of
// which there could be any number. It is for one goroutine.
type Sink struct {
	c      *post.Client
	labels map[string]string
}

var _ ship.Sink = (*Sink)(nil)

// New makes one whose streams have these labels.
func New(c *post.Client, labels map[string]string) *Sink { return &Sink{c, labels} }

// Send pushes a batch.
func (s *Sink) Send(ctx context.Context, rs []ship.Record) error {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	}
	by := map[[2]string]*stream{}
	for _, r := range rs {
		k := [2]string{r.Name, r.Decision}
		x := by[k]
		if x == nil {
			x = &stream{Stream: maps.Clone(s.labels)}
			if x.Stream == nil {
				x.Stream = map[string]string{}
			}
			x.Stream["event_name"] = r.Name
			if r.Decision != "" {
				x.Stream["decision"] = r.Decision
			}
			by[k] = x
		}
		x.Values = append(x.Values, [2]string{strconv.FormatInt(r.Time.UnixNano(), 10), string(r.Line)})
	}
	var all struct {
		Streams []*stream `json:"streams"`
	}
	for _, k := range slices.SortedFunc(maps.Keys(by), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		all.Streams = append(all.Streams, by[k])
	}
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	a, err := s.c.Post(ctx, "/loki/api/v1/push", "application/json", body, nil)
	if err != nil {
		return err
	}
	return s.c.Verdict(a)
}

// Close gives connections up.
func (s *Sink) Close() error { return s.c.Close() }

// String names the receiver.
func (s *Sink) String() string { return "loki " + s.c.String() }
