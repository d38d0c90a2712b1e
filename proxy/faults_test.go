package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

// hostile 391: what the server of HTTP/2 refuses before there is a request has a record, as
// what is refused later has, at a door and inside.
func TestFaultsAreRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string // of a request; none sends a frame that has no place
		door   bool
		want   string
	}{
		"CONNECT with :path":            {[]string{":method: CONNECT", ":authority: AT", ":path: /"}, true, "stream 1 was reset with PROTOCOL_ERROR"},
		"CONNECT with :scheme":          {[]string{":method: CONNECT", ":authority: AT", ":scheme: https"}, true, "stream 1 was reset with PROTOCOL_ERROR"},
		"CONNECT with :protocol":        {[]string{":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: AT", ":path: /"}, true, "stream 1 was reset with PROTOCOL_ERROR"},
		"CONNECT with another Host":     {[]string{":method: CONNECT", ":authority: AT", "host: other.example.com"}, true, "stream 1 was reset with PROTOCOL_ERROR"},
		"a frame at a door":             {nil, true, "the connection ended with FRAME_SIZE_ERROR"},
		"inside, CONNECT with :path":    {[]string{":method: CONNECT", ":authority: AT", ":path: /"}, false, "stream 1 was reset with PROTOCOL_ERROR"},
		"inside, extended CONNECT":      {[]string{":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: AT", ":path: /"}, false, "stream 1 was reset with PROTOCOL_ERROR"},
		"inside, another scheme":        {[]string{":method: GET", ":authority: AT", ":scheme: ftp", ":path: /"}, false, "stream 1 was reset with PROTOCOL_ERROR"},
		"inside, a field that is none":  {[]string{":method: GET", ":authority: AT", ":scheme: https", ":path: /", "X-Upper: 1"}, false, "stream 1 was reset with PROTOCOL_ERROR"},
		"inside, a pseudo-field, twice": {[]string{":method: GET", ":method: POST", ":authority: AT", ":scheme: https", ":path: /"}, false, "stream 1 was reset with PROTOCOL_ERROR"},
		"inside, a frame":               {nil, false, "the connection ended with FRAME_SIZE_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigging{})
			where := map[string]string{"policy.code": "http2_invalid", "policy.decision": "deny", "event.name": "egress.tunnel.decision", "url.domain": "api.example.com"}
			var client *h2Client
			if c.door {
				client = r.h2door().frames()
				delete(where, "url.domain")
			} else {
				client = r.h2(t, false)
			}
			if c.fields == nil {
				_ = client.fr.WriteRawFrame(6, 0, 0, []byte("1234")) // a PING is longer
				for err := error(nil); err == nil; {
					_, err = client.fr.ReadFrame()
				}
			} else {
				var fields []string
				for _, f := range c.fields {
					fields = append(fields, strings.Replace(f, "AT", r.at("api.example.com"), 1))
				}
				if a := client.send(fields, nil, nil); !a.reset {
					t.Errorf("%+v", a)
				}
			}
			got := r.found(where)
			if len(got) != 1 || got[0].Str("policy.operator") != c.want {
				t.Errorf("%d records: %v", len(got), fmt.Sprint(got))
			}
			if len(r.origin.Seen()) != 0 {
				t.Errorf("the origin saw %+v", r.origin.Seen())
			}
		})
	}
}
