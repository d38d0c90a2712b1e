package main

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/origin"
)

// hostile 45: a real client inside may have new keys, and no new handshake.
func TestNewKeysAndHandshakes(t *testing.T) {
	each(t, origin.Options{}, func(t *testing.T, p *place) {
		for name, c := range map[string]struct {
			flags, command, says string
			goesOn               bool
		}{
			"new keys":        {"-tls1_3", "K", "KEYUPDATE", true},
			"a new handshake": {"-tls1_2", "R", "RENEGOTIATING", false},
		} {
			ask := func(path string) string {
				return fmt.Sprintf("printf 'GET /%s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n'; sleep 0.5; ", path, p.at("api.example.com"))
			}
			script := fmt.Sprintf("( %sprintf '%s\\n'; sleep 0.5; %s) | openssl s_client %s -servername api.example.com -connect %s 2>&1", ask("one"), c.command, ask("two"), c.flags, p.at("api.example.com"))
			for tries := 0; ; tries++ { // a command has to come by itself
				before := len(p.origin.Seen())
				out := p.sh([]string{"--allow", p.at("api.example.com")}, script)
				if !strings.Contains(out.stdout, c.says) && tries < 3 {
					continue
				}
				var got []string
				for _, r := range p.origin.Seen()[before:] {
					got = append(got, r.Target)
				}
				want := "[/one]"
				if c.goesOn {
					want = "[/one /two]"
				}
				if fmt.Sprint(got) != want || !strings.Contains(out.stdout, c.says) {
					t.Errorf("%s: the origin saw %v: %+v", name, got, out)
				}
				break
			}
		}
	})
}
