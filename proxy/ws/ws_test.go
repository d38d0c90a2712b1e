package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// frame writes one as no Writer would.
func frame(first byte, mask bool, length string, payload string) string {
	b := []byte{first}
	n := byte(len(payload))
	if length != "" {
		n = length[0]
	}
	if !mask {
		return string(append(b, n)) + strings.TrimPrefix(length, string(n)) + payload
	}
	p := []byte(payload)
	key := [4]byte{1, 2, 3, 4}
	xor(p, key, 0)
	rest := ""
	if length != "" {
		rest = length[1:]
	}
	return string(append(b, n|0x80)) + rest + string(key[:]) + string(p)
}

// messages is what a Reader makes of bytes, and why it ended.
func messages(b string, from Side, l Limits) (out []string, err error) {
	r := NewReader(strings.NewReader(b), from, l)
	var part strings.Builder
	for {
		p, err := r.Next()
		if err != nil {
			return out, err
		}
		if p.Op.Control() {
			out = append(out, fmt.Sprintf("%x:%s", int(p.Op), p.Payload))
			continue
		}
		part.Write(p.Payload)
		if p.Last {
			out = append(out, fmt.Sprintf("%x:%s", int(p.Op), part.String()))
			part.Reset()
		}
	}
}

// hostile 142: what a frame may not be ends the connection, with the code that
// says so, before anything of it is passed on.
func TestFrames(t *testing.T) {
	f := func(first byte, payload string) string { return frame(first, true, "", payload) }
	for name, c := range map[string]struct {
		bytes string
		from  Side
		want  string // messages, then the code of the violation, or how it ended
	}{
		"a text":                       {f(0x81, "hi"), Client, "1:hi EOF"},
		"of a server":                  {frame(0x81, false, "", "hi"), Server, "1:hi EOF"},
		"nothing":                      {"", Client, "EOF"},
		"empty":                        {f(0x81, "") + f(0x82, ""), Client, "1: 2: EOF"},
		"a close":                      {f(0x88, "\x03\xe8bye") + f(0x81, "more"), Client, "8:\x03\xe8bye EOF"},
		"a close without a code":       {f(0x88, ""), Client, "8: EOF"},
		"in fragments":                 {f(0x01, "a") + f(0x89, "p") + f(0x00, "") + f(0x80, "b"), Client, "9:p 1:ab EOF"},
		"a rune in fragments":          {f(0x01, "\xf0\x9f") + f(0x00, "\x9a") + f(0x80, "\xaa"), Client, "1:🚪 EOF"},
		"not masked":                   {frame(0x81, false, "", "hi"), Client, "1002"},
		"masked by a server":           {f(0x81, "hi"), Server, "1002"},
		"rsv1":                         {f(0xc1, "hi"), Client, "1002"},
		"rsv2":                         {f(0xa1, "hi"), Client, "1002"},
		"rsv3":                         {f(0x91, "hi"), Client, "1002"},
		"rsv of a control frame":       {f(0xc9, "hi"), Client, "1002"},
		"opcode 3":                     {f(0x83, "hi"), Client, "1002"},
		"opcode 7":                     {f(0x87, "hi"), Client, "1002"},
		"opcode 11":                    {f(0x8b, "hi"), Client, "1002"},
		"opcode 15":                    {f(0x8f, "hi"), Client, "1002"},
		"a ping of 126":                {frame(0x89, true, "\x7e\x00\x7e", strings.Repeat("x", 126)), Client, "1002"},
		"a ping of 125":                {f(0x89, strings.Repeat("x", 125)), Client, "9:" + strings.Repeat("x", 125) + " EOF"},
		"a ping in fragments":          {f(0x09, "x"), Client, "1002"},
		"a close in fragments":         {f(0x08, ""), Client, "1002"},
		"continues nothing":            {f(0x80, "x"), Client, "1002"},
		"continues what is whole":      {f(0x81, "a") + f(0x80, "x"), Client, "1:a 1002"},
		"begins inside":                {f(0x01, "a") + f(0x81, "b"), Client, "1002"},
		"a length of 16 bits too long": {frame(0x82, true, "\x7e\x00\x05", "hello"), Client, "1002"},
		"a length of 64 bits too long": {frame(0x82, true, "\x7f\x00\x00\x00\x00\x00\x00\x00\x05", "hello"), Client, "1002"},
		"a length of 64 bits":          {frame(0x82, true, "\x7f\x80\x00\x00\x00\x00\x00\x00\x05", "hello"), Client, "1002"},
		"a length of 63 bits":          {frame(0x82, true, "\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "hello"), Client, "1009"},
		"lengths that overflow":        {f(0x02, "hello") + frame(0x80, true, "\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "hello"), Client, "1009"},
		"over the limit in fragments":  {f(0x02, strings.Repeat("x", 100)) + f(0x80, "x"), Client, "1009"},
		"too many fragments":           {f(0x02, "a") + f(0x00, "") + f(0x00, "") + f(0x80, ""), Client, "1008"},
		"as many as may be":            {f(0x02, "a") + f(0x00, "") + f(0x80, ""), Client, "2:a EOF"},
		"not UTF-8":                    {f(0x81, "a\xff"), Client, "1007"},
		"overlong":                     {f(0x81, "\xc0\xaf"), Client, "1007"},
		"a surrogate":                  {f(0x81, "\xed\xa0\x80"), Client, "1007"},
		"above Unicode":                {f(0x01, "\xf4\x90") + f(0x80, "\x80\x80"), Client, "1007"},
		"half a rune at the end":       {f(0x81, "a\xc3"), Client, "1007"},
		"half a rune, then another":    {f(0x01, "\xc3") + f(0x80, "a"), Client, "1007"},
		"binary is not text":           {f(0x82, "\xff"), Client, "2:\xff EOF"},
		"half a code":                  {f(0x88, "\x03"), Client, "1002"},
		"code 0":                       {f(0x88, "\x00\x00"), Client, "1002"},
		"code 999":                     {f(0x88, "\x03\xe7"), Client, "1002"},
		"code 1004":                    {f(0x88, "\x03\xec"), Client, "1002"},
		"code 1005":                    {f(0x88, "\x03\xed"), Client, "1002"},
		"code 1006":                    {f(0x88, "\x03\xee"), Client, "1002"},
		"code 1015":                    {f(0x88, "\x03\xf7"), Client, "1002"},
		"code 2999":                    {f(0x88, "\x0b\xb7"), Client, "1002"},
		"code 5000":                    {f(0x88, "\x13\x88"), Client, "1002"},
		"a reason that is not UTF-8":   {f(0x88, "\x03\xe8\xff"), Client, "1007"},
		"cut in a header":              {"\x81", Client, "unexpected EOF"},
		"cut in a key":                 {"\x81\x82\x00", Client, "unexpected EOF"},
		"cut in a length":              {"\x81\xfe\x00", Client, "unexpected EOF"},
		"cut in a payload":             {f(0x81, "hello")[:8], Client, "unexpected EOF"},
		"cut in a message":             {f(0x01, "hello"), Client, "unexpected EOF"},
	} {
		out, err := messages(c.bytes, c.from, Limits{Message: 100, Fragments: 3})
		if e := (*Error)(nil); errors.As(err, &e) {
			out = append(out, fmt.Sprint(e.Code))
		} else {
			out = append(out, err.Error())
		}
		if got := strings.Join(out, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What one side writes the other reads, masked anew each time.
func TestRoundTrip(t *testing.T) {
	for _, as := range []Side{Client, Server} {
		var b bytes.Buffer
		w := NewWriter(&b, as)
		var want []string
		for _, n := range []int{0, 1, 125, 126, 65535, 65536, 200_001} {
			text := strings.Repeat("é", n/2) + strings.Repeat("x", n%2)
			want = append(want, "1:"+text, "9:"+text[:min(n, 124)])
			_ = w.Write(Piece{Op: Text, First: true, Last: true, Payload: []byte(text)})
			_ = w.Write(Piece{Op: Ping, First: true, Last: true, Payload: []byte(text[:min(n, 124)])})
		}
		reason := strings.Repeat("ü", 70)
		if err := w.Close(4000, reason); err != nil {
			t.Error(err)
		}
		want = append(want, "8:\x0f\xa0"+reason[:122]) // cut between characters
		if err := w.Write(Piece{Op: Text, First: true, Last: true}); !errors.Is(err, ErrClosed) {
			t.Errorf("after a close: %v", err)
		}
		got, err := messages(b.String(), as, Limits{})
		if !errors.Is(err, io.EOF) || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%v: %d messages came back, %v", as, len(got), err)
		}
	}
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		_ = NewWriter(b, Client).Write(Piece{Op: Text, First: true, Last: true, Payload: []byte("the same text")})
	}
	if one.String() == two.String() {
		t.Error("a mask is used again")
	}
}

// RFC 6455, 1.3 has the key and what answers it.
func TestAccept(t *testing.T) {
	if got := Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Error(got)
	}
	h := http.Header{"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {NewKey()}, "Sec-Websocket-Extensions": {"permessage-deflate"}}
	if err := CheckRequest(h); err != nil || h.Get("Sec-Websocket-Extensions") != "" {
		t.Errorf("%v %v", err, h)
	}
}

// hostile 142: whatever is read, what is passed on reads the same, no piece is
// larger than one may be, and what is refused ends there.
func FuzzFrames(f *testing.F) {
	for _, b := range []string{frame(0x81, true, "", "hi"), frame(0x01, true, "", "a") + frame(0x89, true, "", "p") + frame(0x80, true, "", "ä"), frame(0x88, true, "", "\x03\xe8"),
		frame(0x82, true, "\x7e\x01\x00", strings.Repeat("x", 256)), frame(0x82, true, "\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "")} {
		f.Add([]byte(b), true)
	}
	f.Add([]byte(frame(0x81, false, "", "hi")), false)
	f.Fuzz(func(t *testing.T, b []byte, client bool) {
		from := Server
		if client {
			from = Client
		}
		limits := Limits{Message: 1 << 20, Fragments: 64}
		var again bytes.Buffer
		r, w := NewReader(bytes.NewReader(b), from, limits), NewWriter(&again, Client)
		var size int64
		for {
			p, err := r.Next()
			if err != nil {
				break
			}
			if len(p.Payload) > maxPiece || cap(p.Payload) > maxPiece {
				t.Fatalf("a piece of %d bytes", len(p.Payload))
			}
			if p.First {
				size = 0
			}
			if size += int64(len(p.Payload)); size > limits.Message {
				t.Fatal("more than a message may have")
			}
			if err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		want, err1 := messages(string(b), from, limits)
		got, err2 := messages(again.String(), Client, limits)
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("%q became %q (%v, %v)", want, got, err1, err2)
		}
	})
}
