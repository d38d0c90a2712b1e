package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/origin"
)

// Everything that changes a sidecar happens at once, in the process of the test,
// which looks for data races. Nothing waits for ever, nothing is left behind, and
// what somebody said last of a sandbox is what is in force: hostile 281.
func TestCommandsAtOnce(t *testing.T) {
	p := newPlace(t, callers()[0], origin.Options{})
	t.Setenv("TOKEN_A", "alpha-secret-0123456789")
	t.Setenv("TOKEN_B", "beta-secret-0123456789")
	v := newVersions(t, p)
	v.write(0, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sidecar.Serve(ctx, v.config) }()
	v.until("it is not ready", func(d, _ string, ready bool) bool { return ready && d != "" })
	if _, err := v.client.Create(t.Context(), admin.Create{Name: "stays", Way: "join"}); err != nil {
		t.Fatal(err)
	}
	measure := func() (int, int) {
		es, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(es)
	}
	goroutines, fds := measure()
	round := func(d time.Duration) {
		work, stop := context.WithTimeout(t.Context(), d)
		defer stop()
		var wg sync.WaitGroup
		var did [8]atomic.Int64
		loop := func(i int, f func(n int) error) {
			wg.Go(func() {
				for n := 0; work.Err() == nil; n++ {
					if err := f(n); err != nil && work.Err() == nil && !strings.Contains(err.Error(), "there is no such sandbox") {
						t.Errorf("%d: %v", i, err)
						return
					}
					did[i].Add(1)
				}
			})
		}
		paused, active, observe, sealed := admin.Paused, admin.Active, "observe", "sealed"
		for i := range 2 { // made, changed, forgotten
			loop(0, func(n int) error {
				name := fmt.Sprintf("made-%d-%d", i, n)
				_, err := v.client.Create(work, admin.Create{Name: name, Way: []string{"join", "run", "attach"}[n%3]})
				if err == nil {
					_, err = v.client.Change(work, name, admin.Patch{State: &paused})
				}
				if err == nil {
					err = v.client.Remove(work, name)
				}
				return err
			})
		}
		loop(1, func(n int) error { // enrols, runs, ends
			out := p.exec("run", "--sidecar", v.control, "--quiet", "--name", fmt.Sprint("runs-", n%2), "--", "true")
			if out.code != 0 && !strings.Contains(out.stderr, "deadline") {
				return fmt.Errorf("%+v", out)
			}
			return nil
		})
		loop(2, func(n int) error { // changed while they enrol
			all, err := v.client.List(work, nil)
			if err != nil {
				return err
			}
			sb := all[rand.IntN(len(all))]
			if sb.Name == "stays" || strings.HasPrefix(sb.Name, "made") {
				return nil
			}
			patch := []admin.Patch{{Mode: &observe}, {Mode: &sealed}, {Policy: []string{"main"}}, {Policy: []string{}}, {State: &active}}[n%5]
			_, err = v.client.Change(work, sb.ID, patch)
			return err
		})
		version := 0
		loop(3, func(n int) error {
			version++
			v.write(version, 0)
			_ = unix.Kill(os.Getpid(), unix.SIGHUP)
			time.Sleep(30 * time.Millisecond)
			return nil
		})
		loop(4, func(n int) error {
			time.Sleep(100 * time.Millisecond)
			_, err := v.client.RotateCA(work, admin.Rotate{Force: true})
			return err
		})
		loop(5, func(n int) error {
			for _, path := range []string{"/metrics", "/v1/status", "/v1/policies", "/v1/credentials", "/v1/decisions", "/readyz"} {
				if out := said(t, v.control, "GET", path, ""); !strings.HasPrefix(out, "200") && work.Err() == nil {
					return fmt.Errorf("%s: %s", path, out)
				}
			}
			return nil
		})
		loop(6, func(int) error {
			few, end := context.WithTimeout(work, 200*time.Millisecond)
			defer end()
			if err := v.client.Watch(few, func(admin.Change) error { return nil }); err != nil && few.Err() == nil {
				return err
			}
			return nil
		})
		loop(7, func(n int) error { // what is said last counts, whatever is reloaded
			value := fmt.Sprint("n", n)
			state := []*string{&paused, &active}[n%2]
			_, err := v.client.Change(work, "stays", admin.Patch{State: state, Labels: map[string]*string{"last": &value}, Limits: &admin.LimitsPatch{Rate: &n}})
			if err != nil {
				return err
			}
			now, err := v.client.Get(work, "stays")
			if err == nil && (now.State != *state || now.Labels["last"] != value || now.Limits.Rate != n) {
				return fmt.Errorf("said %s %s %d, in force is %+v", *state, value, n, now)
			}
			return err
		})
		wg.Wait()
		last := "the last"
		if _, err := v.client.Change(t.Context(), "stays", admin.Patch{State: &paused, Labels: map[string]*string{"last": &last}}); err != nil {
			t.Fatal(err)
		}
		was, _, _ := v.status()
		v.write(version+1, 0)
		_ = unix.Kill(os.Getpid(), unix.SIGHUP)
		v.until("it is not read again", func(d, _ string, _ bool) bool { return d != was })
		if now, err := v.client.Get(t.Context(), "stays"); err != nil || now.State != paused || now.Labels["last"] != last {
			t.Errorf("after a reload: %+v %v, want label %s", now, err, last)
		}
		all, err := v.client.List(t.Context(), nil)
		for _, sb := range all {
			if strings.HasPrefix(sb.Name, "made-") {
				err = errors.Join(err, v.client.Remove(t.Context(), sb.ID))
			}
		}
		if err != nil {
			t.Error(err)
		}
		t.Logf("in %v: %v made, %v run, %v changed, %v reloads, %v rotations, %v looked, %v watched, %v said", d, did[0].Load(), did[1].Load(), did[2].Load(), did[3].Load(), did[4].Load(), did[5].Load(), did[6].Load(), did[7].Load())
	}
	round(6 * time.Second)
	var g, f int
	for range 500 { // what was cut ends by itself
		if all, err := v.client.List(t.Context(), nil); err == nil && len(all) == 3 {
			if g, f = measure(); g <= goroutines+10 && f <= fds+10 {
				break
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if g, f = measure(); g > goroutines+10 || f > fds+10 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines and %d descriptors, before %d and %d:\n%s", g, f, goroutines, fds, buf[:runtime.Stack(buf, true)])
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		buf := make([]byte, 1<<20)
		t.Fatalf("it does not end:\n%s", buf[:runtime.Stack(buf, true)])
	}
	v.verified()
}
