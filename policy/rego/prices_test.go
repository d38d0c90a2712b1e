package rego

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The prices that check names compare as they do in this run: within a factor of
// three, since machines differ in what they are good at.
func TestPrices(t *testing.T) {
	const n = 200
	var hosts []string
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("h%d.example", i))
	}
	data, err := json.Marshal(map[string]any{"hosts": hosts})
	if err != nil {
		t.Fatal(err)
	}
	rules := func(cond string) string {
		var b strings.Builder
		b.WriteString("package egress\n")
		for i := range n {
			fmt.Fprintf(&b, "\nallow if "+cond+"\n", i)
		}
		return b.String()
	}
	cost := func(text string) time.Duration {
		p, err := Load(t.Context(), Options{Name: "p", Dir: write(t, map[string]string{"p.rego": text, "data.json": string(data)}), Uncached: true, Deadline: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		q := question(t)
		least := time.Hour
		for range 30 {
			start := time.Now()
			for range 10 {
				if d := p.Decide(t.Context(), q); d.Err != nil || d.Allow {
					t.Fatalf("%v %v", d.Allow, d.Err)
				}
			}
			least = min(least, time.Since(start)/10)
		}
		return least
	}
	floor := cost("package egress\n\nallow if input.destination.host == \"a.example\"\n")
	per := func(text string) float64 { return float64(cost(text)-floor) / n / 1000 }
	element := per("package egress\n\nallow if {\n\tsome h in data.hosts\n\th == input.destination.host\n}\n")
	for _, c := range []struct {
		name  string
		price float64
		text  string
	}{
		{"priceMatch", priceMatch, "package egress\n\nallow if {\n\tsome h in data.hosts\n\tglob.match(h, [\".\"], input.destination.host)\n}\n"},
		{"priceLower", priceLower, rules("lower(input.destination.host) == \"h%d.example\"")},
		{"priceRegex", priceRegex, rules("regex.match(\"^h%d.example$\", input.destination.host)")},
	} {
		got := per(c.text) / element
		t.Logf("%s: %.1f times an element, which takes %.2f µs; the smallest decision takes %v", c.name, got, element, floor)
		if want := c.price / priceElement; got < want/3 || got > want*3 {
			t.Errorf("%s is %.1f times priceElement, but %.1f in this run", c.name, want, got)
		}
	}
}
