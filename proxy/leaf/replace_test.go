package leaf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

const rotateIn = "SALLYPORT_TEST_ROTATE"

// TestMain rotates the CA of a directory and ends, when it is told to.
func TestMain(m *testing.M) {
	dir := os.Getenv(rotateIn)
	if dir == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // calls are counted for each thread
	i, err := Open(dir, Options{})
	if err == nil {
		var s *Successor
		if s, err = i.Successor(0, false); err == nil {
			err = i.Adopt(s)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// traced rotates in a process that strace watches, as far as it touches the files
// of the CA.
func traced(t *testing.T, dir string, args ...string) (out string, err error) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: apt-get install -y strace")
	}
	all := []string{"-f", "-y", "-o", filepath.Join(t.TempDir(), "trace"), "-P", dir}
	for _, f := range []string{keyFile, nextFile, oldFile, certFile} {
		all = append(all, "-P", filepath.Join(dir, f))
	}
	cmd := exec.Command("strace", append(append(all, args...), os.Args[0])...)
	cmd.Env = append(os.Environ(), rotateIn+"="+dir)
	said, err := cmd.CombinedOutput()
	if e := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &e) || e.ExitCode() >= 0) {
		t.Fatalf("%s%v", said, err)
	}
	b, rerr := os.ReadFile(all[3])
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(b), err
}

// hostile 200, 203: killed at any system call, a rotation has happened or has
// not; the CA is good either way, for those who trusted the one before as well,
// and of the old key nothing is left once it was.
func TestKilledRotation(t *testing.T) {
	kills, before, after := 0, 0, 0
	for _, call := range []string{"openat", "newfstatat", "fstat", "read", "write", "fchmod", "fchown", "fsync", "linkat", "renameat", "pwrite64", "unlinkat", "close"} {
		for n := 1; ; n++ {
			i, dir := lasting(t, Options{})
			old := i.CA().Certificate
			// Another name of the old key tells what becomes of it.
			copied := filepath.Join(filepath.Dir(dir), "copy")
			if err := os.Link(filepath.Join(dir, keyFile), copied); err != nil {
				t.Fatal(err)
			}
			key, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			trace, err := traced(t, dir, "-e", "inject="+call+":signal=KILL:when="+fmt.Sprint(n))
			killed := err != nil
			now, err := Open(dir, Options{})
			if err != nil {
				t.Fatalf("killed at %s %d: %v\n%s", call, n, err, trace)
			}
			left, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(dir, certFile)); err != nil || !bytes.Equal(b, now.CAPEM()) {
				t.Errorf("killed at %s %d: the copy of the certificate is another: %v", call, n, err)
			}
			if now.CA().Certificate.Equal(old) {
				before++
				if !bytes.Equal(left, key) {
					t.Errorf("killed at %s %d: the key that is in force was overwritten\n%s", call, n, trace)
				}
			} else {
				after++
				if len(bytes.Trim(left, "\x00")) > 0 {
					t.Errorf("killed at %s %d: the old key is still there\n%s", call, n, trace)
				}
			}
			rotate(t, now) // whatever was left does not stand in the way
			c, err := now.Leaf(t.Context(), host(t, "example.com"))
			if err != nil || trusts(old, c, now.CA().Certificate.NotBefore.Add(backdated)) != nil {
				t.Errorf("killed at %s %d: who trusts the CA before does not trust this: %v\n%s", call, n, err, trace)
			}
			names, err := filepath.Glob(filepath.Join(dir, keyFile+"*"))
			if err != nil || len(names) != 1 {
				t.Errorf("killed at %s %d: %v are left", call, n, names)
			}
			if !killed {
				break
			}
			kills++
		}
	}
	t.Logf("%d kills, of which %d before the rotation", kills, before)
	if kills < 20 || before < 5 || after < 5 {
		t.Errorf("only %d kills, %d before the rotation and %d after", kills, before, after)
	}
}

// hostile 203: power may fail as well. The new file is on disk before it has the
// name, and the old key is overwritten when the disk knows of the new name.
func TestRotationOrder(t *testing.T) {
	_, dir := lasting(t, Options{})
	trace, err := traced(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	rest := trace
	for _, step := range []string{`write\(\d+<DIR/ca\.key\.next>`, `fsync\(\d+<DIR/ca\.key\.next>`, `linkat\(.*DIR/ca\.key.*DIR/ca\.key\.old`, `rename(at2?)?\(.*DIR/ca\.key\.next.*DIR/ca\.key"`,
		`fsync\(\d+<DIR>`, `pwrite64\(\d+<DIR/ca\.key\.old>`, `fsync\(\d+<DIR/ca\.key\.old>`, `unlink(at)?\(.*DIR/ca\.key\.old`} {
		at := regexp.MustCompile(strings.ReplaceAll(step, "DIR", regexp.QuoteMeta(dir))).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%s does not come, or too early:\n%s", step, trace)
		}
		rest = rest[at[1]:]
	}
	if n := strings.Count(trace, "pwrite64("); n != 1 {
		t.Errorf("%d writes overwrite:\n%s", n, trace)
	}
}
