package ship_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/audit/ship"
	"sallyport/audit/ship/syslog"
)

// rsyslog is Debian's server of syslog.
type rsyslog struct {
	dir, conf string
	port      int
	cmd       *exec.Cmd
	said      bytes.Buffer
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newRsyslog configures one with an input.
func newRsyslog(t *testing.T, input string) *rsyslog {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		t.Fatal("rsyslogd is missing: apt-get install -y rsyslog rsyslog-relp rsyslog-openssl")
	}
	r := &rsyslog{dir: t.TempDir(), port: freePort(t)}
	r.conf = filepath.Join(r.dir, "rsyslog.conf")
	text := fmt.Sprintf(`global(workDirectory="%[1]s" maxMessageSize="64k")
template(name="as_is" type="string" string="%%msg%%\n")
ruleset(name="in") { action(type="omfile" file="%[1]s/got" template="as_is") }
`, r.dir) + strings.ReplaceAll(input, "PORT", fmt.Sprint(r.port)) + "\n"
	if err := os.WriteFile(r.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd != nil {
			r.kill(t)
		}
	})
	return r
}

func (r *rsyslog) address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

func (r *rsyslog) begin(t *testing.T) {
	t.Helper()
	pid := filepath.Join(r.dir, "pid")
	_ = os.Remove(pid)
	r.cmd = exec.Command("rsyslogd", "-n", "-f", r.conf, "-i", pid)
	r.cmd.Stderr = &r.said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if c, err := net.Dial("tcp", r.address()); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("rsyslogd does not listen:\n%s", r.said.String())
}

// kill ends it as an operator does: what it has taken it writes.
func (r *rsyslog) kill(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(unix.SIGTERM)
	hung := time.AfterFunc(20*time.Second, func() { _ = r.cmd.Process.Kill() })
	_ = r.cmd.Wait()
	hung.Stop()
	r.cmd = nil
}

func (r *rsyslog) lines(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "got"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// hostile 153: what looks like a message in a record is a part of it.
func TestSyslogTCP(t *testing.T) {
	r := newRsyslog(t, `module(load="imtcp")
input(type="imtcp" port="PORT" address="127.0.0.1" ruleset="in")`)
	survives(t, syslog.NewTCP(syslog.Options{Address: r.address(), Form: syslog.Form{Facility: 13, App: "sallyport"}, Longest: 60 << 10}), r)
}

func TestSyslogTLS(t *testing.T) {
	ca, cert, key := certificate(t, "127.0.0.1")
	r := newRsyslog(t, fmt.Sprintf(`global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%s" defaultNetstreamDriverCertFile="%s" defaultNetstreamDriverKeyFile="%s")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="PORT" address="127.0.0.1" ruleset="in")`, ca, cert, key))
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	survives(t, syslog.NewTCP(syslog.Options{Address: r.address(), TLS: &tls.Config{RootCAs: pool}, Form: syslog.Form{Facility: 13, App: "sallyport"}, Longest: 60 << 10}), r)
	other := syslog.NewTCP(syslog.Options{Address: r.address(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
	if err := other.Send(t.Context(), []ship.Record{{Line: []byte("{}")}}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error("a server that is not who it should be:", err)
	}
}

func TestRELP(t *testing.T) {
	r := newRsyslog(t, `module(load="imrelp")
input(type="imrelp" port="PORT" address="127.0.0.1" ruleset="in" maxDataSize="64k")`)
	survives(t, syslog.NewRELP(syslog.Options{Address: r.address(), Form: syslog.Form{Facility: 13, App: "sallyport"}, Longest: 60 << 10}), r)
}

// hostile 153: a record that is longer than the server takes is rejected, not cut:
// the rest of it would stand where a message begins.
func TestSyslogLong(t *testing.T) {
	r := newRsyslog(t, `module(load="imtcp")
input(type="imtcp" port="PORT" address="127.0.0.1" ruleset="in")`)
	r.begin(t)
	s := syslog.NewTCP(syslog.Options{Address: r.address()})
	defer s.Close()
	record := func(n uint64, pad int) ship.Record {
		return ship.Record{Line: fmt.Appendf(nil, `{"event.id":"%d","event.sequence":%[1]d,"x":"%s<14>1 - forged"}`, n, strings.Repeat("x", pad)), Sequence: n, Time: time.Now()}
	}
	err := s.Send(t.Context(), []ship.Record{record(1, 10), record(2, 9000), record(3, 10)})
	no, ok := err.(*ship.RejectedError)
	if !ok || len(no.Which) != 1 || no.Which[0] != 1 {
		t.Fatal(err)
	}
	for range 100 {
		if len(r.lines(t)) == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if missing, _, wrong := compare(r.lines(t), 2); missing != 0 || wrong != 0 {
		t.Errorf("%q", r.lines(t))
	}
}
