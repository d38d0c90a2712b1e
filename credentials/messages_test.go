package credentials

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// grpcBody writes messages with their lengths, compressed where that is said.
func grpcBody(t *testing.T, coding string, messages ...string) []byte {
	t.Helper()
	var out []byte
	for i, m := range messages {
		b, flag := []byte(m), byte(0)
		if coding != "" && i%2 == 0 {
			b, flag = encodeAs(t, coding, b), 1
		}
		out = append(binary.BigEndian.AppendUint32(append(out, flag), uint32(len(b))), b...)
	}
	return out
}

// grpcMessages reads them back.
func grpcMessages(t *testing.T, b []byte) (out []string) {
	t.Helper()
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint32(b[1:]))
		if b[0] != 0 || len(b) < 5+n {
			t.Fatalf("%q is no message", b)
		}
		out, b = append(out, string(b[5:5+n])), b[5+n:]
	}
	return out
}

func grpcGrant(t *testing.T) *Grant {
	g := grant(t, binding(t, "a", Place{Kind: Bearer}))
	g.PrepareRequest(http.Header{"Content-Type": {"application/grpc+proto"}})
	return g
}

// hostile 291: in gRPC a secret is found in messages of any size, compressed ones
// too, and each keeps its length.
func TestScrubMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, coding := range []string{"", "gzip", "deflate", "zstd"} {
		for range 30 {
			var sent, want []string
			for range 1 + r.IntN(5) {
				m := strings.Repeat("x\n", r.IntN(400)) + canary[:r.IntN(len(canary))]
				masked := m
				if r.IntN(2) == 0 {
					form := []string{canary, base64.StdEncoding.EncodeToString([]byte("ab" + canary + "c"))}[r.IntN(2)]
					m, masked = m+"-"+form+"-"+m, m+"-"+strings.Repeat("?", len(form))+"-"+m
				}
				sent, want = append(sent, m), append(want, masked)
			}
			var in io.Reader = bytes.NewReader(grpcBody(t, coding, sent...))
			if r.IntN(2) == 0 {
				in = iotest.OneByteReader(in)
			}
			body, _, err := grpcGrant(t).ScrubBody(io.NopCloser(in), http.Header{"Content-Type": {"application/grpc"}, "Grpc-Encoding": {coding}})
			if err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(body)
			if err != nil {
				t.Fatal(err)
			}
			got := grpcMessages(t, out)
			if len(got) != len(want) {
				t.Fatalf("%d of %d messages", len(got), len(want))
			}
			for i := range got {
				if len(got[i]) != len(want[i]) || strings.Contains(got[i], canary) || strings.Contains(got[i], base64.StdEncoding.EncodeToString([]byte("ab" + canary))[4:]) {
					t.Fatalf("%s: %q came as %q", coding, sent[i], got[i])
				}
				if !strings.Contains(want[i], "?") && got[i] != want[i] {
					t.Fatalf("%s: %q came as %q", coding, sent[i], got[i])
				}
			}
		}
	}
}

// hostile 292: what a message that has come ends with is not waited on, and what
// of one that is not whole goes on tells nothing.
func TestMessagesAreNotHeld(t *testing.T) {
	r, w := io.Pipe()
	body, _, err := grpcGrant(t).ScrubBody(r, http.Header{"Content-Type": {"application/grpc"}})
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(10*time.Second, func() { _ = w.CloseWithError(errors.New("held")) })
	defer late.Stop()
	for i := range canary {
		m := grpcBody(t, "", canary[:i])
		go func() { _, _ = w.Write(m) }()
		got := make([]byte, len(m))
		if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, m) {
			t.Fatalf("%q came as %q: %v", m, got, err)
		}
	}
	part := func(text string) int {
		whole := grpcBody(t, "", text+strings.Repeat("y", 2000))
		body, _, err := grpcGrant(t).ScrubBody(io.NopCloser(bytes.NewReader(whole[:5+len(text)])), http.Header{"Content-Type": {"application/grpc"}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(body)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("a message without its end: %v", err)
		}
		return len(out)
	}
	line := strings.Repeat("x", 1000)
	for i := 1; i < len(canary); i++ {
		if right, wrong := part(line+canary[:i]), part(line+canary[:i-1]+"\x01"); right != wrong {
			t.Errorf("after %d bytes of the secret %d bytes are delivered, and %d after a wrong one", i, right, wrong)
		}
	}
}

// What is not made of messages, or cannot be searched, ends as an error.
func TestScrubRefusesMessages(t *testing.T) {
	bomb := encodeAs(t, "gzip", make([]byte, maxCoded+1))
	for name, c := range map[string]struct {
		coding string
		body   []byte
	}{
		"a flag that means nothing": {"", []byte("\x02\x00\x00\x00\x01x")},
		"compressed somehow":        {"", []byte("\x01\x00\x00\x00\x01x")},
		"compressed wrongly":        {"gzip", []byte("\x01\x00\x00\x00\x01x")},
		"too large":                 {"gzip", []byte("\x01\xff\x00\x00\x00")},
		"a bomb":                    {"gzip", append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(bomb))), bomb...)},
		"without its end":           {"", []byte("\x00\x00\x00\x00\x05x")},
	} {
		body, _, err := grpcGrant(t).ScrubBody(io.NopCloser(bytes.NewReader(c.body)), http.Header{"Content-Type": {"application/grpc"}, "Grpc-Encoding": {c.coding}})
		if err == nil {
			_, err = io.ReadAll(body)
		}
		if err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, _, err := grpcGrant(t).ScrubBody(io.NopCloser(strings.NewReader("")), http.Header{"Content-Type": {"application/grpc"}, "Grpc-Encoding": {"snappy"}}); err == nil {
		t.Error("a coding that nobody knows was taken")
	}
}
