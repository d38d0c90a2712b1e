package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/origin"
)

// hostile 135: three sandboxes open connections until there is no descriptor for more.
// Another one is served, what it asks for is recorded, over the ends of segments too, and
// operators are answered. Then not even those are left that were kept: who is connected
// is served and recorded all the same. When it is over nothing is left of it.
func TestDescriptorsRunOut(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can seal what somebody else made")
	}
	runtime.LockOSThread() // a thread that ends would be the end of the sidecar's parent
	p := newPlace(t, callers()[0], origin.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })})
	s := p.sidecar(t, "")
	s.anew(t, replace("audit: {dir: "+p.log+"}", "audit: {dir: "+p.log+", segment: 16KiB}"))
	client := admin.NewClient(s.control)
	var greedy []*sealedBox
	for i := range 3 {
		greedy = append(greedy, s.boxed(client, fmt.Sprint("greedy-", i), "strict"))
	}
	other := s.boxed(client, "other", "strict")
	get := func(path, more string) string {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: api.example.com:%d\r\n%s\r\n", path, p.origin.PlainPort, more)
	}
	ask := func(c net.Conn, path string) error {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, get(path, "")); err != nil {
			return err
		}
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") || !strings.HasSuffix(string(b[:n]), "served") {
			return fmt.Errorf("%q: %w", b[:n], err)
		}
		return nil
	}
	served := func(when string) {
		t.Helper()
		if got := p.talk(t, other.ns, other.addr.String(), get("/"+when, "Connection: close\r\n")); !strings.HasSuffix(got, "served") {
			t.Errorf("%s, another sandbox: %q", when, got)
		}
		if st, err := client.Status(t.Context()); err != nil || !st.Ready {
			t.Errorf("%s, the control socket: %+v, %v", when, st, err)
		}
		until(t, when+", its record", func() bool {
			return len(p.find(map[string]string{"url.path": "/" + when, "sandbox.name": "other"})) > 0
		})
	}
	segments := func() int {
		all, _ := filepath.Glob(filepath.Join(p.log, "seg-*.ndjson"))
		return len(all)
	}
	limit := func(n int) {
		t.Helper()
		var l unix.Rlimit
		err := unix.Prlimit(s.b.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &l)
		if l.Cur = uint64(n); err == nil {
			err = unix.Prlimit(s.b.cmd.Process.Pid, unix.RLIMIT_NOFILE, &l, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	served("before")
	kept, err := other.dial(t, p.origin.PlainPort, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(kept[0], "/kept"); err != nil {
		t.Fatal(err)
	}
	before := s.settled()
	limit(before.fds + 300)
	var open []net.Conn
	refused := 0
	for _, b := range greedy { // one that is refused is reset
		for tried := 0; tried < 300; tried++ {
			cs, err := b.dial(t, p.origin.PlainPort, 1)
			if err == nil {
				err = ask(cs[0], "/")
			}
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				t.Fatal("neither served nor refused")
			case err != nil:
				refused++
			}
			open = append(open, cs...)
		}
	}
	most := s.usage()
	t.Logf("%d connections of three sandboxes, %d reset; %d descriptors of %d", len(open), refused, most.fds, before.fds+300)
	if refused < 500 || most.fds > before.fds+300-25 {
		t.Error("they had too many")
	}
	for i := range greedy {
		name := fmt.Sprint("greedy-", i)
		until(t, "the record of "+name, func() bool {
			return len(p.find(map[string]string{"policy.code": "no_descriptors", "sandbox.name": name})) > 0
		})
	}
	served("exhausted")
	free := 0 // the kernel gives no descriptor from here on
	for err := error(nil); err == nil; free++ {
		_, err = os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", s.b.cmd.Process.Pid, free+1))
	}
	limit(free + 25) // of those that are kept
	cs, err := other.dial(t, p.origin.PlainPort, 1)
	if err == nil {
		err = ask(cs[0], "/kept-from-it")
		_ = cs[0].Close()
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("what is kept was given away: %v", err)
	}
	until(t, "the record of it", func() bool {
		return len(p.find(map[string]string{"policy.code": "no_descriptors", "sandbox.name": "other"})) > 0
	})
	if st, err := client.Status(t.Context()); err != nil || !st.Ready {
		t.Errorf("the control socket, with what is kept: %+v, %v", st, err)
	}
	limit(free)
	begun := segments()
	for i := range 40 {
		if err := ask(kept[0], fmt.Sprintf("/none-%d?%s", i, strings.Repeat("x", 500))); err != nil {
			t.Fatalf("without any descriptor, request %d: %v", i, err)
		}
	}
	if n := segments() - begun; n < 2 {
		t.Errorf("%d segments were begun without a descriptor", n)
	}
	limit(before.fds + 300)
	for _, c := range append(open, kept...) {
		_ = c.Close()
	}
	var after usage
	for range 100 {
		if after = s.usage(); after.fds <= before.fds+8 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if after.fds > before.fds+8 {
		t.Errorf("%d descriptors before, %d afterwards", before.fds, after.fds)
	}
	served("afterwards")
	cs, err = greedy[0].dial(t, p.origin.PlainPort, 1)
	if err == nil {
		err = ask(cs[0], "/again")
		_ = cs[0].Close()
	}
	if err != nil {
		t.Errorf("one who had too many: %v", err)
	}
	for _, b := range append(greedy, other) {
		b.end()
	}
	s.stop()
	p.verified()
}
