package main

import (
	"os"
	"strings"
	"testing"

	"sallyport/origin"
)

// hostile 380: no way to write a user's number makes the command root on the host, or
// anybody else than who is written.
func TestUserIsWhoIsWritten(t *testing.T) {
	if os.Getuid() != 0 {
		for _, flag := range []string{"0", "4294967296", "1000"} { // only root chooses
			if _, _, err := workloadUser(flag); err == nil || !strings.Contains(err.Error(), "only root can choose") {
				t.Errorf("%s: %v", flag, err)
			}
		}
		return
	}
	p := newPlace(t, callers()[0], origin.Options{})
	for flag, want := range map[string]string{
		"0": "never root", "0:1000": "never root", "1000:0": "never root", "root": "never root", "00": "never root",
		"4294967296": "is no number", "1000:4294967296": "is no number", "4294967297": "is no number", "99999999999999999999": "is no number", "4294967295": "is no number",
		"-1": "is no number", "+1": "is no number", "1000:": "is no number", "1000:-1": "is no number", ":": "is no number", "nosuchuser": "there is no user",
	} {
		if out := p.exec("run", "-q", "--user", flag, "--", "id", "-u"); out.code != 125 || !strings.Contains(out.stderr, want) || out.stdout != "" {
			t.Errorf("run --user %s: %+v, not %q", flag, out, want)
		}
		if flag == "0" || flag == "root" { // who joins as root stays in a container that is root's already
			continue
		}
		if _, _, err := joinUser(flag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("join --user %s: %v, not %q", flag, err, want)
		}
	}
	if out := p.exec("run", "-q", "--user", "4294967294:23456", "--", "sh", "-c", "id -u; id -g"); out.stdout != "4294967294\n23456\n" {
		t.Errorf("%+v", out)
	}
}
