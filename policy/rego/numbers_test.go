package rego

import (
	"errors"
	"strings"
	"testing"

	"sallyport/policy"
)

// hostile 141: a text that is read as numbers ends the evaluation where one is not
// bounded; what multiplies without a bound is no builtin.
func TestNumbersOfTexts(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		fails      bool
	}{
		{"sort(json.unmarshal(x))", `[2, 1.5e-3, -1e99]`, false},
		{"sort(json.unmarshal(x))", `[2, 1e100]`, true},
		{"json.unmarshal(x)", `{"a": {"b": [0, -1e-20000]}}`, true},
		{"json.unmarshal(x)", strings.Repeat("9", 129), true},
		{"json.unmarshal(x)", strings.Repeat("9", 128), false},
		{"yaml.unmarshal(x)", `{a: [` + strings.Repeat("9", 129) + `]}`, true},
		{"yaml.unmarshal(x)", `{a: [12]}`, false},
		{"to_number(x)", "1e200", true},
		{"to_number(x)", "1e20", false},
		{"to_number(x)", "hello", false},
		{"units.parse_bytes(x)", "12E", false},
		{"units.parse(x)", "9" + strings.Repeat("0", 128) + "E", true},
	} {
		p := load(t, "package egress\n\nallow if not bad\n\nbad if {\n\tx := input.request.body\n\tis_null("+c.rule+")\n}\n")
		q := question(t)
		q.Request.Body, q.Request.BodyState = c.text, policy.BodyParsed
		if d := p.Decide(t.Context(), q); c.fails != errors.Is(d.Err, errUnbounded) || c.fails == d.Granted() {
			t.Errorf("%s of %.40s: %v, granted %v", c.rule, c.text, d.Err, d.Granted())
		}
	}
	if _, err := Load(t.Context(), Options{Name: "test", Dir: write(t, map[string]string{"p.rego": "package egress\n\nallow if product([1]) == 1\n"})}); err == nil || !strings.Contains(err.Error(), "undefined function product") {
		t.Errorf("product: %v", err)
	}
}
