package differ

import (
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Sent to the servers themselves, many cases of the corpus are read by one as
// something else than by another: they are what a gate must not pass on.
func TestServersDiffer(t *testing.T) {
	z := newZoo(t)
	ca, err := os.ReadFile(z.CA)
	if err != nil {
		t.Fatal(err)
	}
	r := &road{roots: x509.NewCertPool(), to: func(e entry) string { return fmt.Sprintf("%s:%d", z.At(e.Origin), e.Port) }}
	r.roots.AppendCertsFromPEM(ca)
	var all []kase
	for _, k := range corpus() {
		if k.way == "plain" && k.want != arrives {
			k.want = either // waits for nothing
			all = append(all, k)
		}
	}
	if err := r.sendAll(all, func(answer) {}); err != nil {
		t.Fatal(err)
	}
	z.stop()
	read := map[string][]string{}
	for _, s := range z.seen() {
		if s.log || s.Error != "" || !s.Complete {
			continue
		}
		at := caseAt(strings.TrimSuffix(s.Origin, ">go"), strings.Join(s.all("X-Case"), "")+" "+s.Target)
		read[at] = append(read[at], fmt.Sprintf("%s %s %d", s.Method, s.Host, s.Size))
	}
	differ := map[string]int{}
	n := 0
	for _, k := range all {
		ways := map[string][]string{}
		for _, e := range entries(k) {
			got := read[e.Origin+" "+e.id(k)]
			way := strings.ReplaceAll(strings.Join(got, ", "), e.Origin, "origin")
			if len(got) > 0 {
				ways[way] = append(ways[way], e.Origin)
			}
		}
		if len(ways) > 1 {
			differ[k.group]++
			n++
		}
	}
	var by []string
	for g, n := range differ {
		by = append(by, fmt.Sprintf("%s %d", g, n))
	}
	slices.Sort(by)
	t.Logf("%d of %d cases are read differently by servers that read them: %s", n, len(all), strings.Join(by, ", "))
	if n < 30 {
		t.Errorf("only %d cases are read differently: the corpus has no teeth", n)
	}
}
