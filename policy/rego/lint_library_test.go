package rego

import (
	"strings"
	"testing"
)

// warned are the warnings of a policy, as "line code message".
func warned(t *testing.T, files map[string]string) []string {
	t.Helper()
	r := Inspect(t.Context(), write(t, files))
	if !r.OK {
		t.Fatalf("%+v", r.Errors)
	}
	var out []string
	for _, w := range r.Warnings {
		out = append(out, strings.TrimSpace(w.Line)+" "+w.Code+": "+w.Message+"; "+w.Advice)
	}
	return out
}

// hostile 431: what a collection of hosts names and no host is ever called, or more than
// is meant, wherever the collection stands.
func TestEntriesThatNoHostHas(t *testing.T) {
	for entry, c := range map[string][2]string{ // by entry: what is warned of, and what to write
		"Example.com":         {"never_holds", `write "example.com"`},
		"example.com.":        {"never_holds", `write "example.com"`},
		"example.com:8443":    {"never_holds", `write "example.com", and ` + "`input.destination.port == 8443`"},
		"https://example.com": {"never_holds", "write a name such as"},
		"*example.com":        {"never_holds", "write a name such as"},
		"a.*.example.com":     {"never_holds", "write a name such as"},
		"*":                   {"never_holds", "write a name such as"},
		"*.Example.com":       {"never_holds", `write "*.example.com"`},
		"*.co.uk":             {"host_accident", "name the domains"},
		"*.com":               {"host_accident", "name the domains"},
		"example.com":         {},
		"*.example.com":       {},
		"192.0.2.1":           {},
		"2001:db8::1":         {},
	} {
		for place, files := range map[string]map[string]string{
			"a set":    {"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.host_in({\"" + entry + "\"})\n"},
			"a rule":   {"p.rego": "package egress\n\nimport data.sallyport.lib\n\nhosts := {\"" + entry + "\": true}\n\nallow if lib.host_in(hosts)\n"},
			"a helper": {"p.rego": "package egress\n\nimport data.sallyport.lib\nimport data.mine\n\nallow if lib.host_in(mine.hosts)\n", "m.rego": "package mine\n\nhosts contains \"" + entry + "\"\n"},
			"data":     {"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.host_in(data.hosts)\n", "data.json": `{"hosts": ["` + entry + `"]}`},
			"a key":    {"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.host_in(data.hosts)\n", "data.json": `{"hosts": {"` + entry + `": true}}`},
		} {
			got := strings.Join(warned(t, files), "\n")
			if c[0] == "" && got != "" || !strings.Contains(got, c[0]) || !strings.Contains(got, c[1]) {
				t.Errorf("%s in %s: %q", entry, place, got)
			}
		}
	}
	got := warned(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.host_within({\"*.example.com\"})\n\nallow if lib.path_under(\"/v1/*\")\n\nallow if lib.path_near(\"/v1?x=1\")\n\nallow if lib.path_under(\"/v1\")\n"})
	if len(got) != 3 || !strings.Contains(got[0], `write "example.com"`) || !strings.Contains(got[1], `write "/v1"`) || !strings.Contains(got[2], `write "/v1"`) {
		t.Errorf("%q", got)
	}
}

// hostile 432: `not` before a call about what is not there does not hold, so a rule that
// denies by it denies nothing.
func TestAbsentUnderNot(t *testing.T) {
	for condition, warns := range map[string]bool{
		`not lib.all_in(input.request.headers["x-purpose"], {"build"})`: true,
		`not startswith(input.request.query.kind[0], "a")`:              true,
		`not input.request.headers.accept[0] in {"a"}`:                  true,
		`not input.request.headers.accept[0] != "a"`:                    true,
		`not lib.host_in(data.nothing)`:                                 true,
		`not lib.any_in(input.sandbox.labels.team, {"a"})`:              true,
		`not input.request.headers.accept[0] == "a"`:                    false,
		`not input.request.method in {"GET"}`:                           false,
		`not lib.host_in({"a.example.com"})`:                            false,
		`not startswith(input.request.segments[0], "a")`:                false,
		`not build`: false,
		"x := input.request.query.kind[0]\n\tnot startswith(x, \"a\")": false,
	} {
		got := warned(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\nallow if lib.https\n\nbuild if input.request.headers.accept[0] in {\"b\"}\n\nreasons contains \"build\" if build\n\ndeny contains \"kind\" if {\n\t" + condition + "\n}\n"})
		if warns != (len(got) == 1 && strings.Contains(got[0], "absent: where there is no ") && strings.Contains(got[0], "denies nothing then")) || !warns && len(got) > 0 {
			t.Errorf("%s: %q", condition, got)
		}
	}
}

// hostile 98: an allow-list that has a service by which others are reached.
func TestRelaysAreWarnedOf(t *testing.T) {
	for rule, warns := range map[string]bool{
		`allow if input.destination.host == "translate.google.com"`:                               true,
		`allow if input.destination.host in {"a.example.com", "webhook.site"}`:                    true,
		`allow if "a.trycloudflare.com" in input.destination.host_suffixes`:                       true,
		"allow if data.hosts[input.destination.host]":                                             true,
		"allow if {\n\tsome s in input.destination.host_suffixes\n\tdata.hosts[s]\n}":             true,
		"allow if lib.host_in(data.hosts)":                                                        true,
		`allow if lib.host_in({"*.ngrok.io"})`:                                                    true,
		`allow if input.destination.host == "translate.example.com"`:                              false,
		`allow if lib.host_in({"ngrok.io"})`:                                                      false,
		"allow if lib.https\n\ndeny contains \"x\" if input.destination.host == \"webhook.site\"": false,
	} {
		got := warned(t, map[string]string{"p.rego": "package egress\n\nimport data.sallyport.lib\n\n" + rule + "\n\nreasons contains \"tls\" if lib.https\n", "data.json": `{"hosts": {"b.example.com": true, "r.jina.ai": true}}`})
		if warns != strings.Contains(strings.Join(got, "\n"), "open_relay: ") || !warns && len(got) > 0 {
			t.Errorf("%s: %q", rule, got)
		}
	}
}
