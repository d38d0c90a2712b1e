package config

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

const whole = `# a sidecar
state: /tmp/state
control:
  socket: /tmp/control.sock
  users: [1000, 1001]
audit:
  dir: /tmp/log
  segment: 1MiB
policies:
  - {name: web, dir: policies/web}
default_policy: [web]
credentials:
  - name: github
    source: env:TOKEN
    bind: https://api.github.com
network:
  allow_private: [10.0.0.0/8]
  resolve:
    a.example: 10.0.0.1
sandboxes:
  - name: one
    labels: {team: web, tier: 1}
    props:
      tenant: {id: 7, tags: [a, b], open: true, none: null}
    mode: enforce
    bindings:
      pg.internal:5432: db.corp:5432
      orders.internal: {to: "https://10.2.3.4:8443/v1", tls: {ca: ca.pem}}
    explicit: {socket: /tmp/one.sock, user: 1000}
drain_timeout: 5s
`

func TestParse(t *testing.T) {
	f, err := Parse("x.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if f.State.S != "/tmp/state" || f.Control.Users[1].N != 1001 || f.Audit.Segment.N != 1<<20 || f.DrainTimeout.D != 5*time.Second {
		t.Errorf("%+v", f)
	}
	sb := f.Sandboxes[0]
	if sb.Labels[1] != (Pair{Text{"tier", Pos{22, 25}}, Text{"1", Pos{22, 31}}}) || sb.Bindings[0].Name.S != "pg.internal:5432" || sb.Bindings[0].To.S != "db.corp:5432" || sb.Bindings[1].TLS.CA != (Text{"ca.pem", Pos{28, 67}}) {
		t.Errorf("%+v", sb)
	}
	want := map[string]any{"tenant": map[string]any{"id": json.Number("7"), "tags": []any{"a", "b"}, "open": true, "none": nil}}
	if !reflect.DeepEqual(sb.Props.V, want) {
		t.Errorf("props are %v", sb.Props.V)
	}
	if f, err = Parse("x.yaml", []byte("# nothing\n")); err != nil || !reflect.DeepEqual(f, Default()) {
		t.Errorf("an empty file is %+v, %v", f, err)
	}
	for text, want := range map[string]string{"state: /srv/s": "/srv/s/audit", "state: /srv/s\naudit: {segment: 1MiB}": "/srv/s/audit", "state: /srv/s\naudit: {dir: /srv/a}": "/srv/a", "state: s": "/etc/x/s/audit", "audit: {dir: ../a}": "/etc/a"} {
		if f, err = Parse("/etc/x/x.yaml", []byte(text)); err != nil || f.Audit.Dir.S != want {
			t.Errorf("%s: the log is in %+v, %v", text, f, err)
		}
	}
	f, err = Parse("x.yaml", []byte("network: {resolvers: [udp://192.0.2.1, {url: \"tls://192.0.2.2#a\", ca: b}]}"))
	if r := f.Network.Resolvers; err != nil || r[0].URL.S != "udp://192.0.2.1" || r[0].CA.S != "" || r[1].URL.S != "tls://192.0.2.2#a" || r[1].CA.S != "b" {
		t.Errorf("%+v %v", r, err)
	}
	f, err = Parse("/etc/x/x.yaml", []byte("state: s\ncontrol: {socket: c.sock}\nsandboxes: [{name: a, explicit: {socket: run/a.sock}}, {name: b}]"))
	if err != nil || f.State.S != "/etc/x/s" || f.Control.Socket.S != "/etc/x/c.sock" || f.Sandboxes[0].Explicit.Socket.S != "/etc/x/run/a.sock" || f.Sandboxes[1].Explicit.Socket.S != "" {
		t.Errorf("paths start where the file is: %+v, %v", f, err)
	}
}

// Each wrong file is answered by place, problem and remedy.
func TestWrongFiles(t *testing.T) {
	for text, want := range map[string][]string{
		"state: [a":                          {"x.yaml:1:"},
		"stat: /x":                           {"x.yaml:1:1: stat: there is no such key (did you mean state?); known here are state, control,"},
		"- a":                                {"x.yaml:1:1: expected a mapping, found a list"},
		"just text":                          {"expected a mapping, found a text"},
		"state: {a: b}":                      {"x.yaml:1:8: state: expected a text, found a mapping"},
		"state:":                             {"state: expected a text, found nothing"},
		"state: a\nstate: b":                 {"2:1"},
		"control: /x":                        {"1:10: control: expected a mapping, found a text"},
		"control: {sock: /x}":                {"control.sock: there is no such key"},
		"control: {users: 5}":                {"control.users: expected a list, found a number"},
		"control: {users: [root]}":           {"control.users[0]: expected a whole number that is not negative, such as 1000, found a text"},
		"control: {users: [-1]}":             {"control.users[0]: expected a whole number"},
		"audit: {segment: large}":            {"audit.segment: expected a size with its unit, such as 64MiB, found a text"},
		"audit: {segment: 0}":                {"audit.segment: expected a size"},
		"audit: {segment: 9999999999999GiB}": {"audit.segment: expected a size"},
		"drain_timeout: 10":                  {"drain_timeout: expected a duration with its unit, such as 30s, found a number"},
		"drain_timeout: -1s":                 {"drain_timeout: expected a duration"},
		"policies: {web: x}":                 {"policies: expected a list, found a mapping"},
		"policies:\n  - dir: x":              {"x.yaml:2:5: policies[0]: name is missing: name that sandboxes use"},
		"policies:\n  - name: x":             {"2:11: policies[0]: dir is missing"},
		"policies: [{name: x, dir: y, verify: {}}]":                          {"policies[0].verify: key is missing"},
		"policies: [{name: x, dir: y, verify: file:k}]":                      {"1:38: policies[0].verify: expected a mapping, found a text"},
		"policies: [{name: x, dir: y, url: \"https://a\"}]":                  {"1:35: policies[0].url: dir stands beside it"},
		"policies: [{name: x, dir: y, token: \"env:A\"}]":                    {"1:37: policies[0].token: it is for a bundle that is published"},
		"policies: [{name: x, dir: y, poll: {wait: 5s}}]":                    {"policies[0].poll.wait: it is for a bundle that is published"},
		"policies: [{name: x, url: y, poll: {min: 5}}]":                      {"policies[0].poll.min: expected a duration with its unit"},
		"policies: [{name: x, url: y, poll: {min: 5s, max: 1s}}]":            {"1:51: policies[0].poll.max: it is less than min"},
		"policies: [{name: x, url: y, client_key: z}]":                       {"policies[0].client_cert: client_cert and client_key go together"},
		"policies: [{name: x, url: y, allow_rollback: 1}]":                   {"policies[0].allow_rollback: expected true or false"},
		"policies: [{name: x, dir: y, max_size: big}]":                       {"1:40: policies[0].max_size: expected a size"},
		"credentials:\n  - nam: x\n    bind: y":                              {"2:5: credentials[0].nam: there is no such key (did you mean name?)", "credentials[0]: name is missing", "source is missing"},
		"credentials: [{name: a, source: env:A, bind: b, as: {heder: x}}]":   {"1:54: credentials[0].as.heder: there is no such key (did you mean header?)"},
		"default_policy: web":                                                {"default_policy: expected a list"},
		"limits: {requests: many}":                                           {"limits.requests: expected a whole number that is not negative"},
		"limits: {requests: -1}":                                             {"limits.requests: expected a whole number that is not negative, such as 1000, found a negative number"},
		"limits: {conns: 5}":                                                 {"limits.conns: there is no such key", "known here are connections, requests, rate, tunnel_idle, tunnel_life"},
		"limits: {tunnel_idle: 900}":                                         {"1:23: limits.tunnel_idle: expected a duration with its unit, such as 30s, found a number"},
		"audit: {progress: often}":                                           {"1:19: audit.progress: expected a duration with its unit"},
		"sandboxes: [{name: a, limits: [5]}]":                                {"sandboxes[0].limits: expected a mapping, found a list"},
		"network: {allow_private: [{a: b}]}":                                 {"network.allow_private[0]: expected a text, found a mapping"},
		"network: {resolvers: [{ca: x}]}":                                    {"network.resolvers[0]: url is missing"},
		"network: {resolvers: [[x]]}":                                        {"network.resolvers[0]: expected a mapping, found a list"},
		"network: {resolvers: udp://192.0.2.1}":                              {"network.resolvers: expected a list, found a text"},
		"network: {destinations: [{ca: x}]}":                                 {"network.destinations[0]: match is missing"},
		"network: {destinations: [x]}":                                       {"network.destinations[0]: expected a mapping, found a text"},
		"network: {parents: [{match: x}]}":                                   {"network.parents[0]: proxy is missing"},
		"network: {parents: [{match: x, proxy: y, dns: z}]}":                 {"network.parents[0].dns: there is no such key"},
		"network: {no_proxy: x}":                                             {"network.no_proxy: expected a list"},
		"network: {timeouts: {connect: 5}}":                                  {"network.timeouts.connect: expected a duration with its unit"},
		"network: {timeouts: {conect: 5s}}":                                  {"network.timeouts.conect: there is no such key (did you mean connect?)"},
		"network: {resolve: [a]}":                                            {"network.resolve: expected a mapping, found a list"},
		"network: {resolve: {a: [b]}}":                                       {"network.resolve.a: expected a text, found a list"},
		"sandboxes: [{name: a, props: [x]}]":                                 {"sandboxes[0].props: expected a mapping, found a list"},
		"sandboxes: [{name: a, props: {x: .inf}}]":                           {"sandboxes[0].props.x:"},
		"sandboxes: [{name: a, labels: {x: {}}}]":                            {"sandboxes[0].labels.x: expected a text, found a mapping"},
		"sandboxes: [{name: a, bindings: [x]}]":                              {"sandboxes[0].bindings: expected a mapping, found a list"},
		"sandboxes: [{name: a, bindings: {x: [y]}}]":                         {"sandboxes[0].bindings.x: expected a text or a mapping, found a list"},
		"sandboxes: [{name: a, bindings: {x: {too: y}}}]":                    {"bindings.x.too: there is no such key (did you mean to?)", "bindings.x: to is missing"},
		"sandboxes: [{name: a, bindings: {x: {\"-\": y}}}]":                  {"bindings.x.-: there is no such key"},
		"sandboxes: [{name: a, bindings: {x: y, x: z}}]":                     {"1:40"},
		"sandboxes: [{name: a, bindings: {x: {tls: ca}}}]":                   {"bindings.x.tls: expected a mapping, found a text"},
		"sandboxes: [{name: a, via: {match: b}}]":                            {"sandboxes[0].via: expected a list, found a mapping"},
		"sandboxes: [{name: a, via: [{match: b}]}]":                          {"via[0]: to is missing", "via[0]: key is missing"},
		"sandboxes: [{name: a, via: [{match: b, credentials: yes please}]}]": {"via[0].credentials: expected true or false, found a text"},
		"sandboxes: [{name: &a b}]":                                          {"sandboxes[0].name: expected a text, found an anchor, alias or tag"},
		"state: !!str x":                                                     {"state: expected a text, found an anchor, alias or tag"},
		"state: a\n---\nstate: b":                                            {"x.yaml:3:1: a second document"},
		"\tstate: a":                                                         {"x.yaml:1:6: a tab; lines are indented with spaces"},
		"control:\n\tsocket: a":                                              {"x.yaml:2:1: a tab; lines are indented with spaces"},
		"default_policy: [a":                                                 {"a list that begins with [ does not end"},
		"control: {socket: a":                                                {"a mapping that begins with { does not end"},
		"state: \"a":                                                         {"a text in quotes does not end"},
		"state: a: b":                                                        {"a colon too many"},
		"control:\n  socket: a\n   users: [1]":                               {"x.yaml:2:11: a colon too many, or a next line that is indented otherwise"},
		"sandboxes:\n  - name: x\n   mode: y":                                {"x.yaml:3:4: this is indented otherwise"},
		"state: @a":                                                          {"unless it stands in quotes"},
		"stat: a\ncontrl: b\naudit: c":                                       {"1:1: stat:", "2:1: contrl:", "3:8: audit:"},
	} {
		_, err := Parse("x.yaml", []byte(text))
		var ps *Problems
		if !errors.As(err, &ps) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q is answered\n%v\nand not %q", text, err, w)
			}
		}
		for _, p := range ps.List {
			if p.Pos.Line == 0 {
				t.Errorf("%q: no place: %v", text, p)
			}
		}
	}
}

// What comes of a key that could not be read is not said beside it.
func TestProblemsFollow(t *testing.T) {
	_, form := draft("x.yaml", []byte("state: [x]\nsandboxes:\n  - {name: [x], enrol: {dri: /x}}\n  - {name: y}\n"))
	n := len(form.List)
	form.Formed()
	for key, follows := range map[string]bool{
		"state": true, "audit.dir": false, "sandboxes[0]": false, "sandboxes[0].name": true, "sandboxes[0].enrol": true, "sandboxes[0].enrol.dir": true,
		"sandboxes[0].policy[1]": false, "sandboxes[1].name": false, "stated": false,
	} {
		form.Add(Pos{}, key, "x")
		if got := len(form.List) == n; got != follows {
			t.Errorf("%s: %v", key, got)
		}
		n = len(form.List)
	}
}

func TestSchema(t *testing.T) {
	var s struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Properties) != reflect.TypeFor[File]().NumField() {
		t.Errorf("%d properties", len(s.Properties))
	}
	for k, p := range s.Properties {
		if p.Description == "" {
			t.Errorf("%s is not described", k)
		}
	}
}

// Whatever a file says, it is read or refused with a place.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("a: &x [*x]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x.yaml", []byte(text))
		if (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
