package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/origin"
)

// A sandbox outlives its sidecar: killed or stopped, nothing passes meanwhile, and
// when it is back everything goes on with the same identity, state and addresses.
func TestSidecarRestart(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "dig", "bind9-dnsutils")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		s := p.sidecar(t, "")
		u := p.https("api.example.com", "/echo")
		b := p.spawn(t, binary, "run", "--sidecar", s.control, "--name", "box", "--label", "team=web", "--prop", "tenant=t-1", "--policy", "web", "--", "/bin/sh", "-c", fmt.Sprintf(
			`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }
			dig +short first.example second.example api.example.com | tr '\n' ' '; echo names 1
			for i in 1 2 3 4; do echo "$i: $(curl -sS -m 20 %[1]s | grep -o 'Tenant-Id":."[^"]*')"; until_file go$i; done
			dig +short api.example.com new.example second.example first.example | tr '\n' ' '; echo names 2
			curl -sS %[1]s; echo; until_file end`, u))
		client := admin.NewClient(s.control)
		b.until(`1: Tenant-Id":["t-1`)
		before, err := client.Get(t.Context(), "box")
		if err != nil {
			t.Fatal(err)
		}
		s.kill()
		b.until("the sidecar is gone")
		b.tell("go1")
		time.Sleep(300 * time.Millisecond)
		if strings.Contains(b.out.String(), "2: ") {
			t.Errorf("something came without a sidecar:\n%s", b.out)
		}
		s.begin()
		b.until(`2: Tenant-Id":["t-1`) // what had connected meanwhile is served
		if err := func() error {
			_, err := client.Change(t.Context(), "box", admin.Patch{Props: map[string]any{"tenant": "t-2"}})
			return err
		}(); err != nil {
			t.Fatal(err)
		}
		b.tell("go2")
		b.until(`3: Tenant-Id":["t-2`)
		s.stop() // as an operator does
		s.begin()
		b.tell("go3")
		b.until(`4: Tenant-Id":["t-2`)
		paused := admin.Paused
		if _, err := client.Change(t.Context(), "box", admin.Patch{State: &paused}); err != nil {
			t.Fatal(err)
		}
		s.kill()
		s.begin()
		b.tell("go4")
		b.until("sallyport: paused")
		after, err := client.Get(t.Context(), "box")
		if err != nil || after.ID != before.ID || after.State != admin.Paused || !after.Created.Equal(before.Created) {
			t.Errorf("%+v is %+v %v", before, after, err)
		}
		names := func(n int) []string {
			b.until(fmt.Sprintf("names %d", n))
			line, _, _ := strings.Cut(b.out.String(), fmt.Sprintf("names %d", n))
			return strings.Fields(line[strings.LastIndex(line, "\n")+1:])
		}
		// No address means another name than it did.
		one, two := names(1), names(2)
		if len(one) != 3 || len(two) != 4 || one[2] != two[0] || one[1] != two[2] || one[0] != two[3] || two[1] == two[0] || two[1] == two[2] || two[1] == two[3] {
			t.Errorf("%v, then %v", one, two)
		}
		b.tell("end")
		if err := b.cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, b.out)
		}
		if all, err := client.List(t.Context(), nil); err != nil || len(all) != 0 {
			t.Errorf("%+v %v", all, err)
		}
		s.stop()
		if n := len(p.find(map[string]string{"event.name": "egress.sandbox.enrolled", "sandbox.id": before.ID})); n != 4 {
			t.Errorf("%d times enrolled", n)
		}
		if n := len(p.find(map[string]string{"event.name": "egress.control.change", "detail.action": "restore"})); n != 3 {
			t.Errorf("%d times restored", n)
		}
	})
}

// Two sidecars do not hand the same sandboxes out.
func TestSidecarsShareNothing(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.NewReplacer(p.log, p.log+"-2", s.control, s.control+"-2").Replace(string(text))
	if err := os.WriteFile(s.config+"-2", []byte(second), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := p.exec("serve", "-c", s.config+"-2"); out.code != 125 || !strings.Contains(out.stderr, "is another sidecar's, which runs") {
		t.Errorf("%+v", out)
	}
	s.stop()
}
