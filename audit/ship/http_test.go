package ship_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/audit/ship"
	"sallyport/audit/ship/elastic"
	"sallyport/audit/ship/loki"
	"sallyport/audit/ship/otlp"
	"sallyport/audit/ship/post"
	"sallyport/audit/ship/splunk"
	"sallyport/audit/ship/webhook"
)

// contract is a server that keeps to the contract of a receiver that cannot be had
// here: what it answers follows the documentation of that. Killed, it ends
// connections in the middle, and may have what it did not acknowledge.
type contract struct {
	addr  string
	srv   *http.Server
	take  func(*contract, http.ResponseWriter, *http.Request, []byte)
	mu    sync.Mutex
	kept  []string
	ids   map[string]bool
	count atomic.Int64
}

func newContract(t *testing.T, take func(*contract, http.ResponseWriter, *http.Request, []byte)) *contract {
	c := &contract{addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), take: take, ids: map[string]bool{}}
	t.Cleanup(func() { c.kill(t) })
	return c
}

func (c *contract) begin(t *testing.T) {
	t.Helper()
	var l net.Listener
	var err error
	for range 200 {
		if l, err = net.Listen("tcp", c.addr); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return
		}
		if c.count.Add(1)%7 == 3 { // now and then it has too much to do
			w.Header().Set("Retry-After", "0")
			http.Error(w, "later", http.StatusTooManyRequests)
			return
		}
		c.take(c, w, r, b)
	})}
	go func() { _ = c.srv.Serve(l) }()
}

func (c *contract) kill(*testing.T) { _ = c.srv.Close() }

func (c *contract) keep(lines ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, lines...)
}

func (c *contract) lines(*testing.T) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept)
}

func client(t *testing.T, c *contract, o post.Options) *post.Client {
	t.Helper()
	o.URL = "http://" + c.addr
	p, err := post.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ndjson(b []byte) []string { return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") }

func TestWebhook(t *testing.T) {
	key := []byte("a key of the test, of 32 letters")
	for _, zip := range []bool{false, true} {
		c := newContract(t, func(c *contract, w http.ResponseWriter, r *http.Request, b []byte) {
			if !zip {
				stamp, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get(webhook.Signature), "t="), ",")
				at, err := json.Number(stamp).Int64()
				if err != nil || r.Header.Get(webhook.Signature) != webhook.Sign(key, time.Unix(at, 0), b) {
					t.Error("the signature does not hold")
				}
			}
			c.keep(ndjson(b)...)
		})
		survives(t, webhook.New(client(t, c, post.Options{Gzip: zip}), func() ([]byte, error) { return key, nil }), c)
	}
}

// Elasticsearch, by the documentation of its bulk API: a document of an id that
// is there is a conflict, and the others of the request are taken.
func TestElastic(t *testing.T) {
	c := newContract(t, func(c *contract, w http.ResponseWriter, r *http.Request, b []byte) {
		if r.URL.Path != "/_bulk" {
			http.NotFound(w, r)
			return
		}
		type item struct {
			Status int    `json:"status"`
			ID     string `json:"_id"`
		}
		var items []map[string]item
		lines := ndjson(b)
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := 0; i+1 < len(lines); i += 2 {
			var action map[string]struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
			if json.Unmarshal([]byte(lines[i]), &action) != nil || action["create"].Index != "audit" {
				t.Error(lines[i])
			}
			id := action["create"].ID
			if c.ids[id] {
				items = append(items, map[string]item{"create": {409, id}})
				continue
			}
			c.ids[id] = true
			c.kept = append(c.kept, lines[i+1])
			items = append(items, map[string]item{"create": {201, id}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": true, "items": items})
	})
	survives(t, elastic.New(client(t, c, post.Options{}), "audit"), c)
	if seen := c.lines(t); len(seen) != len(c.ids) {
		t.Errorf("%d documents of %d ids", len(seen), len(c.ids))
	}
}

// Loki tells entries by their time.
type byTime struct{ *contract }

func (c byTime) lines(t *testing.T) (out []string) {
	lines := c.contract.lines(t)
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:20], b[:20]) })
	for _, l := range lines {
		out = append(out, l[20:])
	}
	return out
}

func TestLoki(t *testing.T) {
	c := newContract(t, func(c *contract, w http.ResponseWriter, r *http.Request, b []byte) {
		var got struct {
			Streams []struct {
				Stream map[string]string
				Values [][2]string
			}
		}
		if err := json.Unmarshal(b, &got); err != nil || r.URL.Path != "/loki/api/v1/push" {
			t.Error(err, r.URL.Path)
		}
		for _, s := range got.Streams {
			if s.Stream["job"] != "sallyport" || len(s.Stream) > 3 {
				t.Error(s.Stream)
			}
			for _, v := range s.Values {
				c.keep(fmt.Sprintf("%020s%s", v[0], v[1]))
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	survives(t, loki.New(client(t, c, post.Options{Gzip: true}), map[string]string{"job": "sallyport"}), byTime{c})
}

// Splunk, by the documentation of the HTTP Event Collector: what was taken is not
// there before it is acknowledged, and may be lost until then.
func TestSplunk(t *testing.T) {
	var mu sync.Mutex
	taken := map[int64][]string{}
	var next int64
	c := newContract(t, func(c *contract, w http.ResponseWriter, r *http.Request, b []byte) {
		if r.Header.Get("Authorization") != "Splunk token" || r.Header.Get("X-Splunk-Request-Channel") == "" {
			http.Error(w, `{"text":"Invalid token","code":4}`, http.StatusForbidden)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/services/collector/event":
			var lines []string
			d := json.NewDecoder(bytes.NewReader(b))
			for {
				var e struct{ Event json.RawMessage }
				if err := d.Decode(&e); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Error(err)
					break
				}
				lines = append(lines, string(e.Event))
			}
			next++
			taken[next] = lines
			fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, next)
		case "/services/collector/ack":
			var ask struct{ Acks []int64 }
			_ = json.Unmarshal(b, &ask)
			acks := map[string]bool{}
			for _, id := range ask.Acks {
				if lines, ok := taken[id]; ok {
					c.keep(lines...)
					delete(taken, id)
					acks[fmt.Sprint(id)] = true
				}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"acks": acks})
		}
	})
	p := client(t, c, post.Options{Header: func(h http.Header) error { h.Set("Authorization", "Splunk token"); return nil }})
	survives(t, splunk.New(p, splunk.Options{SourceType: "sallyport"}), c)
}

// A collector of OpenTelemetry, by the specification of OTLP: names of fields are
// those of the JSON encoding.
func TestOTLP(t *testing.T) {
	c := newContract(t, func(c *contract, w http.ResponseWriter, r *http.Request, b []byte) {
		var got struct {
			ResourceLogs []struct {
				Resource  struct{ Attributes []map[string]any }
				ScopeLogs []struct {
					LogRecords []struct {
						TimeUnixNano   string
						SeverityNumber int
						EventName      string
						Attributes     []struct {
							Key   string
							Value map[string]any
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b, &got); err != nil || r.URL.Path != "/v1/logs" {
			t.Error(err, r.URL.Path)
		}
		for _, rl := range got.ResourceLogs {
			for _, lr := range rl.ScopeLogs[0].LogRecords {
				fields := map[string]any{}
				for _, a := range lr.Attributes {
					for _, v := range a.Value {
						fields[a.Key] = v
					}
				}
				fields["event.sequence"] = json.Number(fmt.Sprint(fields["event.sequence"]))
				if lr.TimeUnixNano == "" || lr.EventName != fields["event.name"] || fields["log.record.uid"] != fields["event.id"] {
					t.Error(lr)
				}
				line, _ := json.Marshal(fields)
				c.keep(string(line))
			}
		}
		_, _ = w.Write([]byte(`{"partialSuccess":{}}`))
	})
	survives(t, otlp.New(client(t, c, post.Options{})), c)
}

// hostile 161: a receiver that lies, redirects, answers without end or too late has
// nothing, and learns nothing that it should not.
func TestReceiversThatMisbehave(t *testing.T) {
	elsewhere := newContract(t, func(c *contract, _ http.ResponseWriter, _ *http.Request, b []byte) { c.keep(string(b)) })
	elsewhere.begin(t)
	for what, x := range map[string]struct {
		answer   func(http.ResponseWriter, *http.Request)
		rejected bool
	}{
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+elsewhere.addr, http.StatusTemporaryRedirect)
		}, false},
		"answers no end":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, 8<<20) }, false},
		"is full":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(507) }, false},
		"wants no token":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, false},
		"finds it too big": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) }, true},
		"cuts its answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}, false},
		"speaks of others": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"errors":false,"items":[]}`)) }, false},
	} {
		c := newContract(t, func(_ *contract, w http.ResponseWriter, r *http.Request, _ []byte) { x.answer(w, r) })
		c.begin(t)
		err := elastic.New(client(t, c, post.Options{Header: func(h http.Header) error { h.Set("Authorization", "secret"); return nil }}), "audit").Send(t.Context(), []ship.Record{{Line: []byte("{}"), ID: "1"}})
		var no *ship.RejectedError
		if err == nil || errors.As(err, &no) != x.rejected || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := elsewhere.lines(t); len(got) != 0 {
		t.Errorf("a redirect was followed: %q", got)
	}
	for _, u := range []string{"", "logs.example.com", "ftp://x", "https://user:pass@x/", "https:///x"} {
		if _, err := post.New(post.Options{URL: u}); err == nil || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
