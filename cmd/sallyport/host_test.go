package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
	"sallyport/sandbox/netns"
)

// A socket of the host in what is shown is a way out that no namespace closes:
// hostile 167.
func TestHostSockets(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		shown := filepath.Join(filepath.Dir(p.dir), "shown")
		if err := os.Mkdir(shown, 0o755); err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, d := range []string{p.dir, shown} {
			path := filepath.Join(d, "host.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		out := p.python([]string{"--mode", "sealed", "--mount", shown}, fmt.Sprintf(confined+"\nfor p in (%q, %q): print(os.path.exists(p)); unix(p)\n", paths[0], paths[1]))
		if strings.Contains(out.stdout, "CONNECTED") || strings.Count(out.stdout, "unix 13\n") != 2 { // what covers it cannot be written
			t.Errorf("%+v", out)
		}
	})
}

// What sallyport reads and writes stays what it was named as: hostile 168.
func TestNothingIsTakenOver(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for _, d := range []string{"x/policy", "s", "plain"} {
			if err := os.MkdirAll(filepath.Join(p.dir, d), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		_ = exec.Command("chmod", "-R", "a+rwX", p.dir).Run()
		policy, secret := filepath.Join(p.dir, "x/policy/p.rego"), filepath.Join(p.dir, "s/token")
		for f, text := range map[string]string{policy: "package egress\n\nallow if input.request.path == \"/only\"\n", secret: canary} {
			if err := os.WriteFile(f, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		p.log = filepath.Join(p.dir, "logs", "run") // is not there yet
		flags := []string{"--policy", filepath.Dir(policy), "--credential", "api=file:" + secret + "@" + p.https("api.example.com", "")}
		out := p.sh(flags, "ls -A x/policy s logs/run; cat s/token; for d in x s logs x/policy logs/run; do mv $d .$(basename $d) && echo MOVED $d; rmdir $d && echo REMOVED; done; ln -s /etc x/policy/y && echo LINKED; echo x > logs/run/seg-00000000000000000001.ndjson && echo FORGED; mv plain fine && echo end")
		for _, bad := range []string{"MOVED", "REMOVED", "LINKED", "FORGED", "p.rego\n", "seg-0", canary} {
			if strings.Contains(out.stdout, bad) {
				t.Errorf("%s in %+v", bad, out)
			}
		}
		if !strings.HasSuffix(out.stdout, "end\n") {
			t.Errorf("%+v", out)
		}
		p.verified()
		// A link on the way could be replaced.
		if err := os.Symlink("x/policy", filepath.Join(p.dir, "link")); err != nil {
			t.Fatal(err)
		}
		out = p.sh([]string{"--policy", filepath.Join(p.dir, "link")}, "echo ran")
		if out.code != 125 || !strings.Contains(out.stderr, "leads through the link") || strings.Contains(out.stdout, "ran") {
			t.Errorf("%+v", out)
		}
	})
}

// What is shown is no more than it has to be: hostile 169.
func TestShownIsLittle(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		home := filepath.Join(filepath.Dir(p.dir), "home")
		for f, mode := range map[string]os.FileMode{".pulumi/bin/tool": 0o755, ".pulumi/credentials.json": 0o600, ".pyenv/bin/py": 0o755, ".pyenv/lib/needed": 0o644} {
			path := filepath.Join(home, f)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+f+"\n"), mode); err != nil {
				t.Fatal(err)
			}
			if p.who.uid != 0 {
				_ = os.Chown(path, p.who.uid, p.who.uid)
			}
		}
		env := p.env
		p.env = append(p.env, "PATH="+filepath.Join(home, ".pulumi/bin")+":"+filepath.Join(home, ".pyenv/bin")+":/usr/bin:/bin")
		out := p.sh(nil, "tool; py; cat ~/.pyenv/lib/needed; cat ~/.pulumi/credentials.json")
		p.env = env
		if strings.Contains(out.stdout, "credentials.json") || !strings.Contains(out.stdout, ".pulumi/bin/tool\n") || strings.Count(out.stdout, ".pyenv/lib/needed") != 1 {
			t.Errorf("%+v", out)
		}
		marker, err := os.CreateTemp("/tmp", "marker")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(marker.Name())
		for _, dir := range []string{"/var", "/tmp"} {
			cmd := exec.Command(binary, "run", "-q", "--audit", p.log, "--", "/bin/sh", "-c", "ls /var/lib; ls /tmp; echo end")
			cmd.Dir, cmd.Env = dir, p.env
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "marker") || strings.Contains(string(out), "dpkg") || !strings.HasSuffix(string(out), "end\n") {
				t.Errorf("in %s: %s %v", dir, out, err)
			}
		}
		in, err := os.Open(home)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd := exec.Command(binary, "run", "-q", "--audit", p.log, "--", "/bin/sh", "-c", "ls /proc/self/fd/0/..")
		cmd.Dir, cmd.Env, cmd.Stdin = p.dir, p.env, in
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "a standard stream is a directory") {
			t.Errorf("%s %v", out, err)
		}
	})
}

// A secret of which nothing is shown takes nothing from what is: HOME and the
// directories around are the command's as ever, and so is the CA beside a sidecar.
func TestSecretsElsewhere(t *testing.T) {
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		base := filepath.Dir(p.dir)
		for _, dir := range []string{base, filepath.Join(base, "home")} {
			secret := filepath.Join(dir, "token")
			if err := os.WriteFile(secret, []byte(canary), 0o644); err != nil {
				t.Fatal(err)
			}
			out := p.sh([]string{"--allow", p.at("api.example.com"), "--credential", "api=file:" + secret + "@" + p.https("api.example.com", "")},
				"touch ~/x made && curl -sS "+p.https("api.example.com", "/echo")+"; cat "+secret+" ~/token")
			if !strings.Contains(out.stdout, "[REDACTED:api]") || strings.Contains(out.stdout, canary) {
				t.Errorf("in %s: %+v", dir, out)
			}
		}
		spec := netns.Spec{Dir: p.dir, Home: filepath.Join(base, "home")}
		own, system := spec.Shown()
		if len(own) != 1 || own[0] != p.dir || len(system) == 0 {
			t.Errorf("shown are %v", own)
		}
	})
}

// A secret that is replaced from outside, as rotation does, does not show: hostile 172.
func TestRotatedSecretsDoNotShow(t *testing.T) {
	tool(t, "curl", "curl")
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	keys := filepath.Join(p.dir, "keys")
	if err := os.Mkdir(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(keys, "token")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(secret+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(secret+".new", secret); err != nil {
			t.Fatal(err)
		}
	}
	put("first-" + canary)
	b := p.start(t, nil, []string{"--allow", p.at("api.example.com"), "--credential", "api=file:" + secret + "@" + p.https("api.example.com", "")},
		"ls -A keys; cat keys/token; echo up; until_file go; ls -A keys; cat keys/token; curl -sS "+p.https("api.example.com", "/echo"))
	b.until("up")
	put("second-" + canary)
	b.tell("go")
	_ = b.cmd.Wait()
	if strings.Contains(b.out.String(), canary) || strings.Contains(b.out.String(), "token\n") || !strings.Contains(b.out.String(), "[REDACTED:api]") {
		t.Errorf("%s", b.out)
	}
	if seen := p.origin.Seen(); len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer second-"+canary {
		t.Errorf("the origin saw %+v", seen)
	}
}
