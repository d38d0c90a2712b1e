// Command bench measures what sallyport costs beside the least that a proxy in
// Go can cost, in interleaved rounds of one run: only ratios mean anything.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// A scenario is one way of asking for 1 KiB over kept connections.
type scenario struct {
	name   string
	scheme string
	h2     bool
	conns  int
	target float64 // the most that the gate may cost, as a ratio to the floor
}

var scenarios = []scenario{
	{"plain", "http", false, 64, 2.0},
	{"plain-16", "http", false, 16, 2.0},
	{"intercepted-h1", "https", false, 64, 1.8},
	{"intercepted-h1-16", "https", false, 16, 1.8},
	{"intercepted-h2", "https", true, 64, 2.0},
	{"intercepted-h2-16", "https", true, 16, 2.0},
}

// Options are what the flags say.
type options struct {
	rounds, requests int
	peers            bool
	only             string
	out              string
	gate             string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "role" { // a helper process
		if err := role(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 7, "`N` rounds of each")
	flag.IntVar(&o.requests, "requests", 10000, "`N` requests in a round")
	flag.StringVar(&o.only, "only", "", "only scenarios whose name contains `TEXT`")
	flag.StringVar(&o.out, "out", "", "write the figures for benchstat to `FILE`")
	flag.StringVar(&o.gate, "gate", "bin/sallyport", "the `BINARY` to measure")
	flag.BoolVar(&o.peers, "peers", false, "beside squid and mitmproxy, all of them told of as a proxy")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	run := measure
	if o.peers {
		run = comparePeers
	}
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs everything and prints a table. The error says what missed its target.
func measure(ctx context.Context, o options) error {
	gate, err := filepath.Abs(o.gate)
	if err != nil {
		return err
	}
	if _, err := os.Stat(gate); err != nil {
		return fmt.Errorf("%w: make build first", err)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755)
	var bench strings.Builder
	var missed []error
	fmt.Printf("%-18s %12s %12s %8s %15s %8s\n", "scenario", "floor µs", "gate µs", "ratio", "of the rounds", "target")
	for _, s := range scenarios {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		r, err := compare(ctx, s, o, gate, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%-18s %12.1f %12.1f %8.2f %7.2f to %4.2f %8.2f\n", s.name, median(r.floor), median(r.gate), median(r.ratios()), least(r.ratios()), most(r.ratios()), s.target)
		for i := range r.floor {
			fmt.Fprintf(&bench, "BenchmarkCPU/%s/proxy=floor 1 %.0f ns/op\nBenchmarkCPU/%s/proxy=gate 1 %.0f ns/op\n", s.name, 1000*r.floor[i], s.name, 1000*r.gate[i])
		}
		if m := median(r.ratios()); m > s.target {
			missed = append(missed, fmt.Errorf("%s costs %.2f times the floor, more than %.2f", s.name, m, s.target))
		}
	}
	if strings.Contains("start", o.only) {
		if err := start(ctx, o, gate, dir); err != nil {
			missed = append(missed, err)
		}
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(bench.String()), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(missed...)
}

// A task is what a helper process is told.
type task struct {
	Role     string // origin, floor, load, forward, crowd
	Scheme   string
	H2       bool
	URL      string
	CA       string // PEM file
	Conns    int
	Requests int
	Upstream string
	Kind     string // of a crowd
	Proxy    string // explicit, as HOST:PORT
}

func (t task) arg() string {
	b, _ := json.Marshal(t)
	return string(b)
}

func role(arg string) error {
	var t task
	if err := json.Unmarshal([]byte(arg), &t); err != nil {
		return err
	}
	switch t.Role {
	case "origin":
		return serveOrigin(t)
	case "floor":
		return serveFloor(t)
	case "load":
		return load(t)
	case "forward":
		return serveForward(t)
	case "crowd":
		return crowd(t)
	}
	return fmt.Errorf("there is no role %q", t.Role)
}
