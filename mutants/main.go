// Command mutants takes each guard out, one at a time, and requires the test
// that names it to fail. A guard whose absence nobody notices is not tested.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A mutant is a change that takes one guard out.
type mutant struct {
	threats  []int // rows of docs/threats.md
	file     string
	old, new string // old stands once in file
	pkg      string // of the test
	test     string // that must fail
}

func (m mutant) String() string {
	var ns []string
	for _, n := range m.threats {
		ns = append(ns, strconv.Itoa(n))
	}
	return fmt.Sprintf("%-12s %s: %s", strings.Join(ns, ","), m.file, strings.Join(strings.Fields(m.old), " "))
}

// changed is the file without the guard.
func (m mutant) changed() ([]byte, error) {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(b, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s: %q stands %d times in it", m.file, m.old, n)
	}
	return bytes.Replace(b, []byte(m.old), []byte(m.new), 1), nil
}

// errSurvived means that nothing failed.
var errSurvived = errors.New("SURVIVED: nothing noticed")

// kill runs the named test on the changed tree: nil when it fails, as it must.
func (m mutant) kill(ctx context.Context) error {
	text, err := m.changed()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	abs, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	into := filepath.Join(dir, filepath.Base(m.file))
	overlay := filepath.Join(dir, "overlay.json")
	o, err := json.Marshal(map[string]any{"Replace": map[string]string{abs: into}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(into, text, 0o644), os.WriteFile(overlay, o, 0o644)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", "netgo,osusergo", "-overlay", overlay, "-count=1", "-run", "^"+m.test+"$", "./"+m.pkg)
	cmd.Env = append(os.Environ(), "SALLYPORT_BUILD_FLAGS=-overlay="+overlay)
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && bytes.Contains(out, []byte("no tests to run")):
		return fmt.Errorf("there is no %s in %s", m.test, m.pkg)
	case err == nil:
		return errSurvived
	case !bytes.Contains(out, []byte("--- FAIL: "+m.test)) && !bytes.Contains(out, []byte("panic: ")):
		return fmt.Errorf("the tree does not build without the guard:\n%s", out)
	}
	return nil
}

func main() {
	only := flag.String("only", "", "only mutants of these `ROWS` of docs/threats.md, such as 32,54")
	file := flag.String("file", "", "only mutants of this `FILE`")
	parallel := flag.Int("parallel", 4, "`N` at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen := slices.Collect(func(yield func(mutant) bool) {
		for _, m := range mutants {
			if *file != "" && m.file != *file {
				continue
			}
			if *only != "" && !slices.ContainsFunc(m.threats, func(n int) bool { return slices.Contains(strings.Split(*only, ","), strconv.Itoa(n)) }) {
				continue
			}
			if !yield(m) {
				return
			}
		}
	})
	bad := run(ctx, chosen, *parallel)
	fmt.Printf("%d mutants, %d killed, %d not\n", len(chosen), len(chosen)-bad, bad)
	if bad > 0 || len(chosen) == 0 {
		stop()
		os.Exit(1)
	}
}

// run kills mutants, n at once, and returns how many lived.
func run(ctx context.Context, ms []mutant, n int) (bad int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, max(n, 1))
	for _, m := range ms {
		slots <- struct{}{}
		wg.Go(func() {
			err := m.kill(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				bad++
				fmt.Printf("NOT KILLED  %s\n            by %s: %v\n", m, m.test, err)
			} else {
				fmt.Printf("killed      %s\n", m)
			}
			<-slots
		})
	}
	wg.Wait()
	return bad
}
