package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/origin"
)

// A moved is how many bytes a process moved by splice(2), and how many it read or
// wrote into memory of its own.
type moved struct{ spliced, copied int64 }

var returned = regexp.MustCompile(`(?m)(splice|read|write|readv|writev|recvfrom|sendto|recvmsg|sendmsg)(\(.*| resumed>.*)\) += (\d+)`)

// watched counts what a process does, from now until the function is called.
func watched(t *testing.T, pid int) func() moved {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace")
	var said bytes.Buffer
	cmd := exec.Command("strace", "-f", "-q", "-s", "0", "-o", out, "-e", "trace=splice,read,write,readv,writev,recvfrom,sendto,recvmsg,sendmsg", "-p", strconv.Itoa(pid))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 { // nobody but root may look into it, its own user included
		if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "not permitted") {
			t.Errorf("strace of another's process: %v: %s", err, &said)
		}
		return nil
	}
	until(t, "strace", func() bool {
		all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		for _, f := range all {
			b, err := os.ReadFile(f)
			if err == nil && !strings.Contains(string(b), fmt.Sprintf("TracerPid:\t%d\n", cmd.Process.Pid)) {
				return false
			}
		}
		return len(all) > 0
	})
	return func() (m moved) {
		_ = cmd.Process.Signal(unix.SIGINT)
		_ = cmd.Wait()
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatalf("%v: %s", err, &said)
		}
		for _, f := range returned.FindAllStringSubmatch(string(b), -1) {
			n, _ := strconv.ParseInt(f[3], 10, 64)
			switch {
			case f[1] == "splice":
				m.spliced += n
			case !strings.Contains(f[0], "MSG_PEEK"):
				m.copied += n
			}
		}
		return m
	}
}

// What passes in a tunnel does not pass through the proxy's memory: the kernel
// moves it both ways.
func TestTunnelsAreSpliced(t *testing.T) {
	tool(t, "strace", "strace")
	tool(t, "python3", "python3")
	const size = 64 << 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				if n, err := io.Copy(io.Discard, c); n == size && err == nil {
					for range size >> 20 {
						_, _ = c.Write(make([]byte, 1<<20))
					}
				}
			}()
		}
	}()
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		port := l.Addr().(*net.TCPAddr).Port
		b := p.start(t, nil, []string{"--tcp", fmt.Sprintf("api.example.com:%d", port)}, fmt.Sprintf(`/usr/bin/python3 -c '
import os, socket, time
s = socket.create_connection(("api.example.com", %d)); print("up", flush=True)
while not os.path.exists("traced"): time.sleep(.02)
b = bytes(1 << 20)
for i in range(%d): s.sendall(b)
s.shutdown(socket.SHUT_WR)
n = 0
while True:
    d = s.recv(1 << 20)
    if not d: break
    n += len(d)
print("done", n, flush=True)
'; until_file over`, port, size>>20))
		b.until("up")
		count := watched(t, b.cmd.Process.Pid)
		b.tell("traced")
		b.until(fmt.Sprint("done ", size))
		until(t, "a record that counts the bytes", func() bool {
			return len(p.find(map[string]string{"event.name": "egress.tunnel.close", "bytes.client_in": fmt.Sprint(size), "bytes.client_out": fmt.Sprint(size)})) == 1
		})
		b.tell("over")
		if count == nil {
			return
		}
		m := count()
		t.Logf("of %d MiB each way splice(2) moved %d MiB into pipes and out of them; %d KiB were read or written", size>>20, m.spliced>>20, m.copied>>10)
		if m.spliced != 4*size || m.copied > 256<<10 {
			t.Errorf("%+v", m)
		}
	})
}
