package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/credentials"
)

// program writes one of the shell.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func source(t *testing.T, s Spec, r Runner) *Source {
	t.Helper()
	src, err := New(s, r, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func text(s credentials.Secret) (out string) {
	credentials.Reveal(s, func(b []byte) { out = string(b) })
	return out
}

// Each protocol: what a program is told, and how its answer is read.
func TestProtocols(t *testing.T) {
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for name, c := range map[string]struct {
		p                    Protocol
		host, program        string
		secret, user, second string
		ends                 bool
	}{
		"raw":               {Raw, "", "echo raw-secret-123", "raw-secret-123", "", "", false},
		"exec_credential":   {ExecCredential, "", `case $KUBERNETES_EXEC_INFO in *client.authentication.k8s.io/v1*) ;; *) exit 1;; esac; echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"exec-secret-123","expirationTimestamp":"` + soon.Format(time.RFC3339) + `"}}'`, "exec-secret-123", "", "", true},
		"aws":               {AWSProcess, "", `echo '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"aws-secret-123","SessionToken":"aws-session-123","Expiration":"` + soon.Format(time.RFC3339) + `"}'`, "aws-secret-123", "AKIDEXAMPLE", "aws-session-123", true},
		"git":               {Git, "git.example:8443", `[ "$1" = get ] || exit 1; while read l && [ -n "$l" ]; do set -- "$@" "$l"; done; [ "$2 $3" = "protocol=https host=git.example:8443" ] || exit 2; printf 'username=me\npassword=git=secret=123\npassword_expiry_utc=` + strconv.FormatInt(soon.Unix(), 10) + `\n'`, "git=secret=123", "me", "", true},
		"docker":            {Docker, "https://index.example", `[ "$1" = get ] || exit 1; read h; [ "$h" = https://index.example ] || exit 2; echo '{"ServerURL":"x","Username":"me","Secret":"docker-secret-123"}'`, "docker-secret-123", "me", "", false},
		"arguments as such": {Raw, "", `[ $# = 0 ] && [ "$(env | grep -v '^PWD=\|^_=\|^SHLVL=' | sort | tr '\n' ' ')" = "A=b " ] && [ "$(pwd)" = / ] && echo clean-secret-123`, "clean-secret-123", "", "", false},
	} {
		s := Spec{Protocol: c.p, Host: c.host, Args: []string{program(t, c.program)}}
		if name == "arguments as such" {
			s.Env = map[string]string{"A": "b"}
		}
		v, err := source(t, s, Here{}).Fetch(t.Context(), nil)
		user := v.Public["user"] + v.Public["access_key_id"]
		if err != nil || text(v.Secret) != c.secret || user != c.user || text(v.Others["session_token"]) != c.second || v.Expires.Equal(soon) != c.ends {
			t.Errorf("%s: %q %q %q until %s, %v", name, text(v.Secret), user, text(v.Others["session_token"]), v.Expires, err)
		}
	}
}

// What a program says wrongly is refused, and nothing of it repeated.
func TestWrongOutput(t *testing.T) {
	for said, p := range map[string]Protocol{
		"": Raw, "short": Raw, "hush-hush-1\nhush-hush-2": Raw,
		`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"hush-hush-1"}}`:                                  ExecCredential,
		`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientKeyData":"hush-hush-1"}}`:                               ExecCredential,
		`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"hush-hush-1","expirationTimestamp":"tomorrow-hush"}}`: ExecCredential,
		`{"Version":2,"AccessKeyId":"x","SecretAccessKey":"hush-hush-1"}`:                                                                                 AWSProcess,
		`{"Version":1,"accesskeyid":"x","SecretAccessKey":"hush-hush-1"}`:                                                                                 AWSProcess,
		`{"Version":1,"AccessKeyId":"x","SecretAccessKey":"hush-hush-1"} hush`:                                                                            AWSProcess,
		"username=hush": Git, "password=hush-hush-1\npassword=hush-hush-2": Git, "hush-hush-1": Git, "password=hush-hush-1\nquit=1": Git, "password=hush-hush-1\npassword_expiry_utc=hush": Git,
		`{"Username":"hush"}`: Docker, `["hush-hush-1"]`: Docker, `{"Secret":"hush-hush-1","Secret":"hush-hush-2"}`: Docker,
	} {
		s := Spec{Protocol: p, Args: []string{"/bin/printf", "%s", said}}
		if p.Asks() {
			s.Host = "h.example"
		}
		if p.Asks() { // a last argument comes behind
			s.Args = []string{program(t, "cat <<'E'\n"+said+"\nE\n")}
		}
		v, err := source(t, s, Here{}).Fetch(t.Context(), nil)
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s %q: %q %v", p, said, text(v.Secret), err)
		}
	}
	v, err := source(t, Spec{Protocol: Raw, Args: []string{program(t, "echo hush-hush-1; echo hush-hush-2 >&2; exit 3")}}, Here{}).Fetch(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "it ended with status 3, having said 12 bytes") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%q %v", text(v.Secret), err)
	}
}

// gone waits until no process of a number is left.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			st, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || strings.Contains(string(st), ") Z ") {
				break
			}
			if i == 500 {
				t.Errorf("%d is left", pid)
				_ = unix.Kill(pid, unix.SIGKILL)
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// 132: a program that hangs, floods, or leaves something behind is killed with all of
// it; and one that somebody else could replace is not run.
func TestHostilePrograms(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	for name, c := range map[string]struct{ program, want string }{
		"hangs":             {"echo $$ > " + pids + "; sleep 1000 & echo $! >> " + pids + "; wait", "did not end within"},
		"floods":            {"echo $$ > " + pids + "; while :; do echo 0123456789012345678901234567890123456789; done", "more than 65536 bytes"},
		"floods its errors": {"echo $$ > " + pids + "; while :; do echo 0123456789012345678901234567890123456789 >&2; done", "on its standard error"},
		"leaves one behind": {"sleep 1000 & echo $! > " + pids + "; echo a-secret-of-it", ""},
	} {
		v, err := source(t, Spec{Protocol: Raw, Args: []string{program(t, c.program)}, Timeout: 2 * time.Second}, Here{}).Fetch(t.Context(), nil)
		if c.want == "" && (err != nil || text(v.Secret) != "a-secret-of-it") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		gone(t, pids)
	}
	safe := program(t, "echo a-secret-of-it")
	for name, change := range map[string]func(string) error{
		"everybody's":     func(p string) error { return os.Chmod(p, 0o777) },
		"in an open one":  func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) },
		"a directory":     func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
		"no program":      func(p string) error { return os.Chmod(p, 0o600) },
		"gone":            os.Remove,
		"somebody else's": func(p string) error { return os.Lchown(p, 4711, 4711) },
	} {
		if name == "somebody else's" && os.Getuid() != 0 {
			continue
		}
		p := program(t, "echo a-secret-of-it")
		src := source(t, Spec{Protocol: Raw, Args: []string{p}}, Here{})
		if err := change(p); err != nil {
			t.Fatal(err)
		}
		if v, err := src.Fetch(t.Context(), nil); err == nil { // also when it changes later
			t.Errorf("%s: %q", name, text(v.Secret))
		}
		if _, err := New(Spec{Protocol: Raw, Args: []string{p}}, Here{}, os.Geteuid()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, s := range map[string]Spec{
		"a name":            {Protocol: Raw, Args: []string{"echo", "x"}},
		"a relative path":   {Protocol: Raw, Args: []string{"./echo"}},
		"nothing":           {Protocol: Raw},
		"no protocol":       {Args: []string{safe}},
		"no host":           {Protocol: Git, Args: []string{safe}},
		"a host for nobody": {Protocol: Raw, Host: "x", Args: []string{safe}},
		"a second line":     {Protocol: Git, Host: "x\npassword=y", Args: []string{safe}},
		"a variable":        {Protocol: Raw, Env: map[string]string{"A=B": "c"}, Args: []string{safe}},
		"too long":          {Protocol: Raw, Args: []string{safe}, Timeout: time.Hour},
	} {
		if _, err := New(s, Here{}, os.Geteuid()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// brokered starts a broker in this process.
func brokered(t *testing.T, table ...Spec) (*Client, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Broke(theirs) }()
	for i := range table {
		table[i] = table[i].Usual()
	}
	if err := Brief(ours, table); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(ours)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("the broker does not end with its connection")
		}
	})
	return c, ours
}

// 443: a broker runs what it was told of at its start, and nothing else, whatever
// the other side says; what is given up is killed.
func TestBroker(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	good := Spec{Protocol: Raw, Args: []string{program(t, "echo a-secret-of-it")}}
	hangs := Spec{Protocol: Raw, Args: []string{program(t, "echo $$ > "+pids+"; exec sleep 1000")}}
	c, _ := brokered(t, good, hangs)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if v, err := source(t, good, c).Fetch(t.Context(), nil); err != nil || text(v.Secret) != "a-secret-of-it" {
				t.Errorf("%q %v", text(v.Secret), err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 1000 {
			if b, _ := os.ReadFile(pids); len(b) > 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := source(t, hangs, c).Fetch(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	gone(t, pids)
	other := good
	other.Args = append(other.Args, "more")
	if _, err := New(other, c, os.Geteuid()); err == nil || !strings.Contains(err.Error(), "restart it") {
		t.Errorf("another program: %v", err)
	}
	if _, err := c.Run(t.Context(), other.Usual()); err == nil {
		t.Error("another program runs")
	}
}

// What is no question of the protocol ends the broker, or gives nothing.
func TestBrokerIsToldNonsense(t *testing.T) {
	good := Spec{Protocol: Raw, Args: []string{program(t, "echo a-secret-of-it; sleep 5")}}
	raw := func() (net.Conn, chan error) {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- Broke(theirs) }()
		if err := Brief(ours, []Spec{good.Usual()}); err != nil {
			t.Fatal(err)
		}
		return ours, done
	}
	for _, n := range []int{-1, 1, 1 << 30} {
		c, _ := raw()
		if err := send(c, ask{ID: 7, Program: n}); err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := receive(c, maxReply, &r); err != nil || r.Output.Failed == "" || r.ID != 7 {
			t.Errorf("%d: %+v %v", n, r, err)
		}
		_ = c.Close()
	}
	for name, b := range map[string][]byte{"too long": {0, 0x10, 0, 0}, "no JSON": {0, 0, 0, 1, 'x'}} {
		c, done := raw()
		go func() { _, _ = c.Write(b) }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s ends it well", name)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it goes on", name)
		}
		_ = c.Close()
	}
}
