package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/origin"
)

// Names that are refused are refusals in the summary and in audit tail, as what comes of
// names that are told is.
func TestRefusedNames(t *testing.T) {
	tool(t, "dig", "bind9-dnsutils")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		out := p.sh([]string{"--mode", "sealed", "--bind", "orders.internal=https://10.2.3.4"}, "getent hosts evil.example; getent hosts orders.internal; dig +short TXT orders.internal")
		for _, want := range []string{"refused  dns evil.example", "NXDOMAIN: there is no such name inside", "refused  dns TXT orders.internal  no records: no rule of egress.dns grants them"} {
			if !strings.Contains(out.stderr, want) {
				t.Errorf("not in the summary: %s\n%s", want, out.stderr)
			}
		}
		if strings.Contains(out.stderr, "dns orders.internal") || strings.Contains(out.stderr, " 0 refused") {
			t.Errorf("the summary is %s", out.stderr)
		}
		all, denied := p.exec("audit", "tail", p.log).stdout, p.exec("audit", "tail", "--denied", p.log).stdout
		for _, want := range []string{"refused   sh  A evil.example. NXDOMAIN", "refused   sh  TXT orders.internal. NOERROR without records"} {
			if !strings.Contains(all, want) || !strings.Contains(denied, want) {
				t.Errorf("not in audit tail: %s\n%s\n%s", want, all, denied)
			}
		}
		if told := " AAAA orders.internal. NOERROR ["; !strings.Contains(all, "dns       sh "+told) || strings.Contains(denied, told) {
			t.Errorf("what was told is\n%s\n%s", all, denied)
		}
	})
}

// What the system says in words of its own is said in ours.
func TestSystemWords(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	if out := p.exec("policy", "check", "/nonexistent"); out.code != 1 || out.stdout != "/nonexistent: no such file or directory\n/nonexistent: not taken\n" {
		t.Errorf("%+v", out)
	}
	gone := filepath.Join(p.dir, "gone")
	cmd := exec.Command("/bin/sh", "-c", "mkdir "+gone+" && cd "+gone+" && rmdir ../gone && "+binary+" run -- true")
	cmd.Dir = p.dir
	if b, _ := cmd.CombinedOutput(); !strings.HasPrefix(string(b), "sallyport: the working directory, which the command would see, is gone or cannot be read: cd to another") {
		t.Errorf("%s", b)
	}
}
