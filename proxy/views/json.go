package views

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/policy"
)

// maxDepth is how many values a value may stand in.
const maxDepth = 64

// JSON reads one value, in UTF-8, without a name that occurs twice in one object,
// since parsers differ in which of the two they take (hostile 83), without halves of
// characters, without values in more than maxDepth others, and with numbers that are
// bounded (hostile 141). Numbers are json.Number.
func JSON(b []byte) (any, bool) {
	if !utf8.Valid(b) || !json.Valid(b) || halves(b) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, ok := jsonValue(d, 0)
	if !ok {
		return nil, false
	}
	_, err := d.Token()
	return v, errors.Is(err, io.EOF)
}

// halves reports whether a valid text has an escape that is half of a character,
// for which some parsers put another and which some leave out.
func halves(b []byte) bool {
	high := false
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		i++
		if b[i] != 'u' {
			if high {
				return true
			}
			continue
		}
		n, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 32)
		i += 4
		switch low := n >= 0xdc00 && n < 0xe000; {
		case err != nil || low != high:
			return true
		case low:
			high = false
		default:
			high = n >= 0xd800 && n < 0xdc00
		}
	}
	return high
}

func jsonValue(d *json.Decoder, depth int) (any, bool) {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, false
	}
	switch t {
	case json.Delim('['):
		out := []any{}
		for d.More() {
			v, ok := jsonValue(d, depth+1)
			if !ok {
				return nil, false
			}
			out = append(out, v)
		}
		_, err := d.Token()
		return out, err == nil
	case json.Delim('{'):
		out := map[string]any{}
		var letters map[string]bool // of the names, without their case
		for d.More() {
			k, err := d.Token()
			name, isName := k.(string)
			if err != nil || !isName {
				return nil, false
			}
			alike := folded(name)
			if letters[alike] { // servers that do not tell capitals from others take the one or the other
				return nil, false
			}
			if letters == nil {
				letters = map[string]bool{}
			}
			letters[alike] = true
			v, ok := jsonValue(d, depth+1)
			if !ok {
				return nil, false
			}
			out[name] = v
		}
		_, err := d.Token()
		return out, err == nil
	}
	n, isNumber := t.(json.Number)
	return t, !isNumber || policy.Bounded(n.String())
}

// folded is a name as strings.EqualFold takes it.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && r != 'k' && r != 'K' && r != 's' && r != 'S' {
			return unicode.ToLower(r)
		}
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return unicode.ToLower(least)
	}, name)
}
