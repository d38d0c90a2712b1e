package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/admin"
	"sallyport/origin"
)

// frameFloods are what a client sends over HTTP/2 again and again, from an odd stream on.
var frameFloods = map[string]func(f *http2.Framer, id uint32, head []byte){
	"rapid resets": func(f *http2.Framer, id uint32, head []byte) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: true})
		_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
	},
	"resets made by the server": func(f *http2.Framer, id uint32, head []byte) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
		_ = f.WriteWindowUpdate(id, 0)
	},
	"continuations": func(f *http2.Framer, id uint32, head []byte) {
		if id == 1 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head})
		}
		_ = f.WriteContinuation(1, false, nil)
	},
	"fields": func(f *http2.Framer, id uint32, _ []byte) { // one byte each, of 4,000 in memory
		if id == 1 {
			var b bytes.Buffer
			_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x-large", Value: strings.Repeat("a", 3900)})
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes()})
		}
		_ = f.WriteContinuation(1, false, bytes.Repeat([]byte{0x80 | 62}, 16000))
	},
	"empty data": func(f *http2.Framer, id uint32, head []byte) {
		if id == 1 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
		}
		_ = f.WriteData(1, false, nil)
	},
	"padding": func(f *http2.Framer, id uint32, head []byte) {
		if id == 1 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
		}
		_ = f.WriteDataPadded(1, false, nil, make([]byte, 255))
	},
	"settings": func(f *http2.Framer, id uint32, _ []byte) {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: id})
	},
	"pings": func(f *http2.Framer, _ uint32, _ []byte) { _ = f.WritePing(false, [8]byte{1}) },
	"pongs": func(f *http2.Framer, _ uint32, _ []byte) { _ = f.WritePing(true, [8]byte{1}) },
	"priorities": func(f *http2.Framer, id uint32, _ []byte) {
		_ = f.WritePriority(id, http2.PriorityParam{StreamDep: id + 2, Weight: 7})
	},
	"windows": func(f *http2.Framer, _ uint32, _ []byte) { _ = f.WriteWindowUpdate(0, 1) },
	"unknown": func(f *http2.Framer, id uint32, _ []byte) { _ = f.WriteRawFrame(0x42, 0xff, id, make([]byte, 16)) },
}

// hostile 138: floods of frames, with TLS and without, end their connection, and
// meanwhile another sandbox is served as before, in memory that is bounded.
func TestFrameFloods(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	p := newPlace(t, callers()[0], origin.Options{H2C: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served") })})
	s := p.sidecar(t, "")
	client := admin.NewClient(s.control)
	box, other := s.boxed(client, "floods", "strict"), s.boxed(client, "other", "strict")
	served := func() time.Duration {
		t.Helper()
		began := time.Now()
		if got := p.talk(t, other.ns, other.addr.String(), fmt.Sprintf("GET / HTTP/1.1\r\nHost: api.example.com:%d\r\nConnection: close\r\n\r\n", p.origin.PlainPort)); !strings.HasSuffix(got, "served") {
			t.Errorf("another sandbox: %q", got)
		}
		return time.Since(began)
	}
	served()
	before, _ := s.memory()
	var worst time.Duration
	for name, frame := range frameFloods {
		for _, scheme := range []string{"https", "http"} {
			port := map[string]int{"https": p.origin.TLSPort, "http": p.origin.PlainPort}[scheme]
			cs, err := box.dial(t, port, 1)
			if err != nil {
				t.Fatal(err)
			}
			c := cs[0]
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			if scheme == "https" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "api.example.com", NextProtos: []string{"h2"}}) //nolint:gosec // who answers is not what is tested
			}
			var head bytes.Buffer
			e := hpack.NewEncoder(&head)
			e.SetMaxDynamicTableSize(0)
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", scheme}, {":authority", fmt.Sprintf("api.example.com:%d", port)}, {":path", "/"}} {
				_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true})
			}
			_, _ = io.WriteString(c, http2.ClientPreface)
			ended := make(chan error, 1)
			go func() { // what is answered is read, as by a client that means it
				_, err := io.Copy(io.Discard, c)
				ended <- err
			}()
			// 60,000 of each are too many, unless they take a minute.
			var out bytes.Buffer
			f := http2.NewFramer(&out, nil)
			f.AllowIllegalWrites = true
			_ = f.WriteSettings()
			gone := false
			for i := uint32(0); i < 60_000 && !gone; i += 500 {
				for j := range uint32(500) {
					frame(f, 2*(i+j)+1, head.Bytes())
				}
				_, err := c.Write(out.Bytes())
				out.Reset()
				gone = err != nil
				if i%10_000 == 0 {
					worst = max(worst, served())
				}
			}
			if !gone {
				select {
				case <-ended:
				case <-time.After(20 * time.Second):
					t.Fatalf("%s over %s go on", name, scheme)
				}
			}
			worst = max(worst, served())
			_ = c.Close()
		}
	}
	_, peak := s.memory()
	if t.Logf("another sandbox waited for %v at most; %d MiB before, %d at most", worst, before>>10, peak>>10); worst > 5*time.Second || peak-before > 192<<10 {
		t.Error("the floods were felt")
	}
	if got := p.find(map[string]string{"policy.code": "http2_flood", "sandbox.name": "floods"}); len(got) == 0 {
		t.Error("no record says so")
	}
	box.end()
	other.end()
	s.stop()
}
