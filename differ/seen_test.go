package differ

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
)

// A seen is one request as a server read it, or what a server could not read.
type seen struct {
	Origin   string      `json:"-"`
	Conn     string      `json:"conn"`
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Host     string      `json:"host"`
	Headers  [][2]string `json:"headers"`
	Trailers [][2]string `json:"trailers"`
	Complete bool        `json:"complete"`
	Size     int64       `json:"size"`
	SHA256   string      `json:"sha256"`
	Error    string      `json:"error"`

	log bool // a line of an access log, without headers and body
}

// all is each value of a field, in any spelling.
func (s *seen) all(name string) (out []string) {
	for _, h := range s.Headers {
		if strings.EqualFold(h[0], name) {
			out = append(out, h[1])
		}
	}
	return out
}

// seen collects what every server wrote down. It is for after stop.
func (z *zoo) seen() (out []seen) {
	z.t.Helper()
	for _, name := range origins {
		path := z.Log(name)
		if name == "haproxy" {
			path = strings.TrimSuffix(path, ".log") + ".out"
		}
		b, err := os.ReadFile(path)
		if err != nil && name != "go" {
			z.t.Fatal(err)
		}
		in := bufio.NewScanner(bytes.NewReader(b))
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			s, l := seen{Origin: name}, in.Text()
			if name == "haproxy" {
				var ok bool
				if l, ok = strings.CutPrefix(l, "read\t"); !ok { // of connections, and of itself
					continue
				}
			}
			if !fronts(name) {
				if err := json.Unmarshal(in.Bytes(), &s); err != nil {
					z.t.Fatalf("%s: %q: %v", name, in.Text(), err)
				}
			} else if !s.line(l) {
				z.t.Fatalf("%s: %q", name, in.Text())
			}
			out = append(out, s)
		}
	}
	z.recorder.mu.Lock()
	defer z.recorder.mu.Unlock()
	return append(out, z.recorder.seen...)
}

// line reads a line of an access log: connection, number, status, method,
// target, Host, case, what was judged, and the whole request line.
func (s *seen) line(l string) bool {
	f := strings.Split(l, "\t")
	if len(f) != 9 {
		return false
	}
	for i := range f {
		switch s.Origin {
		case "apache":
			f[i] = unescaped(f[i])
		default:
			var v string
			if json.Unmarshal([]byte(`"`+f[i]+`"`), &v) == nil {
				f[i] = v
			}
		}
		if f[i] == "-" {
			f[i] = ""
		}
	}
	s.log, s.Conn, s.Method, s.Target, s.Host = true, f[0], f[3], f[4], f[5]
	s.Headers = [][2]string{{"X-Case", f[6]}, {"X-Judged", f[7]}}
	if parts := strings.Split(f[8], " "); s.Origin == "apache" && len(parts) == 3 {
		s.Target = parts[1]
	}
	s.Complete = f[2] == "200"
	if f[3] == "" || f[2] == "400" || f[2] == "408" {
		s.Error = f[2] + " " + f[8]
	}
	return true
}
