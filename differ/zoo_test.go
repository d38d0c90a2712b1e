package differ

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// Ports of every origin, at an address that it has for itself.
const (
	plainPort  = 18080
	tlsPort    = 18443 // HTTP/2 where the server has it
	tlsH1Port  = 18444 // HTTP/1.1 alone, where tlsPort has HTTP/2
	behindPort = 18181 // of the recorder behind nginx, apache and haproxy
)

// origins are the servers that are asked.
var origins = []string{"nginx", "apache", "haproxy", "h11", "node", "go"}

func fronts(name string) bool { return slices.Index(origins, name) < 3 }
func hasH2(name string) bool  { return fronts(name) || name == "go" }

// A zoo is a server of each kind. It writes down what each of them read.
type zoo struct {
	t        *testing.T
	Dir      string
	CA, Cert string // PEM files; Cert holds the key too
	addr     string // of the first; the next are at the next
	running  map[string]*exec.Cmd
	recorder *recorder
}

// At is where an origin listens; templates call it.
func (z *zoo) At(name string) string {
	return fmt.Sprintf("%s%d", z.addr, 10+slices.Index(origins, name))
}

// newZoo starts every server, and returns when each accepts connections.
func newZoo(t *testing.T) *zoo {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoo")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(dir, 0o755)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var b [2]byte
	_, _ = rand.Read(b[:])
	z := &zoo{t: t, Dir: dir, addr: fmt.Sprintf("127.%d.%d.", 64+b[0]/2, b[1]), running: map[string]*exec.Cmd{}}
	t.Cleanup(z.kill)
	z.certify()
	z.recorder = record(t, z)
	z.spawn("nginx", "nginx", "-e", filepath.Join(dir, "nginx.err"), "-p", dir, "-c", z.config("nginx"))
	z.spawn("apache", "apache2", "-X", "-f", z.config("apache"))
	z.spawn("haproxy", "haproxy", "-db", "-f", z.config("haproxy"))
	z.spawn("h11", append([]string{"/usr/bin/python3", z.testdata("server.py")}, z.own("h11")...)...)
	z.spawn("node", append([]string{"node", z.testdata("server.js")}, z.own("node")...)...)
	for _, o := range origins {
		z.await(o, plainPort)
		z.await(o, tlsPort)
	}
	return z
}

// own are the arguments of a server of our own.
func (z *zoo) own(name string) []string {
	return []string{z.At(name), fmt.Sprint(plainPort), fmt.Sprint(tlsPort), z.Cert, z.Cert, z.Log(name)}
}

// Log is the file to which a server writes what it reads.
func (z *zoo) Log(name string) string { return filepath.Join(z.Dir, name+".log") }

func (z *zoo) testdata(name string) string {
	p, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		z.t.Fatal(err)
	}
	return p
}

// config fills a server's configuration in.
func (z *zoo) config(name string) string {
	z.t.Helper()
	t, err := template.ParseFiles(z.testdata(name + ".conf"))
	if err != nil {
		z.t.Fatal(err)
	}
	var b bytes.Buffer
	at := map[string]any{"Zoo": z, "Name": name, "Plain": plainPort, "TLS": tlsPort, "TLSH1": tlsH1Port, "Behind": z.At(name) + fmt.Sprint(":", behindPort), "Root": os.Getuid() == 0}
	if err := t.Execute(&b, at); err != nil {
		z.t.Fatal(err)
	}
	return z.file(name+".conf", b.Bytes())
}

func (z *zoo) file(name string, text []byte) string {
	z.t.Helper()
	p := filepath.Join(z.Dir, name)
	if err := os.WriteFile(p, text, 0o644); err != nil {
		z.t.Fatal(err)
	}
	return p
}

func (z *zoo) spawn(name string, args ...string) {
	z.t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		path = filepath.Join("/usr/sbin", args[0])
	}
	out, err := os.Create(filepath.Join(z.Dir, name+".out"))
	if err != nil {
		z.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = z.Dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := cmd.Start(); err != nil {
		z.t.Fatalf("%s: %v", name, err)
	}
	z.running[name] = cmd
}

func (z *zoo) await(name string, port int) {
	z.t.Helper()
	for range 600 {
		c, err := net.Dial("tcp", net.JoinHostPort(z.At(name), fmt.Sprint(port)))
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	var said []byte
	for _, f := range []string{".out", ".err"} {
		b, _ := os.ReadFile(filepath.Join(z.Dir, name+f))
		said = append(said, b...)
	}
	z.t.Fatalf("%s does not listen:\n%s", name, said)
}

// stop ends the servers in good order, so that all that they read is written.
func (z *zoo) stop() {
	z.t.Helper()
	for name, cmd := range z.running {
		sig := syscall.SIGTERM
		if name == "nginx" {
			sig = syscall.SIGQUIT
		}
		_ = cmd.Process.Signal(sig)
	}
	for name, cmd := range z.running {
		t := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		t.Stop()
		delete(z.running, name)
	}
	z.recorder.stop()
}

func (z *zoo) kill() {
	for _, cmd := range z.running {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

// Modules are those of Apache that its configuration needs; templates call it.
func (z *zoo) Modules() []string {
	return []string{"mpm_event", "authz_core", "setenvif", "headers", "proxy", "proxy_http", "socache_shmcb", "ssl", "http2"}
}

// unescaped undoes what Apache does to what it logs.
func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'n', 'r', 't', 'b', 'f', 'v':
			b.WriteByte("\n\r\t\b\f\v"[strings.IndexByte("nrtbfv", c)])
		case 'x':
			var v byte
			if i+2 < len(s) {
				_, _ = fmt.Sscanf(s[i+1:i+3], "%02x", &v)
				i += 2
			}
			b.WriteByte(v)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
