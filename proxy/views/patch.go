package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sallyport/policy"
)

// Patch returns a JSON value with edits that agree, as JSON. v stays as it is, and so
// do the digits of numbers. What is to be taken out and is not there is taken out; any
// other place that is not there is an error.
func Patch(v any, ps []policy.Patch) ([]byte, error) {
	for _, p := range ps {
		steps := strings.Split(p.Path, "/")[1:]
		for i := range steps {
			steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[i])
		}
		var err error
		if v, err = edited(v, steps, p); err != nil {
			return nil, fmt.Errorf("%s %s: %w", p.Op, p.Path, err)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// edited is a copy of v, as far as the edit reaches.
func edited(v any, steps []string, p policy.Patch) (any, error) {
	step, last := steps[0], len(steps) == 1
	switch v := v.(type) {
	case map[string]any:
		old, there := v[step]
		if !there && p.Op == "remove" {
			return v, nil
		}
		if !there && (!last || p.Op == "replace") {
			return nil, errAbsent
		}
		out := maps.Clone(v)
		switch {
		case !last:
			below, err := edited(old, steps[1:], p)
			out[step] = below
			return out, err
		case p.Op == "remove":
			delete(out, step)
		default:
			out[step] = p.Value
		}
		return out, nil
	case []any:
		return editedList(v, steps, p)
	}
	if p.Op == "remove" {
		return v, nil
	}
	return nil, errAbsent
}

var errAbsent = fmt.Errorf("there is no such place in the body")

func editedList(v []any, steps []string, p policy.Patch) (any, error) {
	last := len(steps) == 1
	i, err := strconv.Atoi(steps[0])
	if last && p.Op == "add" && steps[0] == "-" {
		i, err = len(v), nil
	} else if err == nil && strconv.Itoa(i) != steps[0] { // RFC 6901, 4: no zeros before it
		return nil, errAbsent
	}
	there := err == nil && i >= 0 && i < len(v)
	switch {
	case !there && p.Op == "remove":
		return v, nil
	case last && p.Op == "add" && err == nil && i >= 0 && i <= len(v):
		return slices.Insert(slices.Clone(v), i, p.Value), nil
	case !there:
		return nil, errAbsent
	case last && p.Op == "remove":
		return slices.Delete(slices.Clone(v), i, i+1), nil
	}
	out := slices.Clone(v)
	if last {
		out[i] = p.Value
		return out, nil
	}
	out[i], err = edited(v[i], steps[1:], p)
	return out, err
}
