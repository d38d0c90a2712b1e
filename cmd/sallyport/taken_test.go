package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// takenOver builds serve with the way in that lets a test do what somebody does
// who took it over, and uses it for the rest of the test.
func takenOver(t *testing.T) {
	t.Helper()
	release := binary
	binary = filepath.Join(t.TempDir(), "sallyport")
	t.Cleanup(func() { binary = release })
	if err := build(binary, "-tags=takeover"); err != nil {
		t.Fatal(err)
	}
	for d := filepath.Dir(binary); d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
}

// A taken is a process that was taken over.
type taken struct {
	t *testing.T
	c *net.UnixConn
	r *bufio.Reader
}

func take(t *testing.T, path string) *taken {
	t.Helper()
	for range 500 {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			return &taken{t, c, bufio.NewReader(c)}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s is not there", path)
	return nil
}

// try has it attempt something and returns how that failed; 0 is that it did not.
func (k *taken) try(fd *os.File, order ...string) syscall.Errno {
	k.t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		k.t.Fatal(err)
	}
	var oob []byte
	if fd != nil {
		oob = unix.UnixRights(int(fd.Fd()))
	}
	_ = k.c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, _, err := k.c.WriteMsgUnix(text, oob, nil); err != nil {
		k.t.Fatal(err)
	}
	line, err := k.r.ReadString('\n')
	if err != nil {
		k.t.Fatalf("%v: %v", order, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		k.t.Fatal(err)
	}
	return syscall.Errno(n)
}

// The way in for TestTakenOver is in no release.
func TestReleaseIsNotTakenOver(t *testing.T) {
	files := func(flags ...string) []string {
		t.Helper()
		out, err := exec.Command("go", append(append([]string{"list"}, flags...), "-f", "{{join .GoFiles \"\\n\"}}", ".")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	symbols := func(path string) (n int) {
		t.Helper()
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		all, err := f.Symbols()
		if err != nil || len(all) < 1000 {
			t.Fatal(len(all), err)
		}
		for _, s := range all {
			if s.Name == "main.obey" {
				n++
			}
		}
		return n
	}
	marked := func(path string) bool {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(b, []byte("SALLYPORT_TAKEOVER"))
	}
	if slices.Contains(files(), "takeover.go") || symbols(binary) != 0 || marked(binary) {
		t.Error("the release can be taken over by its environment")
	}
	takenOver(t)
	if !slices.Contains(files("-tags=takeover"), "takeover.go") || symbols(binary) != 1 || !marked(binary) {
		t.Error("the search finds nothing where there is something")
	}
}
