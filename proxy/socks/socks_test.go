package socks

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"sallyport/dest"
)

// A client has said all that it will, and hears what it is answered.
type client struct {
	said  *bytes.Reader
	heard bytes.Buffer
}

func (c *client) Read(p []byte) (int, error)  { return c.said.Read(p) }
func (c *client) Write(p []byte) (int, error) { return c.heard.Write(p) }

var errWrong = errors.New("wrong")

func only(right string) func([]byte) error {
	return func(shown []byte) error {
		if string(shown) != right {
			return errWrong
		}
		return nil
	}
}

// What clients say and what they are answered.
func TestHandshakes(t *testing.T) {
	const none, both, pass = "\x01\x00", "\x02\x00\x02", "\x01\x02"
	const name = "\x05\x01\x00\x03\x0bexample.com\x01\xbb"
	for what, c := range map[string]struct {
		said     string
		password string // that is asked for
		heard    string
		to       string // "" when there is no request
		err      error
	}{
		"a name":                    {none + name, "", "\x05\x00", "example.com:443", nil},
		"a name as it may be":       {none + "\x05\x01\x00\x03\x0cEXAMPLE.com.\x01\xbb", "", "\x05\x00", "example.com:443", nil},
		"an IPv4 address":           {none + "\x05\x01\x00\x01\xc6\x12\x00\x10\x00\x50", "", "\x05\x00", "198.18.0.16:80", nil},
		"an IPv6 address":           {none + "\x05\x01\x00\x04\xfd\x53" + strings.Repeat("\x00", 13) + "\x10\x00\x50", "", "\x05\x00", "[fd53::10]:80", nil},
		"a mapped address":          {none + "\x05\x01\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01\x00\x50", "", "\x05\x00", "127.0.0.1:80", nil},
		"an address as a name":      {none + "\x05\x01\x00\x03\x09127.0.0.1\x00\x50", "", "\x05\x00", "127.0.0.1:80", nil},
		"a password":                {pass + "\x01\x01u\x05right" + name, "right", "\x05\x02\x01\x00", "example.com:443", nil},
		"a password without a user": {both + "\x01\x00\x05right" + name, "right", "\x05\x02\x01\x00", "example.com:443", nil},
		"a wrong password":          {both + "\x01\x01u\x05wrong" + name, "right", "\x05\x02\x01\x01", "", errWrong},
		"an empty password":         {both + "\x01\x01u\x00" + name, "right", "\x05\x02\x01\x01", "", errWrong},
		"no password":               {none + name, "right", "\x05\xff", "", ErrNoMethod},
		"a password for nobody":     {pass + "\x01\x01u\x03any" + name, "", "\x05\x02\x01\x00", "example.com:443", nil},
		"nothing asked of both":     {both + name, "", "\x05\x00", "example.com:443", nil},
		"GSSAPI only":               {"\x01\x01" + name, "", "\x05\xff", "", ErrNoMethod},
		"no methods":                {"\x00" + name, "", "\x05\xff", "", ErrNoMethod},
		"a password's version":      {pass + "\x02\x01u\x05right" + name, "right", "\x05\x02", "", ErrMalformed},
		"another version":           {none + "\x04\x01\x00\x03\x0bexample.com\x01\xbb", "", "\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00", "", ErrMalformed},
		"something reserved":        {none + "\x05\x01\x01\x03\x0bexample.com\x01\xbb", "", "\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00", "", ErrMalformed},
		"a kind that is none":       {none + "\x05\x01\x00\x02\x0bexample.com\x01\xbb", "", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", "", ErrMalformed},
		"cut in the methods":        {"\x05\x00", "", "", "", ErrMalformed},
		"cut in the password":       {pass + "\x01\x01u\x05rig", "right", "\x05\x02", "", ErrMalformed},
		"cut in the head":           {none + "\x05\x01", "", "\x05\x00", "", ErrMalformed},
		"cut before the port":       {none + name[:len(name)-1], "", "\x05\x00", "", ErrMalformed},
	} {
		in := &client{said: bytes.NewReader([]byte(c.said + "EARLY"))}
		if c.to == "" && strings.HasPrefix(what, "cut") {
			in.said = bytes.NewReader([]byte(c.said))
		}
		var ask func([]byte) error
		if c.password != "" {
			ask = only(c.password)
		}
		r, err := Accept(in, ask)
		if !errors.Is(err, c.err) || in.heard.String() != c.heard || (r != nil) != (c.to != "") || r != nil && r.To.String() != c.to {
			t.Errorf("%s: %v %v, answered %q", what, r, err, in.heard.String())
		}
		if rest, _ := io.ReadAll(in); r != nil && string(rest) != "EARLY" {
			t.Errorf("%s: %q is left", what, rest)
		}
	}
}

// hostile 20: a name with what no name has is none, whatever it ends in.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"evil.example\x00.example.com", "\x00example.com", "a\r\nb.example.com", "a b.example.com", "ex\x7fample.com", "", ".", "a..example.com", "-a.example.com",
		"127.1", "0x7f.1", "::1%lo", "[::1]", "a@example.com", "a/example.com", "ex\xc3\xa4mple.com", strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 127) + "b"} {
		in := &client{said: bytes.NewReader(append(append([]byte("\x01\x00\x05\x01\x00\x03"), byte(len(name))), name+"\x00\x50"...))}
		r, err := Accept(in, nil)
		var bad *AddressError
		if r != nil || !errors.As(err, &bad) || !strings.HasSuffix(in.heard.String(), "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00") {
			t.Errorf("%q: %v %v %q", name, r, err, in.heard.String())
		}
	}
	in := &client{said: bytes.NewReader([]byte("\x01\x00\x05\x01\x00\x01\x01\x01\x01\x01\x00\x00"))}
	if r, err := Accept(in, nil); r != nil || err == nil {
		t.Errorf("port 0: %v", r)
	}
}

// Whatever comes, what is returned is canonical, was let in, and leaves the
// client's next bytes alone; what is said is of SOCKS.
func FuzzSocks(f *testing.F) {
	for _, s := range []string{"\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb", "\x01\x02\x01\x01u\x05right\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x02\x00\x02\x01\x00\x05right\x05\x03\x00\x04" + strings.Repeat("\x01", 18)} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, said []byte, asks bool) {
		in := &client{said: bytes.NewReader(said)}
		let := false
		var ask func([]byte) error
		if asks {
			ask = func(b []byte) error {
				err := only("right")(b)
				let = err == nil
				return err
			}
		}
		r, err := Accept(in, ask)
		if (r == nil) == (err == nil) {
			t.Fatal(r, err)
		}
		heard := in.heard.Bytes()
		if len(heard) > 14 || len(heard) > 0 && (len(heard) < 2 || heard[0] != Version5 || heard[1] != methodNone && heard[1] != methodPassword && heard[1] != methodRefused) {
			t.Fatalf("said %q", heard)
		}
		if r == nil {
			return
		}
		if asks && (!let || heard[1] != methodPassword) {
			t.Fatal("let in without the password")
		}
		if h, err := dest.ParseHost(r.To.Host().String()); err != nil || h != r.To.Host() || r.To.Port() == 0 {
			t.Fatalf("%v is not canonical: %v", r.To, err)
		}
		read := len(said) - in.said.Len()
		if port := said[read-2 : read]; uint16(port[0])<<8|uint16(port[1]) != r.To.Port() {
			t.Fatalf("%d bytes were read, which do not end in the port", read)
		}
		if bytes.ContainsAny([]byte(r.To.String()), "\x00\r\n \t") {
			t.Fatalf("%q", r.To)
		}
	})
}
