package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/origin"
)

// Who may command, and keeps as many connections open as they like, keeps nobody
// else from the control socket: hostile 282.
func TestNobodyIsKeptFromTheControlSocket(t *testing.T) {
	tool(t, "python3", "python3")
	p := newPlace(t, callers()[0], origin.Options{})
	s := p.sidecar(t, "")
	s.anew(t, replace("control.sock}", "control.sock, users: [23456]}"))
	client := admin.NewClient(s.control)
	// Those of the user who runs it end themselves: the last is told so.
	var last net.Conn
	for range 65 {
		c, err := net.Dial("unix", s.control)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("GET /v1/watch HTTP/1.1\r\nHost: sallyport\r\n\r\n"))
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 512)
		n, err := c.Read(b)
		if last = c; err != nil || !strings.Contains(string(b[:n]), " 200 ") {
			if !strings.Contains(string(b[:n]), `"code":"busy"`) {
				t.Errorf("%s %v", b[:n], err)
			}
			last = nil
			break
		}
		_ = c.SetDeadline(time.Time{})
	}
	if last != nil {
		t.Error("connections are not bounded")
	}
	if os.Getuid() == 0 { // another's do not take root's room
		s.stop()
		s.begin()
		cmd := exec.Command("/usr/bin/python3", "-c", `
import socket, sys, time
held = []
for i in range(300):
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(5)
    try:
        c.connect(sys.argv[1])
        c.send(b"GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        c.recv(4096)
    except OSError: pass
    held.append(c)
print("held", flush=True)
time.sleep(60)
`, s.control)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Credential: &syscall.Credential{Uid: 23456, Gid: 23456, Groups: []uint32{}}}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		if n, err := out.Read(make([]byte, 8)); n == 0 {
			t.Fatal(err)
		}
		type told struct {
			st  admin.Status
			err error
		}
		got := make(chan told, 1)
		go func() { st, err := client.Status(t.Context()); got <- told{st, err} }()
		select {
		case x := <-got:
			if x.err != nil || !x.st.Ready {
				t.Errorf("%+v", x)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("another user keeps root from the control socket")
		}
		_ = cmd.Process.Kill()
	}
	s.stop()
	if os.Getuid() == 0 {
		found := false
		for _, e := range p.records() {
			found = found || e.Fields["event.name"] == string(audit.ControlRefused) && e.Fields["detail.reason"] == admin.Busy
		}
		if !found {
			t.Error("who had no room is not in the log")
		}
	}
}
