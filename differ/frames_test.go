package differ

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A stream is one request of HTTP/2, in the order in which it is sent.
type stream struct {
	fields   []string // "name: value"
	body     string
	trailers []string
	do       func(*wire) // instead of all that, if not nil
}

// A wire writes frames that no library would.
type wire struct {
	*http2.Framer
	c    io.Writer
	fill func(string) string
}

// block encodes fields as they are.
func (w *wire) block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range fields {
		f = w.fill(f)
		name, value := f, ""
		if i := strings.Index(f[min(1, len(f)):], ": "); i >= 0 {
			name, value = f[:i+1], f[i+3:]
		} else if strings.HasPrefix(f, ": ") {
			name, value = "", f[2:]
		}
		_ = e.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	return b.Bytes()
}

func (w *wire) headers(id uint32, end bool, fields ...string) {
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: w.block(fields...), EndHeaders: true, EndStream: end})
}

// data sends a body in as many frames as it needs.
func (w *wire) data(id uint32, end bool, body string) {
	for {
		n := min(len(body), 16<<10)
		_ = w.WriteData(id, end && n == len(body), []byte(body[:n]))
		if body = body[n:]; body == "" {
			return
		}
	}
}

func (w *wire) stream(id uint32, s *stream) {
	w.headers(id, s.body == "" && len(s.trailers) == 0, s.fields...)
	if s.body != "" || len(s.trailers) > 0 {
		w.data(id, len(s.trailers) == 0, w.fill(s.body))
	}
	if len(s.trailers) > 0 {
		w.headers(id, true, s.trailers...)
	}
}

// sendH2 sends one case over HTTP/2.
func (r *road) sendH2(k kase, e entry) (a answer, err error) {
	a.Entry = e
	c, err := r.open(k, e, "h2")
	if err != nil {
		return a, err
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
	w := &wire{Framer: http2.NewFramer(c, c), c: c, fill: func(s string) string { return e.fill(s, k) }}
	w.AllowIllegalWrites = true
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = w.WriteSettings()
	if k.h2.do != nil {
		k.h2.do(w)
	} else {
		w.stream(1, k.h2)
	}
	done := 0
	for {
		wait := patience
		if k.want == arrives && done < k.requests() {
			wait = 20 * time.Second
		} else if done >= k.requests() {
			wait = patience / 10
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		f, err := w.ReadFrame()
		var se http2.StreamError
		if errors.As(err, &se) {
			a.Statuses = append(a.Statuses, "malformed")
			continue
		}
		if err != nil {
			a.Text += " " + err.Error()
			return a, nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = w.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if s := f.PseudoValue("status"); s != "" && s[0] != '1' {
				a.Statuses = append(a.Statuses, s)
			}
			if f.StreamEnded() {
				done++
			}
		case *http2.DataFrame:
			a.Text += string(f.Data()[:min(len(f.Data()), 500)])
			if f.StreamEnded() {
				done++
			}
		case *http2.RSTStreamFrame:
			if f.ErrCode != http2.ErrCodeNo {
				a.Statuses = append(a.Statuses, "reset")
			}
			done++
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				a.Statuses = append(a.Statuses, "goaway")
			}
		}
	}
}

// head are the pseudo-fields of a request, and more.
func head(method, target string, more ...string) []string {
	return append([]string{":method: " + method, ":scheme: https", ":authority: {host}", ":path: " + target, "x-case: {id}"}, more...)
}

func (g group) h2(w want, name string, s *stream) *kase {
	k := g.add(w, name, "")
	k.h2, k.body = s, s.body
	return k
}

// frames are sequences of frames.
func frames(g group) {
	g.h2(arrives, "plain", &stream{fields: head("GET", "/{id}")})
	g.h2(arrives, "body", &stream{fields: head("POST", "/{id}"), body: "hello"})
	g.h2(arrives, "length", &stream{fields: head("POST", "/{id}", "content-length: 5"), body: "hello"})
	g.h2(arrives, "trailers", &stream{fields: head("POST", "/{id}"), body: "hello", trailers: []string{"x-sum: 1"}})
	do := func(w want, name string, f func(*wire)) *kase { return g.h2(w, name, &stream{do: f}) }
	do(arrives, "two-streams", func(w *wire) {
		w.headers(1, true, head("GET", "/{id}/1")...)
		w.headers(3, true, head("GET", "/{id}/2")...)
	}).count = 2
	do(arrives, "continued", func(w *wire) {
		b := w.block(head("GET", "/{id}")...)
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:5], EndStream: true})
		_ = w.WriteContinuation(1, false, b[5:10])
		_ = w.WriteContinuation(1, true, b[10:])
	})
	do(arrives, "padded", func(w *wire) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(head("POST", "/{id}")...), EndHeaders: true, PadLength: 20})
		_ = w.WriteDataPadded(1, true, []byte("hello"), make([]byte, 30))
	}).body = "hello"
	do(arrives, "empty-data", func(w *wire) {
		w.headers(1, false, head("POST", "/{id}")...)
		_ = w.WriteData(1, false, nil)
		_ = w.WriteData(1, false, []byte("hello"))
		_ = w.WriteData(1, true, nil)
	}).body = "hello"
	do(arrives, "ended-by-nothing", func(w *wire) {
		w.headers(1, false, head("GET", "/{id}")...)
		_ = w.WriteData(1, true, nil)
	})
	do(refused, "continued-by-another", func(w *wire) {
		b := w.block(head("GET", "/{id}")...)
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:5], EndStream: true})
		_ = w.WriteContinuation(3, true, b[5:])
	})
	do(refused, "continued-by-data", func(w *wire) {
		b := w.block(head("GET", "/{id}")...)
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:5]})
		_ = w.WriteData(1, true, []byte("hello"))
	})
	do(refused, "never-continued", func(w *wire) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(head("GET", "/{id}")...), EndStream: true})
	})
	do(refused, "even-stream", func(w *wire) { w.headers(2, true, head("GET", "/{id}")...) })
	do(refused, "stream-zero", func(w *wire) { w.headers(0, true, head("GET", "/{id}")...) })
	do(refused, "data-first", func(w *wire) { w.data(1, true, "hello") })
	do(refused, "garbage-block", func(w *wire) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true, EndStream: true})
	})
	do(refused, "http1", func(w *wire) { _, _ = io.WriteString(w.c, w.fill(get())) })
	do(either, "stream-backwards", func(w *wire) {
		w.headers(5, true, head("GET", "/{id}/5")...)
		w.headers(3, true, head("GET", "/{id}/3")...)
	})
	do(either, "data-behind-end", func(w *wire) {
		w.headers(1, true, head("GET", "/{id}")...)
		w.data(1, true, "GET / HTTP/1.1\r\nHost: evil\r\n\r\n")
	})
	do(either, "headers-behind-end", func(w *wire) {
		w.headers(1, true, head("GET", "/{id}/1")...)
		w.headers(1, true, head("GET", "/{id}/2")...)
	})
	do(broken, "reset", func(w *wire) {
		w.headers(1, false, head("POST", "/{id}")...)
		w.data(1, false, "hello")
		_ = w.WriteRSTStream(1, http2.ErrCodeCancel)
	})
	do(broken, "unfinished", func(w *wire) {
		w.headers(1, false, head("POST", "/{id}")...)
		w.data(1, false, "hello")
	})
	do(broken, "second-head-without-end", func(w *wire) {
		w.headers(1, false, head("POST", "/{id}")...)
		w.headers(1, false, "x-sum: 1")
		w.data(1, true, "hello")
	})
	do(broken, "padding-too-long", func(w *wire) {
		w.headers(1, false, head("POST", "/{id}")...)
		_ = w.WriteRawFrame(http2.FrameData, http2.FlagDataPadded|http2.FlagDataEndStream, 1, []byte{200, 'h', 'i'})
	})
	do(either, "push", func(w *wire) {
		_ = w.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: w.block(head("GET", "/{id}")...), EndHeaders: true})
	})
	do(arrives, "unknown-frame", func(w *wire) {
		_ = w.WriteRawFrame(0xfa, 0, 1, []byte("x"))
		w.headers(1, true, head("GET", "/{id}")...)
	})
	do(arrives, "priority", func(w *wire) {
		_ = w.WritePriority(1, http2.PriorityParam{StreamDep: 3, Weight: 5})
		w.headers(1, true, head("GET", "/{id}")...)
	})
	do(either, "depends-on-itself", func(w *wire) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.block(head("GET", "/{id}")...), EndHeaders: true, EndStream: true, Priority: http2.PriorityParam{StreamDep: 1, Weight: 1}})
	})
}
