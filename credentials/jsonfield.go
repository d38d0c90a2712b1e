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

// strip is part of put: nobody reads a body that gets nothing.
func (m member) strip(*Request) bool { return false }

func (m member) put(r *Request, v Value) error {
	b, err := r.bodyOf(func(t string) bool { return t == "application/json" || strings.HasSuffix(t, "+json") })
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

// setMember returns a JSON text in which a member is what it is set to. Members on the
// way are made where there are none. A name that stands twice in one object, also in
// other letters, has no one reading.
func setMember(text []byte, names []string, value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	first, err := d.Token()
	if err != nil {
		return nil, errJSON
	}
	open := d.InputOffset()
	at, end := int64(-1), int64(-1)
	switch first {
	case json.Delim('{'):
		empty := true
		for d.More() {
			empty = false
			k, err := d.Token()
			name, ok := k.(string)
			if err != nil || !ok {
				return nil, errJSON
			}
			var raw json.RawMessage
			if d.Decode(&raw) != nil {
				return nil, errJSON
			}
			if !strings.EqualFold(name, names[0]) {
				continue
			}
			if name != names[0] || at >= 0 {
				return nil, fmt.Errorf("%w: a name on the way to its credential stands there twice, or in other letters", errJSON)
			}
			end = d.InputOffset()
			at = end - int64(len(raw))
		}
		if at < 0 && end < 0 {
			at, end = open, open
			for i := len(names) - 1; i > 0; i-- {
				value = fmt.Appendf(nil, "{%s:%s}", key(names[i]), value)
			}
			value = fmt.Appendf(nil, "%s:%s", key(names[0]), value)
			if !empty {
				value = append(value, ',')
			}
			names = names[:1]
		}
	case json.Delim('['):
		want, err := strconv.Atoi(names[0])
		if err != nil || names[0] != strconv.Itoa(want) {
			return nil, fmt.Errorf("its body has a list where %q is looked for", names[0])
		}
		for i := 0; d.More(); i++ {
			var raw json.RawMessage
			if d.Decode(&raw) != nil {
				return nil, errJSON
			}
			if i == want {
				end = d.InputOffset()
				at = end - int64(len(raw))
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("its body has a list of fewer elements")
		}
	default:
		return nil, fmt.Errorf("its body has no object where %q is looked for", names[0])
	}
	if _, err := d.Token(); err != nil { // what closes it
		return nil, errJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	if len(names) > 1 {
		if value, err = setMember(text[at:end], names[1:], value); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(text)+len(value))
	return append(append(append(out, text[:at]...), value...), text[end:]...), nil
}

// key is a name of a pointer, which was checked.
func key(name string) []byte {
	b, _ := quoted(name)
	return b
}
