package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A contest is one thing that every proxy does in turns.
type contest struct {
	name  string
	kind  string // of the crowd
	h2    bool
	conns int
	n     int     // requests of a round
	units float64 // that one request counts as
	unit  string  // of the rate
	per   float64 // units that CPU is given for
}

var contests = []contest{
	{"tunnel", "tunnel", false, 4, 32, 16, "MiB/s", 1024},
	{"intercepted download", "large", false, 4, 16, 16, "MiB/s", 1024},
	{"intercepted requests", "", false, 16, 6000, 1, "requests/s", 1000},
	{"new intercepted connections", "new", false, 8, 600, 1, "connections/s", 1000},
	{"events to 50 clients", "events", false, 50, 100, 50, "events/s", 1000},
	{"gRPC messages", "messages", true, 8, 24, messagesEach, "messages/s", 1000},
}

// A peer is a proxy that can be started for a contest.
type peer struct {
	name  string
	share float64 // of a round's requests: fewer for the slow
	start func(context.Context, ground) (*contender, error)
}

var peers = []peer{
	{"floor", 1, startFloor},
	{"sallyport", 1, startGate},
	{"with a credential", 1, startCredentialed},
	{"squid", 1, startSquid},
	{"mitmproxy", 0.15, startMitmproxy},
}

// errNotFor means that a peer has nothing to do in a contest.
var errNotFor = errors.New("this is not done")

// A ground is where a contest takes place.
type ground struct {
	contest
	exe, gate string
	dir       string // of this peer in this contest
	ca        string // of the origin
	port      int    // of the origin, over TLS
	n         int
}

func (g ground) host() string {
	if g.kind == "tunnel" {
		return "tunnel.example.com"
	}
	return "api.example.com"
}

func (g ground) at() string { return fmt.Sprintf("%s:%d", g.host(), g.port) }

// crowdOf is the crowd of a peer that is told of at an address, and has a CA.
func (g ground) crowdOf(proxy string, ca string) task {
	return task{Role: "crowd", Kind: g.kind, H2: g.h2, Conns: g.conns, Requests: g.n, CA: g.ca + "," + ca, URL: "https://" + g.at() + "/", Proxy: proxy}
}

// A contender is a peer that runs, and those who ask through it.
type contender struct {
	used  func() (time.Duration, error) // CPU so far
	asks  *helper
	close func()
}

// A score is what one round came to.
type score struct{ cpu, rate, p99 float64 }

// roundLimit is the longest that a round may take: who takes longer is out.
const roundLimit = time.Minute

// round has one round made.
func (c *contender) round(g ground) (s score, err error) {
	before, err := c.used()
	if err != nil {
		return s, err
	}
	stuck := time.AfterFunc(roundLimit, func() { _ = c.asks.cmd.Process.Kill() })
	line, err := c.asks.ask()
	if !stuck.Stop() {
		return s, fmt.Errorf("a round takes longer than %v", roundLimit)
	}
	if err != nil {
		return s, err
	}
	after, err := c.used()
	if err != nil {
		return s, err
	}
	var took, p99 int64
	if _, err := fmt.Sscan(line, &took, &p99); err != nil {
		return s, fmt.Errorf("%q: %w", line, err)
	}
	units := float64(max(g.n, g.conns)) * g.units
	return score{cpu: float64((after - before).Microseconds()) / 1000 / units * g.per, rate: units / time.Duration(took).Seconds(), p99: float64(p99) / 1e6}, nil
}

// comparePeers lets all proxies do the same in turns, and prints a table of ratios
// to the floor for each contest.
func comparePeers(ctx context.Context, o options) error {
	gate, err := filepath.Abs(o.gate)
	if err != nil {
		return err
	}
	if _, err := os.Stat(gate); err != nil {
		return fmt.Errorf("%w: make build first", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_ = os.Chmod(dir, 0o755)
	heads, rule := "| |", "|---|"
	for i, p := range peers {
		heads, rule = heads+" "+p.name+" |", rule+"---|"
		if i == 0 {
			heads = strings.Replace(heads, "floor", "the floor", 1)
		}
	}
	fmt.Printf("%s\n%s\n", heads, rule)
	var failed []error
	for i, c := range contests {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		scores, why, err := c.hold(ctx, o, exe, gate, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for name, err := range why {
			fmt.Fprintf(os.Stderr, "%s: %s: %v\n", c.name, name, err)
			if name != "squid" && name != "mitmproxy" && !errors.Is(err, errNotFor) {
				failed = append(failed, fmt.Errorf("%s: %s: %w", c.name, name, err))
			}
		}
		c.print(scores)
	}
	return errors.Join(failed...)
}

// hold holds a contest, and says who could not take part, and why.
func (c contest) hold(ctx context.Context, o options, exe, gate, dir string) (map[string][]score, map[string]error, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, err
	}
	ca := filepath.Join(dir, "origin.pem")
	origin, line, err := launch(ctx, nil, exe, "role", task{Role: "origin", H2: c.h2, CA: ca}.arg())
	if err != nil {
		return nil, nil, err
	}
	defer origin.end()
	var port, plain int
	if _, err := fmt.Sscan(line, &port, &plain); err != nil {
		return nil, nil, err
	}
	running, grounds := map[string]*contender{}, map[string]ground{}
	why := map[string]error{}
	for i, p := range peers {
		g := ground{contest: c, exe: exe, gate: gate, dir: filepath.Join(dir, fmt.Sprint("peer", i)), ca: ca, port: port, n: max(int(float64(c.n)*p.share), 1)}
		if c.kind == "events" || c.kind == "messages" {
			g.n = c.n
		}
		if err := os.Mkdir(g.dir, 0o777); err != nil {
			return nil, nil, err
		}
		_ = os.Chmod(g.dir, 0o777) //nolint:gosec // squid writes there as another user
		x, err := p.start(ctx, g)
		if err != nil {
			why[p.name] = err
			continue
		}
		defer x.close()
		running[p.name], grounds[p.name] = x, g
	}
	scores := map[string][]score{}
	for i := range o.rounds + 1 {
		for _, p := range peers {
			x := running[p.name]
			if x == nil {
				continue
			}
			s, err := x.round(grounds[p.name])
			if err != nil {
				why[p.name] = err
				delete(running, p.name)
				delete(scores, p.name)
			} else if i > 0 { // the first opens connections
				scores[p.name] = append(scores[p.name], s)
			}
		}
	}
	return scores, why, nil
}

// print prints rows of a table: what the floor came to, and ratios to it, which
// are medians of the ratios of each round.
func (c contest) print(scores map[string][]score) {
	row := func(what, unit string, of func(score) float64) {
		fmt.Printf("| %s, %s |", c.name, what)
		floor := scores["floor"]
		for _, p := range peers {
			got := scores[p.name]
			switch {
			case p.name == "floor" && len(floor) > 0:
				fmt.Printf(" %s %s |", figure(median(values(floor, of))), unit)
			case len(got) == 0 || len(got) != len(floor):
				fmt.Printf(" – |")
			default:
				var ratios []float64
				for i := range got {
					ratios = append(ratios, of(got[i])/of(floor[i]))
				}
				fmt.Printf(" %.2f |", median(ratios))
			}
		}
		fmt.Println()
	}
	per := map[float64]string{1000: "1,000", 1024: "GiB"}[c.per]
	row("CPU", "ms for "+per, func(s score) float64 { return s.cpu })
	if c.kind != "events" { // its rate is that of the origin
		row("rate", c.unit, func(s score) float64 { return s.rate })
	} else {
		row("99th percentile of the delay", "ms", func(s score) float64 { return s.p99 })
	}
}

func figure(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func values(ss []score, of func(score) float64) (out []float64) {
	for _, s := range ss {
		out = append(out, of(s))
	}
	return out
}
