package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// A decoder follows the types of File and notes what does not fit.
type decoder struct{ Problems }

func (d *decoder) syntax(err error) {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		p := y.GetToken().Position
		d.Add(Pos{p.Line, p.Column}, "", "%s", inWords(y.GetMessage()))
		return
	}
	d.Add(Pos{}, "", "%v", err)
}

func pos(n ast.Node) Pos {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return Pos{t.Position.Line, t.Position.Column}
	}
	return Pos{}
}

// kind is what a node is, in the words of a message.
func kind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.NullType:
		return "nothing"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType, ast.FloatType:
		if strings.HasPrefix(n.String(), "-") {
			return "a negative number"
		}
		return "a number"
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
		return "an anchor, alias or tag"
	}
	return "a text"
}

// entries returns the pairs of a mapping, or false.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalar returns the text of a scalar as it was written, or false.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) value(key string, n ast.Node, into reflect.Value) {
	wrong := func(want string) { d.Add(pos(n), key, "expected %s, found %s", want, kind(n)) }
	switch v := into.Addr().Interface().(type) {
	case *Text:
		s, ok := scalar(n)
		if !ok || s == "" {
			wrong("a text")
			return
		}
		*v = Text{s, pos(n)}
	case *Number:
		s, _ := scalar(n)
		u, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			wrong("a whole number that is not negative, such as 1000")
			return
		}
		*v = Number{int64(u), pos(n), true}
	case *Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			wrong("true or false")
			return
		}
		*v = Bool{b.Value, pos(n)}
	case *Duration:
		s, _ := scalar(n)
		t, err := time.ParseDuration(s)
		if err != nil || t <= 0 {
			wrong("a duration with its unit, such as 30s")
			return
		}
		*v = Duration{t, pos(n)}
	case *Size:
		s, _ := scalar(n)
		b, ok := parseSize(s)
		if !ok {
			wrong("a size with its unit, such as 64MiB")
			return
		}
		*v = Size{b, pos(n)}
	case *[]Binding:
		d.bindings(key, n, v)
	case *[]Pair:
		d.pairs(key, n, v)
	case *Tree:
		if _, ok := entries(n); !ok {
			wrong("a mapping")
			return
		}
		x := d.json(key, n)
		m, _ := x.(map[string]any)
		*v = Tree{m, pos(n)}
	default:
		if into.Kind() == reflect.Slice {
			d.list(key, n, into)
			return
		}
		d.object(key, n, into)
	}
}

func (d *decoder) list(key string, n ast.Node, into reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Add(pos(n), key, "expected a list, found %s", kind(n))
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values)))
	for i, e := range seq.Values {
		d.value(fmt.Sprintf("%s[%d]", key, i), e, into.Index(i))
	}
}

// object reads the keys that a struct has, each once, and no other.
func (d *decoder) object(key string, n ast.Node, into reflect.Value) {
	t := into.Type()
	if i := short(t); i >= 0 {
		if s, ok := scalar(n); ok && s != "" {
			into.Field(i).Set(reflect.ValueOf(Text{s, pos(n)}))
			return
		}
	}
	es, ok := entries(n)
	if !ok {
		d.Add(pos(n), key, "expected a mapping, found %s", kind(n))
		return
	}
	if at := into.FieldByName("At"); at.IsValid() && at.Type() == reflect.TypeFor[Pos]() {
		at.Set(reflect.ValueOf(pos(n)))
	}
	var known []string
	fields := map[string]int{}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "-" {
			continue
		}
		known, fields[name] = append(known, name), i
	}
	seen := map[string]bool{}
	for _, e := range es {
		name, isText := scalar(e.Key)
		i, ok := fields[name]
		switch {
		case !isText:
			d.Add(pos(e.Key), key, "a key is a text, not %s", kind(e.Key))
		case !ok:
			d.Add(pos(e.Key), join(key, name), "there is no such key%s; known here are %s", near(name, known), strings.Join(known, ", "))
		case seen[name]:
			d.Add(pos(e.Key), join(key, name), "the key stands twice")
		default:
			d.value(join(key, name), e.Value, into.Field(i))
		}
		seen[name] = true
	}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); t.Field(i).Tag.Get("need") != "" && !seen[name] {
			d.Add(pos(n), key, "%s is missing: %s", name, t.Field(i).Tag.Get("doc"))
		}
	}
}

// short is the field that a text stands for in the place of a mapping, or -1.
func short(t reflect.Type) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("short") != "" {
			return i
		}
	}
	return -1
}

func (d *decoder) pairs(key string, n ast.Node, into *[]Pair) {
	es, ok := entries(n)
	if !ok {
		d.Add(pos(n), key, "expected a mapping, found %s", kind(n))
		return
	}
	seen := map[string]bool{}
	for _, e := range es {
		k, ok := scalar(e.Key)
		v, okValue := scalar(e.Value)
		switch {
		case !ok:
			d.Add(pos(e.Key), key, "a key is a text, not %s", kind(e.Key))
		case seen[k]:
			d.Add(pos(e.Key), join(key, k), "the key stands twice")
		case !okValue:
			d.Add(pos(e.Value), join(key, k), "expected a text, found %s", kind(e.Value))
		default:
			*into = append(*into, Pair{Text{k, pos(e.Key)}, Text{v, pos(e.Value)}})
		}
		seen[k] = true
	}
}

// bindings reads a mapping of names to texts or objects.
func (d *decoder) bindings(key string, n ast.Node, into *[]Binding) {
	es, ok := entries(n)
	if !ok {
		d.Add(pos(n), key, "expected a mapping, found %s", kind(n))
		return
	}
	seen := map[string]bool{}
	for _, e := range es {
		name, ok := scalar(e.Key)
		b := Binding{Name: Text{name, pos(e.Key)}}
		to, short := scalar(e.Value)
		_, long := entries(e.Value)
		switch {
		case !ok:
			d.Add(pos(e.Key), key, "a key is a text, not %s", kind(e.Key))
		case seen[name]:
			d.Add(pos(e.Key), join(key, name), "the key stands twice")
		case short && to != "":
			b.To = Text{to, pos(e.Value)}
		case long:
			d.object(join(key, name), e.Value, reflect.ValueOf(&b).Elem())
		default:
			d.Add(pos(e.Value), join(key, name), "expected a text or a mapping, found %s", kind(e.Value))
		}
		*into = append(*into, b)
		seen[name] = true
	}
}

// json makes JSON values of a node.
func (d *decoder) json(key string, n ast.Node) any {
	if es, ok := entries(n); ok {
		out := map[string]any{}
		for _, e := range es {
			k, ok := scalar(e.Key)
			if _, twice := out[k]; !ok || twice {
				d.Add(pos(e.Key), join(key, k), "a key is a text and stands once")
				continue
			}
			out[k] = d.json(join(key, k), e.Value)
		}
		return out
	}
	switch n := n.(type) {
	case *ast.SequenceNode:
		out := make([]any, len(n.Values))
		for i, e := range n.Values {
			out[i] = d.json(fmt.Sprintf("%s[%d]", key, i), e)
		}
		return out
	case *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		switch i := n.Value.(type) {
		case int64:
			return json.Number(strconv.FormatInt(i, 10))
		case uint64:
			return json.Number(strconv.FormatUint(i, 10))
		}
	case *ast.FloatNode:
		if !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value) {
			return n.Value
		}
	}
	if s, ok := scalar(n); ok {
		return s
	}
	d.Add(pos(n), key, "%s has no place here", kind(n))
	return nil
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func parseSize(s string) (int64, bool) {
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		n      int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if t, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = strings.TrimSpace(t), u.n
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n * unit, err == nil && n > 0 && n <= math.MaxInt64/unit
}

// near is a hint at the key that was meant.
func near(name string, known []string) string {
	best, far := "", 3
	for _, k := range known {
		if n := levenshtein.ComputeDistance(name, k); n < far {
			best, far = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}
