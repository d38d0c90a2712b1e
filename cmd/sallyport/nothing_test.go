package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/cmd/sidecar"
	"sallyport/origin"
	"sallyport/origin/world"
	"sallyport/sandbox/netns"
)

// hostile 266: whoever enrols goes before it is told, so that nobody enrols ever again.
func TestUnfinishedEnrolments(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal a namespace without being in it")
	}
	p := newPlace(t, callers()[0], origin.Options{})
	dir := filepath.Join(filepath.Dir(p.dir), "run", "agent")
	s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
	ns := bare(t)
	defer ns.Close()
	socks, err := netns.Attach(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer socks.Close()
	token, err := os.ReadFile(filepath.Join(dir, sidecar.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	offer := func(heard bool) {
		t.Helper()
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(dir, sidecar.EnrolSocket), Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if err := socks.Offer(c, strings.TrimSpace(string(token)), true); err != nil {
			t.Fatal(err)
		}
		if !heard {
			return
		}
		if n, err := c.Read(make([]byte, 64<<10)); err != nil || n == 0 {
			t.Fatalf("%d %v", n, err)
		}
	}
	offer(true)
	offer(false) // the same may come again with what it has
	until(t, "a token for the next", func() bool { _, err := os.Stat(filepath.Join(dir, sidecar.TokenFile)); return err == nil })
	enrolHeld(t, dir)
	s.stop()
}

// hostile 266: the disk is full when a container comes.
func TestEnrolmentOnAFullDisk(t *testing.T) {
	tool(t, "curl", "curl")
	tool(t, "unshare", "util-linux")
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	if !world.Enter(t) {
		return
	}
	world.Addresses(t)
	p := newPlace(t, callers()[0], origin.Options{})
	state := filepath.Join(filepath.Dir(p.dir), "state")
	world.Disk(t, state, "1m")
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(p.dir), "run", "agent")
	s := p.sidecar(t, (&side{place: p, config: filepath.Join(filepath.Dir(p.dir), "sallyport.yaml")}).agent(""))
	fill, err := os.Create(filepath.Join(state, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1 << 16; n > 0; { // to the last byte
		if _, err := fill.Write(make([]byte, n)); err != nil {
			n /= 16
		}
	}
	_ = fill.Close()
	b := p.spawn(t, contained(p.who, "join", "--system-files", "no", "--enrol", dir, "--", "/bin/sh", "-c", fmt.Sprintf(
		`curl -sS -m 5 --resolve api.example.com:%[2]d:198.51.100.7 %[1]s | grep -o 'Tenant-Id":."[^"]*'`, p.https("api.example.com", "/echo"), p.origin.TLSPort))...)
	b.until("waiting for the sidecar")
	if out := b.out.String(); !strings.Contains(out, "the sidecar cannot keep the enrolment now") || strings.Contains(out, state) {
		t.Errorf("it is told: %s", out)
	}
	_ = os.Remove(fill.Name())
	b.until(`Tenant-Id":["t-1`)
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, b.out)
	}
	s.stop()
}
