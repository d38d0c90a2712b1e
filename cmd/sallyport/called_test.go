package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/audit"
	"sallyport/origin"
	"sallyport/origin/calls"
)

const callPolicy = `package egress

allow if input.destination.host == "api.example.com"
---
package egress.message

deny contains {"code": "large", "public": "this is too much"} if {
	input.message.kind == "grpc"
	input.message.direction == "to_origin"
	input.message.size > 100000
}

deny contains "turn_of_theirs" if {
	input.request.grpc.method == "Chat"
	input.message.direction == "to_origin"
	input.message.size > 3
}

deny contains "turn_of_ours" if {
	input.request.grpc.method == "Greet"
	input.message.direction == "to_client"
	input.message.size > 3
}

deny contains "looked_into" if {
	input.request.grpc.method == "Count"
	input.message.body.x == 1
}
`

// hostile 303: each message of a gRPC call is judged before any of it passes, in
// streams too; one that is denied ends the call with a status that says why.
func TestCallsAreJudged(t *testing.T) {
	svc := calls.New()
	defer svc.Stop()
	each(t, origin.Options{Handler: svc}, func(t *testing.T, p *place) {
		p.buildCaller()
		dir := filepath.Join(filepath.Dir(p.dir), "policy")
		for i, text := range strings.Split(callPolicy, "---\n") {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.rego", i)), []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		out := p.run([]string{"--policy", dir}, "./caller", p.at("api.example.com"), "unary", "client", "gzip", "error", "large", "bidi", "first", "server")
		lines := strings.Split(strings.TrimSpace(out.stdout), "\n")
		want := []string{"unary ok", "client ok", "gzip ok", "error ok", "large PermissionDenied", "bidi PermissionDenied", "first PermissionDenied", "server PermissionDenied"}
		reasons := map[string]string{"large": "[sallyport large]", "bidi": "[sallyport turn_of_theirs]", "first": "[sallyport turn_of_ours]", "server": "[sallyport uncertain]"}
		if len(lines) != len(want) {
			t.Fatalf("%+v", out)
		}
		for i, l := range lines {
			shape, _, _ := strings.Cut(l, " ")
			if !strings.HasPrefix(l, want[i]) && !strings.Contains(l, strings.TrimPrefix(want[i], shape+" ")) || !strings.HasSuffix(l, reasons[shape]) {
				t.Errorf("%q, want %q %s", l, want[i], reasons[shape])
			}
		}
		if n := len(p.find(map[string]string{"event.name": string(audit.MessageDecision), "policy.phase": "message"})); n != 4 {
			t.Errorf("%d messages are recorded", n)
		}
		if n := len(p.find(map[string]string{"event.name": string(audit.RequestComplete), "error.type": "turn_of_ours", "event.outcome": "failure"})); n != 1 {
			t.Errorf("%d outcomes", n)
		}
		for _, e := range p.find(map[string]string{"event.name": string(audit.RequestComplete), "url.path": "/" + calls.Name + "/Collect"}) {
			if e.Int("messages.client_in") != 100 || e.Int("messages.client_out") != 1 {
				t.Errorf("%s", e)
			}
		}
		p.verified()
	})
}
