package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A helper is a process that answers each line with one.
type helper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// launch starts a helper and returns its first line.
func launch(ctx context.Context, env []string, args ...string) (*helper, string, error) {
	h := &helper{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	h.cmd.Stderr = os.Stderr
	h.cmd.Env = append(os.Environ(), env...)
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	h.out = bufio.NewReader(out)
	if err := h.cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		h.end()
		return nil, "", fmt.Errorf("%s: %w", filepath.Base(args[0]), err)
	}
	return h, strings.TrimSpace(line), nil
}

func (h *helper) end() {
	_ = h.in.Close()
	_ = h.cmd.Wait()
}

// ask has one round of requests made, and returns what is said of it.
func (h *helper) ask() (string, error) {
	if _, err := io.WriteString(h.in, "go\n"); err != nil {
		return "", err
	}
	return h.out.ReadString('\n')
}

// round has one round of requests made.
func (h *helper) round() error {
	_, err := h.ask()
	return err
}

// A result is CPU in microseconds per request, by round.
type result struct{ floor, gate []float64 }

func (r result) ratios() (out []float64) {
	for i := range r.floor {
		out = append(out, r.gate[i]/r.floor[i])
	}
	return out
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

func least(v []float64) float64 { return slices.Min(v) }
func most(v []float64) float64  { return slices.Max(v) }

// compare lets the floor and the gate do the same in turns.
func compare(ctx context.Context, s scenario, o options, gate, dir string) (r result, err error) {
	exe, err := os.Executable()
	if err != nil {
		return r, err
	}
	ca := filepath.Join(dir, s.name+".pem")
	origin, line, err := launch(ctx, nil, exe, "role", task{Role: "origin", H2: s.h2, CA: ca}.arg())
	if err != nil {
		return r, err
	}
	defer origin.end()
	var tlsPort, plainPort int
	if _, err := fmt.Sscan(line, &tlsPort, &plainPort); err != nil {
		return r, err
	}
	port := plainPort
	if s.scheme == "https" {
		port = tlsPort
	}
	floor, line, err := launch(ctx, nil, exe, "role", task{Role: "floor", Scheme: s.scheme, H2: s.h2, CA: ca, Upstream: fmt.Sprintf("%s://127.0.0.1:%d", s.scheme, port)}.arg())
	if err != nil {
		return r, err
	}
	defer floor.end()
	floorLoad, _, err := launch(ctx, nil, exe, "role", task{Role: "load", H2: s.h2, Conns: s.conns, Requests: o.requests, CA: ca + ".floor", URL: s.scheme + "://127.0.0.1:" + line + "/"}.arg())
	if err != nil {
		return r, err
	}
	defer floorLoad.end()

	// Policy with a hundred hosts, a durable record of each request, and where
	// there is TLS a credential; the load is what runs in the sandbox.
	at := fmt.Sprintf("api.example.com:%d", port)
	args := []string{gate, "run", "--quiet", "--audit", filepath.Join(dir, s.name), "--allow-private", "127.0.0.0/8", "--upstream-ca", ca, "--resolve", "api.example.com=127.0.0.1", "--mount", exe}
	for i := range 100 {
		args = append(args, "--allow", fmt.Sprintf("host%d.example.com", i))
	}
	args = append(args, "--allow", at)
	if s.scheme == "https" {
		args = append(args, "--credential", "api=env:BENCH_TOKEN@https://"+at)
	}
	args = append(args, "--", exe, "role", task{Role: "load", H2: s.h2, Conns: s.conns, Requests: o.requests, CA: "/run/sallyport/ca.pem", URL: fmt.Sprintf("%s://%s/", s.scheme, at)}.arg())
	gated, _, err := launch(ctx, []string{"BENCH_TOKEN=a-token-that-is-not-one-0123456789"}, args...)
	if err != nil {
		return r, err
	}
	defer gated.end()
	for i := range o.rounds + 1 {
		f, err := spent(floor.cmd.Process.Pid, floorLoad.round)
		if err != nil {
			return r, fmt.Errorf("floor: %w", err)
		}
		g, err := spent(gated.cmd.Process.Pid, gated.round)
		if err != nil {
			return r, fmt.Errorf("gate: %w", err)
		}
		if i > 0 { // the first opens the connections
			r.floor = append(r.floor, f/float64(o.requests))
			r.gate = append(r.gate, g/float64(o.requests))
		}
	}
	return r, nil
}
