package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strconv"
	"time"
)

// An Object is what an answer says in JSON: names are exact and stand once. Errors
// about it never repeat a value.
type Object map[string]json.RawMessage

// Object reads the answer, if it is of one of these statuses and of JSON. The
// error of another status has its code, which stands in the field code, if it is
// one of known.
func (a *Answer) Object(at string, statuses []int, code string, known []string) (Object, error) {
	o, err := ParseObject(a.Body)
	if !slices.Contains(statuses, a.Status) {
		e := &Error{At: at, Status: a.Status}
		if s, no := o.Text(code); err == nil && no == nil && slices.Contains(known, s) {
			e.Code = s
		}
		return nil, e
	}
	if t, _, no := mime.ParseMediaType(a.Header.Get("Content-Type")); no != nil || t != "application/json" {
		return nil, fmt.Errorf("%s: its answer is not application/json", at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: its answer is %w", at, err)
	}
	return o, nil
}

// ParseObject reads one object of JSON, and nothing behind it.
func ParseObject(b []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("no object of JSON")
	}
	out := Object{}
	for d.More() {
		k, err := d.Token()
		name, ok := k.(string)
		if err != nil || !ok {
			return nil, errors.New("no object of JSON")
		}
		if _, twice := out[name]; twice {
			return nil, errors.New("an object of JSON that says a name twice")
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, errors.New("no object of JSON")
		}
		out[name] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("no object of JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("an object of JSON and more behind it")
	}
	return out, nil
}

// Has reports whether there is a field that is not null.
func (o Object) Has(name string) bool { return len(o[name]) > 0 && string(o[name]) != "null" }

// Text is a field that has to be a text that is not empty.
func (o Object) Text(name string) (string, error) {
	var s *string
	if json.Unmarshal(o[name], &s) != nil || s == nil || *s == "" {
		return "", fmt.Errorf("it has no text %s", name)
	}
	return *s, nil
}

// Sub is a field that has to be an object.
func (o Object) Sub(name string) (Object, error) {
	s, err := ParseObject(o[name])
	if err != nil {
		return nil, fmt.Errorf("it has no object %s", name)
	}
	return s, nil
}

// maxLife is longer than anything that ends is given for.
const maxLife = 10 * 365 * 24 * time.Hour

// Seconds is a field that says how long something lasts; zero when there is none. Some
// servers write the number as a text.
func (o Object) Seconds(name string) (time.Duration, error) {
	if !o.Has(name) {
		return 0, nil
	}
	t := string(o[name])
	if s, err := o.Text(name); err == nil {
		t = s
	}
	n, err := strconv.ParseUint(t, 10, 40)
	if err != nil || n == 0 || time.Duration(n) > maxLife/time.Second {
		return 0, fmt.Errorf("it has no seconds in %s", name)
	}
	return time.Duration(n) * time.Second, nil
}

// Time is a field that says a point of time as RFC 3339 does.
func (o Object) Time(name string) (time.Time, error) {
	s, err := o.Text(name)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.IsZero() || t.Year() < 2000 || time.Until(t) > maxLife {
		return time.Time{}, fmt.Errorf("it has no time in %s", name)
	}
	return t, nil
}
