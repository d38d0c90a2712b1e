package credentials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A member is one of a JSON body, named by a pointer (RFC 6901). The rest of the body
// stays as it is, byte for byte.
type member struct {
	plain
	pointer string
}

func (m member) String() string { return "json:" + m.pointer }

func (m member) check() error {
	if !strings.HasPrefix(m.pointer, "/") || !utf8.ValidString(m.pointer) {
		return fmt.Errorf("%q is not a JSON pointer, which begins with a slash", m.pointer)
	}
	for rest := m.pointer; ; {
		i := strings.IndexByte(rest, '~')
		if i < 0 {
			break
		}
		if rest = rest[i+1:]; rest == "" || rest[0] != '0' && rest[0] != '1' {
			return fmt.Errorf("%q is not a JSON pointer: after ~ stands 0 or 1", m.pointer)
		}
	}
	if len(m.names()) > maxPointer {
		return fmt.Errorf("a pointer has %d names at most", maxPointer)
	}
	return nil
}

const maxPointer = 16

func (m member) names() []string {
	names := strings.Split(m.pointer, "/")[1:]
	for i, n := range names {
		names[i] = strings.ReplaceAll(strings.ReplaceAll(n, "~1", "/"), "~0", "~")
	}
	return names
}

func isJSON(t string) bool { return t == "application/json" || strings.HasSuffix(t, "+json") }

// strip is part of put: nobody reads a body that gets nothing.
func (m member) strip(*Request) bool { return false }

func (m member) put(r *Request, v Value) error {
	b, err := r.bodyOf(isJSON)
	if err != nil {
		return err
	}
	var value []byte
	v.Secret.use(func(s []byte) { value, err = quoted(string(s)) })
	if err != nil {
		return err
	}
	if b, err = setMember(b, m.names(), value); err != nil {
		return unplaced("%v", err)
	}
	r.replace(b)
	return nil
}

// quoted is a text in JSON.
func quoted(s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, unplaced("the secret is not UTF-8, which JSON is")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return bytes.TrimSpace(b.Bytes()), err
}

var errJSON = errors.New("its body is not JSON that has one reading")

// A level is what one object or list has under a name.
type level struct {
	at, end int64 // of its value; less than 0 when there is none
	open    int64 // where members begin
	empty   bool
	list    bool
}

// look reads one level of a JSON text. A name that stands twice in one object, also in
// other letters, has no one reading.
func look(text []byte, name string) (level, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	l := level{at: -1, end: -1, empty: true}
	first, err := d.Token()
	if err != nil {
		return l, errJSON
	}
	l.open, l.list = d.InputOffset(), first == json.Delim('[')
	if !l.list && first != json.Delim('{') {
		return l, fmt.Errorf("its body has no object where %q is looked for", name)
	}
	for i := 0; d.More(); i++ {
		l.empty = false
		called := strconv.Itoa(i)
		if !l.list {
			k, err := d.Token()
			var ok bool
			if called, ok = k.(string); err != nil || !ok {
				return l, errJSON
			}
		}
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return l, errJSON
		}
		if !strings.EqualFold(called, name) {
			continue
		}
		if called != name || l.at >= 0 {
			return l, fmt.Errorf("%w: a name on the way to its credential stands there twice, or in other letters", errJSON)
		}
		l.end = d.InputOffset()
		l.at = l.end - int64(len(raw))
	}
	if _, err := d.Token(); err != nil { // what closes it
		return l, errJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return l, errJSON
	}
	return l, nil
}

// findMember returns where the value of a member is; less than 0 when there is none.
func findMember(text []byte, names []string) (at, end int64, err error) {
	l, err := look(text, names[0])
	if err != nil || l.at < 0 || len(names) == 1 {
		return l.at, l.end, err
	}
	at, end, err = findMember(text[l.at:l.end], names[1:])
	if err != nil || at < 0 {
		return -1, -1, err
	}
	return l.at + at, l.at + end, nil
}

// setMember returns a JSON text in which a member is what it is set to. Members on the
// way are made where there are none.
func setMember(text []byte, names []string, value []byte) ([]byte, error) {
	l, err := look(text, names[0])
	switch {
	case err != nil:
		return nil, err
	case l.at < 0 && l.list:
		return nil, fmt.Errorf("its body has a list without %q", names[0])
	case l.at < 0:
		for i := len(names) - 1; i > 0; i-- {
			value = fmt.Appendf(nil, "{%s:%s}", key(names[i]), value)
		}
		value = fmt.Appendf(nil, "%s:%s", key(names[0]), value)
		if !l.empty {
			value = append(value, ',')
		}
		l.at, l.end = l.open, l.open
	case len(names) > 1:
		if value, err = setMember(text[l.at:l.end], names[1:], value); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(text)+len(value))
	return append(append(append(out, text[:l.at]...), value...), text[l.end:]...), nil
}

// key is a name of a pointer, which was checked.
func key(name string) []byte {
	b, _ := quoted(name)
	return b
}
