package sidecar

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"sallyport/audit"
	"sallyport/config"
	"sallyport/credentials"
	"sallyport/dest"
	"sallyport/origin/bundles"
	"sallyport/policy"
	"sallyport/policy/bundle"
	"sallyport/sandbox"
)

// deadline is that of an evaluation, as policies have it.
const deadline = 100 * time.Millisecond

// numbered is version n of a policy, which says its number in its rules, in its data
// and in its revision.
func numbered(n int) bundles.Files {
	return bundles.Files{
		"p.rego": fmt.Sprintf(`package egress

allow if input.destination.host == "api.example.com"

set_headers contains {"name": "X-Rules", "value": "%[1]d"}

set_headers contains {"name": "X-Data", "value": data.version.n}

reasons contains "%[1]d" if startswith(input.request.path, "/")
`, n),
		"version/data.json": fmt.Sprintf(`{"n": "%d"}`, n), ".manifest": fmt.Sprintf(`{"revision": "%d"}`, n),
	}
}

// stalls is the longest that a thread of this machine was kept from running, beyond
// a millisecond, while a context lasted.
func stalls(ctx context.Context) *atomic.Int64 {
	var worst atomic.Int64
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				begun := time.Now()
				time.Sleep(time.Millisecond)
				if d := int64(time.Since(begun) - time.Millisecond); d > worst.Load() {
					worst.Store(d)
				}
			}
		}()
	}
	return &worst
}

// hostile 87, 238: thousands of decisions a second while bundles come, of which a
// third are broken: each is of one version with all that belongs to it, of no older
// one than was in force when it was asked, none is lost, and none takes longer than
// an evaluation may.
func TestBundlesUnderLoad(t *testing.T) {
	swaps, rate := 15, 4_000
	if os.Getenv("SALLYPORT_SOAK") != "" {
		swaps, rate = 100, 10_000
	}
	dir := t.TempDir()
	log, err := audit.Open(filepath.Join(dir, "log"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	key := bundles.NewKey()
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte(key.Public), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse(filepath.Join(dir, "x.yaml"), []byte("state: state\npolicies: [{name: web, url: \"https://127.0.0.1:1/\", verify: {key: \"file:key.pem\", algorithm: ES256}}]\ndefault_policy: [web]\n"))
	if err != nil {
		t.Fatal(err)
	}
	fs := &feeds{}
	p, err := newPlan(t.Context(), filepath.Join(dir, "x.yaml"), f, &credentials.Shared{}, fs)
	if err != nil {
		t.Fatal(err)
	}
	var s *sidecar
	s = newSidecar(f, nil, newJournal(log, newMeter(func() *sidecar { return s })), nil, &keyring{}, p, nil)
	s.feeds, s.log = fs, zerolog.Nop()
	fd := p.feeds["web"]
	fs.by["web"] = fd
	take := func(b []byte) error { return s.take(t.Context(), fd, &bundle.Bundle{Bytes: b}) }
	if err := take(key.Sign(numbered(1), "", "").Pack()); err != nil {
		t.Fatal(err)
	}
	var inForce atomic.Int64
	inForce.Store(1)
	sb := &sandbox.Sandbox{ID: "s", Name: "s", Policy: []string{"web"}}
	addr, err := dest.ParseAddr("api.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stalled := stalls(ctx)
	var wg sync.WaitGroup
	var asked, answered, cached atomic.Int64
	var slowest atomic.Int64
	const askers = 4
	begun := time.Now()
	for a := range askers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if ahead := time.Duration(n)*time.Second*askers/time.Duration(rate) - time.Since(begun); ahead > 0 {
					time.Sleep(ahead)
				}
				path := "/"
				if n%2 == 0 { // half of them are new to every version
					path = fmt.Sprintf("/%d/%d", a, n)
				}
				q := &policy.Question{Phase: policy.Request, Sandbox: sb, Destination: policy.Destination{Addr: addr, Scheme: "https"}, Request: &policy.RequestFacts{Method: http.MethodGet, Path: path}}
				least := inForce.Load()
				asked.Add(1)
				at := time.Now()
				d := s.plan.Load().layers(sb).Decide(t.Context(), q)
				took := time.Since(at)
				if int64(took) > slowest.Load() {
					slowest.Store(int64(took))
				}
				most := inForce.Load() + 1 // one is put in force before it is counted
				said := map[string]string{"reasons": strings.Join(d.Reasons, " ")}
				for _, h := range d.Set {
					said[h.Name] = h.Value
				}
				var v int64
				_, err := fmt.Sscan(said["reasons"], &v)
				switch {
				case d.Err != nil && took > deadline && time.Duration(stalled.Load()) > deadline/4: // the machine stood still
					answered.Add(1)
					continue
				case err != nil || d.Err != nil || !d.Granted():
					t.Errorf("no decision: %v, %+v", err, d)
					return
				case said["X-Rules"] != said["reasons"] || said["X-Data"] != said["reasons"] || v < least || v > most:
					t.Errorf("%v, asked when %d was in force, answered when it was at most %d", said, least, most)
					return
				}
				if d.Cached {
					cached.Add(1)
				}
				answered.Add(1)
			}
		})
	}
	taken, refused := 1, 0
	for i := range swaps {
		next := numbered(taken + 1)
		var err error
		switch i % 6 {
		case 1:
			err = take(next.Pack()) // unsigned
		case 4:
			err = take(key.Sign(next.With("p.rego", "package egress\n\ndney contains \"x\" if input.request.method == \"PUT\"\n"), "", "").Pack())
		default:
			if err := take(key.Sign(next, "", "").Pack()); err != nil {
				t.Fatal(err)
			}
			taken++
			inForce.Store(int64(taken))
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if refused++; err == nil {
			t.Fatalf("a broken one was taken: %d", i)
		}
	}
	for asked.Load() < int64(rate/2) && ctx.Err() == nil && !t.Failed() {
		time.Sleep(10 * time.Millisecond)
	}
	lasted := time.Since(begun)
	cancel()
	wg.Wait()
	if asked.Load() != answered.Load() || cached.Load() == 0 {
		t.Errorf("%d asked, %d answered, %d of them cached", asked.Load(), answered.Load(), cached.Load())
	}
	if time.Duration(slowest.Load()) > deadline+4*time.Duration(stalled.Load()) {
		t.Errorf("a decision took %v, where an evaluation may take %v and the machine stood still for %v", time.Duration(slowest.Load()), deadline, time.Duration(stalled.Load()))
	}
	t.Logf("%d decisions in %v (%.0f a second, %d cached) while %d versions were taken and %d refused; the slowest took %v, the longest stall of the machine was %v",
		answered.Load(), lasted.Round(time.Millisecond), float64(answered.Load())/lasted.Seconds(), cached.Load(), taken, refused, time.Duration(slowest.Load()), time.Duration(stalled.Load()))
}
