package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/origin"
)

// contained runs a command line of sallyport as the first process of a container
// without a network.
func contained(who caller, args ...string) []string {
	out := []string{"unshare", "--net", "--pid", "--fork", "--kill-child"}
	if who.uid != 0 || os.Getuid() != 0 {
		out = append(out, "--map-root-user")
	}
	return append(append(out, binary), args...)
}

func (s *side) agent(more string) string {
	dir := filepath.Join(filepath.Dir(s.config), "run", "agent")
	return fmt.Sprintf("sandboxes:\n  - {name: agent, labels: {team: web}, props: {tenant: t-1}, policy: [web], enrol: {dir: %s%s}}\n", dir, more)
}

// The entrypoint of a container seals it, and outlives its sidecar; when the
// container ends another takes its place.
func TestJoin(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		dir := filepath.Join(filepath.Dir(p.dir), "run", "agent")
		b := p.spawn(t, contained(p.who, "join", "--system-files", "no", "--enrol", dir, "--", "/bin/sh", "-c", fmt.Sprintf(
			`until_file() { while [ ! -e $1 ]; do sleep 0.02; done; }; c() { curl -sS --resolve api.example.com:%[2]d:198.51.100.7 -m 20 "$@"; }
			grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr '\n\t' '  '; env | grep -E 'SALLYPORT|SSL_CERT_FILE'; echo; kill -9 1; cat /proc/1/maps 2>&1 | head -1
			c %[1]s | grep -o 'Tenant-Id":."[^"]*'; c %[3]s; until_file go1; c %[1]s | grep -o 'Tenant-Id":."[^"]*' && echo again; until_file go2; exit 7`,
			p.https("api.example.com", "/echo"), p.origin.TLSPort, strings.Replace(p.http("api.example.com", "/"), "api.", "other.", 1)))...)
		b.until("waiting for the sidecar")
		s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
		b.until(`Tenant-Id":["t-1`)
		b.until("default_deny")
		out := b.out.String()
		if !strings.Contains(out, "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2") || strings.Contains(out, "SALLYPORT_") || !strings.Contains(out, "SSL_CERT_FILE=/") || !strings.Contains(out, "Permission denied") {
			t.Errorf("the workload: %s", out)
		}
		token := filepath.Join(dir, sidecar.TokenFile)
		if _, err := os.Stat(token); err == nil {
			t.Error("there is a token while a container is enrolled")
		}
		client := admin.NewClient(s.control)
		before, err := client.Get(t.Context(), "agent")
		if err != nil || before.Way != "join" {
			t.Fatalf("%+v %v", before, err)
		}
		s.kill()
		b.until("the sidecar is gone")
		b.tell("go1")
		s.begin()
		b.until("again")
		if _, err := os.Stat(token); err == nil {
			t.Error("there is a token after a restart, while a container is enrolled")
		}
		b.tell("go2")
		_ = b.cmd.Wait()
		if code := b.cmd.ProcessState.ExitCode(); code != 7 {
			t.Errorf("exit code %d: %s", code, b.out)
		}
		for range 500 { // the next container
			if _, err := os.Stat(token); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		next := p.spawn(t, contained(p.who, "join", "--system-files", "no", "--enrol", dir, "--", "/bin/sh", "-c",
			fmt.Sprintf(`curl -sS --resolve api.example.com:%[2]d:198.51.100.7 %[1]s | grep -o 'Tenant-Id":."[^"]*' && echo fresh`, p.https("api.example.com", "/echo"), p.origin.TLSPort))...)
		next.until("fresh")
		_ = next.cmd.Wait()
		after, err := client.Get(t.Context(), "agent")
		if err != nil || after.ID != before.ID {
			t.Errorf("%+v was %+v %v", after, before, err)
		}
		s.stop()
		for name, n := range map[string]int{"egress.sandbox.enrolled": 3, "egress.sandbox.released": 2} {
			if got := len(p.find(map[string]string{"event.name": name, "sandbox.id": before.ID, "sandbox.identity.method": "join"})); got != n {
				t.Errorf("%d of %s", got, name)
			}
		}
		p.noCanary(output{0, b.out.String(), ""}, output{0, s.b.out.String(), ""})
	})
}
