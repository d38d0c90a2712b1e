package main

import (
	"fmt"
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

	"sallyport/origin"
)

// descendants returns the processes below pid.
func descendants(pid int) (out []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		for _, f := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(f)
			out = append(append(out, n), descendants(n)...)
		}
	}
	return out
}

// workload returns the process of the command, which is the init's child.
func (b *background) workload() int {
	b.t.Helper()
	for range 200 {
		if d := descendants(b.cmd.Process.Pid); len(d) >= 2 {
			return d[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("there is no workload:\n%s", b.out)
	return 0
}

// enter runs a command in the user and network namespaces of a process, with
// NET_ADMIN over them, which nobody inside has.
const enter = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(r, what):
    if r != 0: sys.exit(what + ": " + os.strerror(ctypes.get_errno()))
fds = [os.open("/proc/%s/ns/%s" % (sys.argv[1], n), os.O_RDONLY) for n in ("user", "net")]
for fd in fds: check(libc.setns(fd, 0), "setns")
all = 1 << 12 | 1 << 13
check(libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", all, all, all, 0, 0, 0)), "capset")
for c in (12, 13): check(libc.prctl(47, 2, c, 0, 0), "ambient")
os.execvp(sys.argv[2], sys.argv[2:])
`

// With NET_ADMIN over the sealed namespace every rule can be flushed, and all
// that is achieved is that the door is shut.
func TestFlushedRules(t *testing.T) {
	tool(t, "nft", "nftables")
	tool(t, "python3", "python3")
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		b := p.start(t, nil, []string{"--allow", fmt.Sprintf("api.example.com:%d", p.origin.PlainPort)}, "echo up; until_file done")
		b.until("up")
		script := fmt.Sprintf(`nft list ruleset | grep -c tproxy
curl -sS -m 5 --resolve api.example.com:%[1]d:198.51.100.7 http://api.example.com:%[1]d/before
nft flush ruleset || echo NOT FLUSHED
nft list ruleset
ip link add v0 type dummy && ip addr add 198.51.100.9/24 dev v0 && ip link set v0 up
ip route replace default dev v0
for u in http://198.51.100.7:%[1]d/ http://127.0.0.1:%[1]d/ 'http://[2001:db8::1]/' http://1.1.1.1/; do curl -sS -g -m 2 $u && echo GOT OUT; done
echo x > /dev/udp/127.0.0.1/%[2]d`, p.origin.PlainPort, udp.LocalAddr().(*net.UDPAddr).Port)
		cmd := exec.Command("/usr/bin/python3", "-c", enter, fmt.Sprint(b.workload()), "bash", "-c", script)
		if p.who.uid != 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.who.uid), Gid: uint32(p.who.uid), Groups: []uint32{}}}
		}
		out, _ := cmd.CombinedOutput()
		lines := strings.SplitN(string(out), "\n", 2)
		if n, _ := strconv.Atoi(lines[0]); n < 1 || !strings.Contains(string(out), `"Target":"/before"`) {
			t.Fatalf("the rules were not seen: %s", out)
		}
		if strings.Contains(string(out), "GOT OUT") || strings.Contains(string(out), "NOT FLUSHED") || strings.Contains(lines[1], "tproxy") {
			t.Errorf("%s", out)
		}
		if n := len(p.origin.Seen()); n != 1 {
			t.Errorf("the origin saw %d requests", n)
		}
		_ = udp.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, _, err := udp.ReadFrom(make([]byte, 10)); err == nil {
			t.Errorf("%d bytes got out", n)
		}
		b.tell("done")
		_ = b.cmd.Wait()
		p.verified()
	})
}

// A namespace made inside has less than the sandbox, not more.
func TestNested(t *testing.T) {
	tool(t, "unshare", "util-linux")
	tool(t, "curl", "curl")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		script := fmt.Sprintf(`unshare -Ur sh -c 'echo userns $?; nft list ruleset 2>&1 | head -1; ip link set lo down 2>&1 | head -1'
unshare -Urn sh -c 'ip link set lo up; ip -o link | wc -l; curl -sS -m 3 http://127.0.0.1:%[1]d/ && echo GOT OUT; curl -sS -m 3 http://192.0.2.1/ && echo GOT OUT'
unshare -Urm sh -c 'umount /etc/resolv.conf; umount -l /proc/sys; mount -o remount,rw / && touch /x && echo WROTE'
echo end`, p.origin.PlainPort)
		out := p.sh([]string{"--nested"}, script)
		if !strings.Contains(out.stdout, "userns 0") || !strings.Contains(out.stdout, "\n1\n") || !strings.HasSuffix(out.stdout, "end\n") {
			t.Errorf("--nested does not let it: %+v", out)
		}
		if strings.Contains(out.stdout, "GOT OUT") || strings.Contains(out.stdout, "WROTE") || strings.Contains(out.stdout, "tproxy") || len(p.origin.Seen()) != 0 {
			t.Errorf("%+v", out)
		}
		if out := p.sh(nil, script); strings.Contains(out.stdout, "userns") {
			t.Errorf("without --nested: %+v", out)
		}
	})
}

// Signals reach the command, its code is ours, and what it leaves is reaped.
func TestSignalsAndOrphans(t *testing.T) {
	tool(t, "python3", "python3")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for sig, name := range map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP", syscall.SIGUSR1: "USR1", syscall.SIGQUIT: "QUIT"} {
			b := p.start(t, nil, nil, fmt.Sprintf("trap 'echo got %s; exit 5' %s; echo up; while :; do sleep 0.05; done", name, name))
			b.until("up")
			_ = b.cmd.Process.Signal(sig)
			_ = b.cmd.Wait()
			if b.cmd.ProcessState.ExitCode() != 5 || !strings.Contains(b.out.String(), "got "+name) {
				t.Errorf("%s: %v %s", name, b.cmd.ProcessState, b.out)
			}
		}
		b := p.start(t, []string{"nohup"}, nil, "trap 'echo got HUP' HUP; trap 'echo got TERM; exit 5' TERM; echo up; while :; do sleep 0.05; done")
		b.until("up")
		_ = b.cmd.Process.Signal(syscall.SIGHUP)
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		_ = b.cmd.Wait()
		if s := b.out.String(); b.cmd.ProcessState.ExitCode() != 5 || !strings.Contains(s, "got TERM") || strings.Contains(s, "got HUP") {
			t.Errorf("under nohup: %v %s", b.cmd.ProcessState, s)
		}
		out := p.python(nil, `
import subprocess, os, time
for _ in range(20): subprocess.run(["sh", "-c", "sleep 0.05 & exit 0"])
time.sleep(0.5)
print([open("/proc/%s/stat" % p).read().split()[2] for p in os.listdir("/proc") if p.isdigit()].count("Z"))
os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "1000"])
`)
		if out.stdout != "0\n" || out.code != 0 {
			t.Errorf("%+v", out)
		}
	})
}

// Killed, sallyport leaves nothing behind.
func TestKilledLeavesNothing(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		b := p.start(t, nil, nil, "setsid sleep 1000 & sleep 1000 & echo up; wait")
		b.until("up")
		all := descendants(b.cmd.Process.Pid)
		if len(all) < 4 {
			t.Fatalf("only %d processes", len(all))
		}
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		for range 200 {
			all = slices.DeleteFunc(all, func(pid int) bool { return syscall.Kill(pid, 0) != nil })
			if len(all) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%v are still there", all)
	})
}

// A terminal inside is one: its size, its signals, its job control.
func TestTerminal(t *testing.T) {
	tool(t, "bash", "bash")
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
		if err == nil {
			err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		size := func(rows, cols uint16) {
			_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
		}
		size(33, 101)
		tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.who.uid != 0 {
			_ = tty.Chown(p.who.uid, p.who.uid)
		}
		b := &background{t: t, out: &syncBuffer{}, dir: p.dir}
		b.cmd = exec.Command(binary, "run", "--audit", p.log, "--", "bash", "--norc", "-i")
		b.cmd.Dir, b.cmd.Env = p.dir, append(p.env, "TERM=dumb", "PS1=> ")
		b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = tty, tty, tty
		b.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
		if p.who.uid != 0 {
			b.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.who.uid), Gid: uint32(p.who.uid), Groups: []uint32{}}
		}
		if err := b.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = tty.Close()
		t.Cleanup(func() { _ = b.cmd.Process.Kill(); _ = b.cmd.Wait() })
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := master.Read(buf)
				_, _ = b.out.Write(buf[:n])
				if err != nil {
					return
				}
			}
		}()
		say := func(s, want string) {
			t.Helper()
			_, _ = master.WriteString(s)
			b.until(want)
		}
		b.until("$ ")
		say("stty size; tty; echo one=$?\n", "one=0")
		b.until("33 101")
		b.until("/dev/pts/0")
		size(44, 132)
		time.Sleep(200 * time.Millisecond)
		say("stty size\n", "44 132")
		say("sleep 1000; echo two=$?\n", "sleep 1000")
		time.Sleep(200 * time.Millisecond)
		say("\x1a", "Stopped")
		say("jobs; bg; jobs\n", "Running")
		say("fg\n", "fg")
		time.Sleep(200 * time.Millisecond)
		say("\x03", "^C")
		say("echo three=$?\n", "three=130")
		_, _ = master.WriteString("exit 3\n")
		_ = b.cmd.Wait()
		if b.cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("%v\n%s", b.cmd.ProcessState, b.out)
		}
		if _, err := os.Stat(filepath.Join(p.log, "seg-00000000000000000001.ndjson")); err != nil {
			t.Error(err)
		}
	})
}
