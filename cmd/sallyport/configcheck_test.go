package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// What serve refuses of directories and addresses, config check says at its place, and
// makes nothing.
func TestConfigCheckLooksWhereServeDoes(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		base := filepath.Dir(p.dir)
		open, locked := filepath.Join(base, "open"), filepath.Join(base, "locked")
		for dir, mode := range map[string]os.FileMode{open: 0o777, locked: 0o755} {
			if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, mode)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(base, "plain"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(base, p.who.uid, -1); err != nil && os.Getuid() == 0 {
			t.Fatal(err)
		}
		long := filepath.Join(base, "made", strings.Repeat("l", 100))
		whole := func(state, socket, more string) string {
			return "state: " + state + "\ncontrol: {socket: " + socket + "}\n" + more + "\n"
		}
		state, socket := filepath.Join(base, "made", "state"), filepath.Join(base, "made", "run", "c.sock")
		for text, want := range map[string]string{
			whole(filepath.Join(base, "plain"), socket, ""):                                                       ":1:8: state: ",
			whole(filepath.Join(base, "plain", "x"), socket, ""):                                                  ":1:8: state: ",
			whole(filepath.Join(open, "x"), socket, ""):                                                           ":1:8: state: everybody may write the directory " + open,
			whole(state, filepath.Join(open, "c.sock"), ""):                                                       "control.socket: others can write the directory " + open,
			whole(state, long, ""):                                                                                "control.socket: " + long + " has ",
			whole(state, filepath.Join(base, "plain"), ""):                                                        "control.socket: " + filepath.Join(base, "plain") + " is there and is no socket",
			whole(state, socket, "sandboxes: [{name: a, explicit: {socket: "+long+"}}]"):                          "sandboxes[0].explicit.socket: " + long + " has ",
			whole(state, socket, "sandboxes: [{name: a, enrol: {dir: "+open+"}}]"):                                "sandboxes[0].enrol.dir: others can write the directory " + open,
			whole(state, socket, "sandboxes: [{name: a, explicit: {listen: \"192.0.2.1:31\", token: env:DOOR}}]"): "sandboxes[0].explicit.listen: 192.0.2.1:31: ",
		} {
			p.checked(t, text, want)
		}
		if p.who.uid != 0 {
			p.checked(t, whole(filepath.Join(locked, "x"), socket, ""), ":1:8: state: "+filepath.Join(locked, "x")+": it cannot be made: permission denied: name a directory of this user's as state, or let root start it")
			p.checked(t, whole(state, filepath.Join(locked, "c.sock"), ""), "control.socket: ")
		}
		if _, err := os.Stat(filepath.Join(base, "made", "state")); err == nil {
			t.Error("config check made a directory")
		}
		file := filepath.Join(base, "c.yaml")
		if err := os.WriteFile(file, []byte(whole(filepath.Join(open, "x"), long, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := p.exec("config", "check", "--elsewhere", file); out.code != 0 || out.stdout != file+": ok\n" {
			t.Errorf("for elsewhere: %+v", out)
		}
	})
}

// checked has config check refuse a configuration with a message, and serve with it too.
func (p *place) checked(t *testing.T, text, want string) {
	t.Helper()
	p.env = append(p.env[:len(p.env):len(p.env)], "DOOR="+strings.Repeat("d", 32))
	file := filepath.Join(filepath.Dir(p.dir), "c.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := p.exec("config", "check", file); out.code != 1 || !strings.Contains(out.stdout, want) || strings.Count(out.stdout, "\n") != 1 {
		t.Errorf("%s: %d %s%s\nwant %s", text, out.code, out.stdout, out.stderr, want)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(p.dir), "made")); err == nil {
		t.Errorf("%s: config check made a directory", text)
	}
	if out := p.exec("serve", "-c", file); out.code != 125 {
		t.Errorf("%s: serve takes it: %+v", text, out)
	}
	_ = os.RemoveAll(filepath.Join(filepath.Dir(p.dir), "made"))
}

// Everything that is wrong is said at once, whether it is the form or the meaning, and
// what is likely not meant is advice.
func TestConfigCheckSaysAll(t *testing.T) {
	p := newPlace(t, callers()[len(callers())-1], origin.Options{})
	file := filepath.Join(filepath.Dir(p.dir), "c.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("limits: {requests: many}\ndefault_policy: [nope]\ncredentials: [{name: x, sorce: env:X, bind: \"https://a.example\"}]\nsandboxes:\n  - {name: a, mood: sealed, policy: [nor]}\n  - {name: b, mode: open}\nstate: [x]\nnetwork: {allow_private: [10.0.0.1/8], upstream_ca: [/nothere.pem], resolve: {a.example: here}}\n")
	out := p.exec("config", "check", "--elsewhere", file)
	want := []string{
		":1:20: limits.requests: expected a whole number", ":2:18: default_policy[0]: there is no policy \"nope\"", ":3:15: credentials[0]: source is missing", ":3:25: credentials[0].sorce: there is no such key",
		":5:15: sandboxes[0].mood: there is no such key", ":5:38: sandboxes[0].policy[0]: there is no policy \"nor\"", ":6:12: sandboxes[1]: mode \"open\"", ":7:8: state: expected a text",
		":8:27: network.allow_private[0]: \"10.0.0.1/8\": the address has bits", ":8:54: network.upstream_ca: ", ":8:79: network.resolve.a.example: \"here\" is no address, such as 192.0.2.7",
	}
	for _, w := range want {
		if !strings.Contains(out.stdout, w) {
			t.Errorf("not said: %s", w)
		}
	}
	if out.code != 1 || strings.Count(out.stdout, "\n") != len(want) || strings.Contains(out.stdout, "--") {
		t.Errorf("%d\n%s", out.code, out.stdout)
	}
	write("control: {socket: /run/" + strings.Repeat("c", 60) + "/c.sock}\nsandboxes: [{name: a}]\n")
	out = p.exec("config", "check", "--elsewhere", file)
	for _, w := range []string{"advice: " + file + ":1:19: control.socket: commands can make no sandbox", "advice: " + file + ":2:20: sandboxes[0]: nothing can ever come in as a: it has neither enrol nor explicit", file + ": ok\n"} {
		if out.code != 0 || !strings.Contains(out.stdout, w) {
			t.Errorf("%d %s\nwant %s", out.code, out.stdout, w)
		}
	}
}
