package main

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tableAgent runs scripts where it is started, as many at once as it is told of.
const tableAgent = `
import json, subprocess, sys, threading, time
lock = threading.Lock()
def do(job):
    t = time.monotonic()
    try: out = subprocess.run(["/bin/sh", "-c", job["Script"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout
    except subprocess.TimeoutExpired as e: out = (e.stdout or b"") + b"(it did not end)"
    with lock: print(json.dumps({"ID": job["ID"], "Took": int((time.monotonic() - t) * 1e9), "Out": out.decode(errors="replace")}), flush=True)
for line in sys.stdin: threading.Thread(target=do, args=(json.loads(line),)).start()
`

// A result is what a script wrote, and how long it took.
type result struct {
	ID   int
	Took time.Duration
	Out  string
}

// A boxed runs scripts in a sandbox, or as a client that was told of a proxy.
type boxed struct {
	log, sandbox string // where the records are, and whose
	before       string // what scripts begin with

	mu      sync.Mutex
	stdin   *json.Encoder
	waiting []chan result
	ended   bool
}

// agent starts one by way of these arguments.
func (p *place) agent(t *testing.T, before string, args ...string) *boxed {
	t.Helper()
	cmd := exec.Command(args[0], append(args[1:], "/usr/bin/python3", "-u", "-c", tableAgent)...)
	cmd.Dir, cmd.Env = p.dir, p.env
	stderr := &syncBuffer{}
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.who.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.who.uid), Gid: uint32(p.who.uid), Groups: []uint32{}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &boxed{log: p.log, before: before, stdin: json.NewEncoder(in)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewReader(out); ; {
			line, err := s.ReadBytes('\n')
			var r result
			if err != nil || json.Unmarshal(line, &r) != nil {
				i.end()
				return
			}
			i.mu.Lock()
			i.waiting[r.ID] <- r
			i.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-done
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%v %s", err, stderr)
		}
	})
	return i
}

// end answers all that wait.
func (i *boxed) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	for n, c := range i.waiting {
		select {
		case c <- result{ID: n, Out: "(the sandbox ended)"}:
		default:
		}
	}
}

// do runs a script.
func (i *boxed) do(t *testing.T, script string) result {
	t.Helper()
	c := make(chan result, 1)
	i.mu.Lock()
	id := len(i.waiting)
	i.waiting = append(i.waiting, c)
	err := i.stdin.Encode(map[string]any{"ID": id, "Script": i.before + script})
	over := i.ended
	i.mu.Unlock()
	if err != nil || over {
		t.Fatalf("the sandbox ended: %v", err)
	}
	return <-c
}

// tail is what audit tail shows of a name.
func (i *boxed) tail(t *testing.T, host string) string {
	t.Helper()
	args := []string{"audit", "tail", "--decision", "deny", "--host", host}
	if i.sandbox != "" {
		args = append(args, "--sandbox", i.sandbox)
	}
	out, err := exec.Command(binary, append(args, i.log)...).CombinedOutput()
	if err != nil {
		t.Errorf("audit tail: %s%v", out, err)
	}
	return string(out)
}
