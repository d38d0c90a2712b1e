// Package otlp gives records to an OpenTelemetry collector over HTTP, in the JSON
// encoding of OTLP 1.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sallyport/audit/ship"
	"sallyport/audit/ship/post"
)

// A Sink posts log records. What a record says of the program goes into the
// resource, all other fields are attributes of the same names. It is for one goroutine.
type Sink struct{ c *post.Client }

var _ ship.Sink = (*Sink)(nil)

// New makes one.
func New(c *post.Client) *Sink { return &Sink{c} }

// The messages of opentelemetry.proto.collector.logs.v1, as far as they are used.
type (
	value struct {
		String *string   `json:"stringValue,omitempty"`
		Bool   *bool     `json:"boolValue,omitempty"`
		Int    *string   `json:"intValue,omitempty"`
		Double *float64  `json:"doubleValue,omitempty"`
		Array  *array    `json:"arrayValue,omitempty"`
		Map    *keyvalue `json:"kvlistValue,omitempty"`
	}
	array struct {
		Values []value `json:"values"`
	}
	keyvalue struct {
		Values []attribute `json:"values"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	logRecord struct {
		Time     string      `json:"timeUnixNano"`
		Number   int         `json:"severityNumber"`
		Severity string      `json:"severityText"`
		Body     value       `json:"body"`
		Event    string      `json:"eventName"`
		Attrs    []attribute `json:"attributes"`
	}
	scope struct {
		Records []logRecord `json:"logRecords"`
	}
	resource struct {
		Attrs []attribute `json:"attributes"`
	}
	resources struct {
		Resource resource `json:"resource"`
		Scopes   []scope  `json:"scopeLogs"`
	}
	request struct {
		Logs []resources `json:"resourceLogs"`
	}
)

// Send posts a batch.
func (s *Sink) Send(ctx context.Context, rs []ship.Record) error {
	var req request
	var last string
	for _, r := range rs {
		d := json.NewDecoder(bytes.NewReader(r.Line))
		d.UseNumber()
		var fields map[string]any
		if err := d.Decode(&fields); err != nil {
			return fmt.Errorf("record %d: %w", r.Sequence, err)
		}
		var of []attribute
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			if strings.HasPrefix(k, "service.") || k == "boot.id" {
				of = append(of, attribute{k, valueOf(fields[k])})
				delete(fields, k)
			}
		}
		b, err := json.Marshal(of)
		if err != nil {
			return err
		}
		if len(req.Logs) == 0 || string(b) != last { // those of one program stand together
			req.Logs, last = append(req.Logs, resources{Resource: resource{of}, Scopes: []scope{{}}}), string(b)
		}
		x := &req.Logs[len(req.Logs)-1]
		number, text := severity(r)
		body := r.Name
		lr := logRecord{Time: strconv.FormatInt(r.Time.UnixNano(), 10), Number: number, Severity: text, Body: value{String: &body}, Event: r.Name}
		delete(fields, "@timestamp")
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			lr.Attrs = append(lr.Attrs, attribute{k, valueOf(fields[k])})
		}
		lr.Attrs = append(lr.Attrs, attribute{"log.record.uid", value{String: &r.ID}})
		x.Scopes[0].Records = append(x.Scopes[0].Records, lr)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	a, err := s.c.Post(ctx, "/v1/logs", "application/json", body, nil)
	if err != nil {
		return err
	}
	if err := s.c.Verdict(a); err != nil {
		return err
	}
	var said struct {
		Partial struct {
			Rejected json.Number `json:"rejectedLogRecords"`
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(a.Body, &said) == nil && said.Partial.Rejected != "" && said.Partial.Rejected != "0" {
		return &ship.RejectedError{Why: fmt.Sprintf("%s: %s of %d: %s", s.c, said.Partial.Rejected, len(rs), said.Partial.Message)}
	}
	return nil
}

// severity is by the data model of logs: INFO, WARN, ERROR.
func severity(r ship.Record) (int, string) {
	switch r.Decision {
	case "deny":
		return 13, "WARN"
	case "error":
		return 17, "ERROR"
	}
	return 9, "INFO"
}

func valueOf(v any) value {
	switch v := v.(type) {
	case string:
		return value{String: &v}
	case bool:
		return value{Bool: &v}
	case json.Number:
		s := v.String()
		if _, err := v.Int64(); err == nil {
			return value{Int: &s}
		}
		f, _ := v.Float64()
		return value{Double: &f}
	case []any:
		out := array{Values: []value{}}
		for _, x := range v {
			out.Values = append(out.Values, valueOf(x))
		}
		return value{Array: &out}
	case map[string]any:
		out := keyvalue{Values: []attribute{}}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out.Values = append(out.Values, attribute{k, valueOf(v[k])})
		}
		return value{Map: &out}
	}
	return value{}
}

// Close gives connections up.
func (s *Sink) Close() error { return s.c.Close() }

// String names the receiver.
func (s *Sink) String() string { return "otlp " + s.c.String() }
