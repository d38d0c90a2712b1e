package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is what /proc counts CPU in: USER_HZ, which is 100 on every architecture
// that Go runs on.
const tick = 10 * time.Millisecond

// cpu is what a process has used so far.
func cpu(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	i := bytes.LastIndexByte(b, ')') // the name before it may hold anything
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	var user, system int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * tick, nil
}

// cpuOfAll is what a process and those that it has started have used so far.
func cpuOfAll(pid int) (time.Duration, error) {
	sum, err := cpu(pid)
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for f := range strings.FieldsSeq(string(b)) {
		child, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		d, err := cpuOfAll(child)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// spent is what a process uses while do runs, in microseconds.
func spent(pid int, do func() error) (float64, error) {
	before, err := cpu(pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := cpu(pid)
	return float64((after - before).Microseconds()), err
}

// startTarget is how many times the making of the same namespaces a run may take.
const startTarget = 8

// start compares `run -- true` with unshare of the same namespaces.
func start(ctx context.Context, o options, gate, dir string) error {
	bare := []string{"unshare", "--user", "--map-current-user", "--net", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "true"}
	ours := []string{gate, "run", "--quiet", "--audit", filepath.Join(dir, "start"), "--", "true"}
	version := []string{gate, "--version"}
	var bares, runs, versions, ratios []float64
	for i := range 5*o.rounds + 1 {
		b, err := wall(ctx, bare)
		if err != nil {
			return err
		}
		v, err := wall(ctx, version)
		if err != nil {
			return err
		}
		r, err := wall(ctx, ours)
		if err != nil {
			return err
		}
		if i > 0 {
			bares, versions, runs, ratios = append(bares, b), append(versions, v), append(runs, r), append(ratios, r/b)
		}
	}
	m := median(ratios)
	fmt.Printf("run -- true: %.1f ms, unshare of the same namespaces: %.1f ms, ratio %.1f (target %d); starting the binary alone: %.1f ms\n", median(runs), median(bares), m, startTarget, median(versions))
	if m > startTarget {
		return fmt.Errorf("run -- true takes %.1f times unshare, more than %d", m, startTarget)
	}
	return nil
}

// wall is how long a command takes, in milliseconds.
func wall(ctx context.Context, args []string) (float64, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %s%w", args[0], out, err)
	}
	return float64(time.Since(begin).Microseconds()) / 1000, nil
}
