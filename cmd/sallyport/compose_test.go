package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/origin/world"
)

// stage puts what docker-compose.yml is made of into a directory of its own, with
// the binary that the other tests run.
func (d *dock) stage(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(d.dir, "bin"), 0o755))
	root, err := filepath.Abs("../..")
	must(err)
	must(os.CopyFS(filepath.Join(d.dir, "deploy"), os.DirFS(filepath.Join(root, "deploy"))))
	for to, from := range map[string]string{"bin/sallyport": binary, "Dockerfile": root + "/Dockerfile", ".dockerignore": root + "/.dockerignore",
		"docker-compose.yml": root + "/docker-compose.yml", "go.mod": root + "/go.mod", "go.sum": root + "/go.sum"} {
		b, err := os.ReadFile(overlaid(t, from))
		must(err)
		must(os.WriteFile(filepath.Join(d.dir, to), b, 0o755))
	}
	t.Setenv("GO_IMAGE", "local/tools")
	t.Setenv("WORKLOAD_IMAGE", "local/tools")
	t.Setenv("PREBUILT", "bin/sallyport")
	stdlib, err := exec.Command("python3", "-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])").Output()
	must(err)
	d.image("local/tools", []string{"/bin/sh", "curl", "sleep", "mkdir", "cp", "chmod", "chown", "python3"}, strings.TrimSpace(string(stdlib)), "/etc/ssl/certs")
}

// A workload of docker-compose.yml, and how its traffic comes in.
type workload struct{ name, way, user string }

var workloads = []workload{{"agent", "join", "10003"}, {"vm", "gateway", "10004"}, {"explicit", "explicit", "10002"}}

// overlaid is the file that mutants have in the place of one.
func overlaid(t *testing.T, path string) string {
	t.Helper()
	var o struct{ Replace map[string]string }
	for _, f := range strings.Fields(os.Getenv("SALLYPORT_BUILD_FLAGS")) {
		if from, ok := strings.CutPrefix(f, "-overlay="); ok {
			b, err := os.ReadFile(from)
			if err := errors.Join(err, json.Unmarshal(b, &o)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if other := o.Replace[path]; other != "" {
		return other
	}
	return path
}

// inside runs a command in a workload's container, as the workload's user.
func (d *dock) inside(w workload, args ...string) string {
	d.t.Helper()
	out, _ := d.try(append([]string{"docker", "exec", "-u", w.user, d.id(w.name)}, args...)...)
	return out
}

// serves waits until a workload is answered with the credential.
func (d *dock) serves(w workload) {
	d.t.Helper()
	var out string
	for range 60 {
		if out = d.inside(w, "curl", "-sS", "-m", "5", "https://orders.internal/orders"); strings.Contains(out, "4711") {
			break
		}
		time.Sleep(250 * time.Millisecond)
	}
	if !strings.Contains(out, `"authorization":"Bearer [REDACTED:orders]"`) || !strings.Contains(out, `"tenant":"t-`+w.name+`"`) {
		d.t.Fatalf("%s is not served: %s\n%s", w.name, out, d.do("docker-compose", "logs", "--no-color", "--tail", "30", w.name, "sidecar", "gateway", "relay"))
	}
}

// hostile 230 to 233: what `docker-compose up` starts. Three sandboxes, each with
// the sidecar as its only way out, which goes and comes.
func TestCompose(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a Docker daemon")
	}
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	d := docker(t)
	d.stage(t)
	d.do("docker-compose", "build", "-q", "sidecar", "agent")
	before := d.left()
	d.do("docker-compose", "up", "-d", "--no-build")

	// What the containers themselves say.
	for _, w := range workloads {
		var said string
		for range 120 {
			if said = d.do("docker", "logs", d.id(w.name)); strings.Count(said, "refused: ") > 0 {
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		for _, want := range []string{`allowed:      {"path":"/hello","tenant":"t-` + w.name + `"}`, `credentialed: {"authorization":"Bearer [REDACTED:orders]","orders":["4711","4712"]`, "refused:      sallyport: default_deny"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s does not say %s:\n%s", w.name, want, said)
			}
		}
	}
	if t.Failed() {
		t.Fatal(d.do("docker-compose", "logs", "--no-color", "--tail", "20"))
	}
	d.hardened(t)
	secret, err := os.ReadFile(filepath.Join(filepath.Dir(d.dir), "data/volumes/sallyport_origin/_data/token"))
	token := strings.TrimSpace(string(secret))
	if err != nil || len(token) < 20 {
		t.Fatalf("there is no token: %v", err)
	}

	// Nothing but the sidecar is reached, though there is something.
	host := listening(t)
	origin, sidecar := d.inspect("origin"), d.inspect("sidecar")
	net, of := "sallyport_upstream", origin.NetworkSettings.Networks
	addrs := []string{of[net].IPAddress + ":8080", sidecar.NetworkSettings.Networks[net].IPAddress + ":8080", "169.254.169.254:80", "[2001:db8::1]:80"}
	for _, ip := range []string{of[net].Gateway, "172.17.0.1"} {
		addrs = append(addrs, fmt.Sprintf("%s:%d", ip, host.port))
	}
	try := append([]string{"python3", "-c", probe}, addrs...)
	if out, _ := d.try(append([]string{"docker", "run", "--rm", "--network", net, "local/tools"}, try...)...); host.hits.Load() < 2 || !strings.Contains(out, `"path":"/hello"`) {
		t.Fatalf("what is to be reached is not there: %d hits, %s", host.hits.Load(), out)
	}
	around := func(when string) {
		t.Helper()
		host.hits.Store(0)
		outs := make([]string, len(workloads))
		var wg sync.WaitGroup
		for i, w := range workloads {
			wg.Go(func() { outs[i] = d.inside(w, try...) })
		}
		wg.Wait()
		for i, w := range workloads {
			out := outs[i]
			if host.hits.Load() != 0 || strings.Contains(out, `"path"`) || strings.Contains(out, "RAW") || strings.Contains(out, "TOKEN") || strings.Contains(out, "SOCKET") || strings.Contains(out, "control.sock") || strings.Count(out, "no raw socket") != 4 {
				t.Errorf("%s, %s: %d hits: %s", w.name, when, host.hits.Load(), out)
			}
			if inspected := d.do("docker", "inspect", d.id(w.name)); strings.Contains(inspected, token) {
				t.Errorf("%s is told the token", w.name)
			}
		}
	}
	around("beside the sidecar")

	// Without the sidecar there is no network, and with it again there is, in the
	// same containers.
	was := map[string]container{}
	for _, w := range workloads {
		was[w.name] = d.inspect(w.name)
	}
	d.do("docker", "kill", sidecar.ID)
	for _, w := range workloads {
		if out := d.inside(w, "curl", "-sS", "-m", "2", "https://orders.internal/hello"); !strings.Contains(out, "curl: (") {
			t.Errorf("%s has a network without the sidecar: %s", w.name, out)
		}
	}
	around("without the sidecar")
	d.do("docker", "start", sidecar.ID)
	for _, w := range workloads {
		d.serves(w)
		if is := d.inspect(w.name); is.ID != was[w.name].ID || is.State != was[w.name].State || is.RestartCount != 0 || !is.State.Running {
			t.Errorf("%s was restarted: %+v was %+v", w.name, is.State, was[w.name].State)
		}
	}

	// The records arrive, each with its identity, and none with the token.
	d.do("docker", "stop", sidecar.ID)
	records := d.do("docker", "logs", d.id("log"))
	for _, w := range workloads {
		for _, decision := range []string{"allow", "deny"} {
			if !regexp.MustCompile(`"sandbox.name":"` + w.name + `","sandbox.identity.method":"` + w.way + `".*"policy.decision":"` + decision + `"`).MatchString(records) {
				t.Errorf("there is no %s of %s, by %s", decision, w.name, w.way)
			}
		}
	}
	if all := d.do("docker-compose", "logs", "--no-color"); strings.Contains(all, token) {
		t.Error("the token is in what the containers say")
	}
	if out := d.do("docker", "exec", d.id("log"), "sallyport", "audit", "verify", "/var/lib/sallyport/audit"); !strings.Contains(out, "ends with its closing record") {
		t.Errorf("%s", out)
	}

	d.do("docker-compose", "down", "-v", "-t", "5")
	after := d.left()
	for range 20 { // the daemon's own helpers end by and by
		if slices.Equal(before, after) {
			break
		}
		time.Sleep(500 * time.Millisecond)
		after = d.left()
	}
	if !slices.Equal(before, after) {
		t.Errorf("what is left:\n%s\nwhat was:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// hardened looks at what the containers may do.
func (d *dock) hardened(t *testing.T) {
	t.Helper()
	caps := map[string]string{"agent": "NET_ADMIN SETUID SETGID", "gateway": "NET_ADMIN NET_BIND_SERVICE SYS_ADMIN SYS_PTRACE"}
	for _, service := range strings.Fields(d.do("docker-compose", "config", "--services")) {
		c := d.inspect(service)
		h := c.HostConfig
		if !h.ReadonlyRootfs || h.Privileged || strings.Join(h.CapDrop, " ") != "ALL" || strings.Join(h.CapAdd, " ") != caps[service] || !slices.Contains(h.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: %+v", service, h)
		}
		if root := c.Config.User == "" || strings.HasPrefix(c.Config.User, "0"); root != (caps[service] != "") {
			t.Errorf("%s runs as %q", service, c.Config.User)
		}
		if service == "sidecar" {
			status := d.do("docker", "exec", c.ID, "sallyport", "status", "--json")
			for _, want := range []string{`"uid": 10001`, `"effective": []`, `"permitted": []`, `"bounding": []`, `"no_new_privs": true`, `"seccomp": "filter"`} {
				if !strings.Contains(status, want) {
					t.Errorf("the sidecar's status has no %s: %s", want, status)
				}
			}
		}
		for _, m := range c.Mounts {
			if m.RW && service != "sidecar" && service != "origin" {
				t.Errorf("%s may write %s", service, m.Destination)
			}
		}
	}
}

// left is what there is in the world, and in the daemon's: links, mounts, processes,
// network namespaces, containers, networks and volumes.
func (d *dock) left() (out []string) {
	d.t.Helper()
	script := `tail -n +3 /proc/net/dev | cut -d: -f1 | sort; for p in /proc/[0-9]*; do echo "$(cat $p/comm) $(readlink $p/ns/net)"; done | grep -E ' net:' | grep -Ev '^(sh|grep|sort|uniq|cut|tail|nsenter) ' | sort | uniq -c; cut -d" " -f5 /proc/1/mountinfo | sort`
	p := fmt.Sprintf("/proc/%d/ns/", d.cmd.Process.Pid)
	for range 50 { // what has ended is reaped in a moment
		b, err := exec.Command("nsenter", "--pid="+p+"pid_for_children", "--mount="+p+"mnt", "/bin/sh", "-c", script).CombinedOutput()
		if err != nil {
			d.t.Fatalf("%s%v", b, err)
		}
		out = strings.Split(string(b), "\n")
		if !strings.Contains(string(b), "containerd-shim") && !strings.Contains(string(b), "sallyport") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, args := range [][]string{{"docker", "ps", "-aq"}, {"docker", "network", "ls", "-q"}, {"docker", "volume", "ls", "-q"}} {
		out = append(out, strings.Fields(d.do(args...))...)
	}
	return out
}
