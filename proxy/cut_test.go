package proxy_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"sallyport/proxy"
)

// hostile 362: a tunnel that is cut looks cut to a client behind a door's TLS too:
// its end is not announced as TLS announces one, whoever cuts it and for whatever.
func TestCutsBehindTLS(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*net.TCPConn)
		cut   func(*rig, *proxy.Gate)
		clean bool
	}{
		"revoked": {serve: says, cut: func(r *rig, g *proxy.Gate) {
			sb := *g.Sandbox()
			sb.Revoked = true
			g.Update(&sb, r.decider)
		}},
		"the gate is closed": {serve: says, cut: func(_ *rig, g *proxy.Gate) { g.Close() }},
		"the origin resets": {serve: func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "so far")
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
		}, cut: func(*rig, *proxy.Gate) {}},
		"the origin ends": {serve: func(c *net.TCPConn) { _, _ = io.WriteString(c, "so far") }, cut: func(*rig, *proxy.Gate) {}, clean: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigging{policy: opaqueAll})
			conn, g := r.comesTLS()
			at := fmt.Sprintf("api.example.com:%d", upstream(t, c.serve))
			fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Bearer %[2]s\r\n\r\n", at, doorToken)
			answered(t, conn)
			if b := make([]byte, 6); c.clean {
			} else if _, err := io.ReadFull(conn, b); err != nil || string(b) != "so far" {
				t.Fatalf("%q %v", b, err)
			} else {
				_, _ = io.WriteString(conn, "!")
			}
			c.cut(r, g)
			_, err := io.ReadAll(conn)
			if (err == nil) != c.clean {
				t.Errorf("it ended by %v", err)
			}
		})
	}
}

// says begins to say something and does not go on.
func says(c *net.TCPConn) {
	_, _ = io.WriteString(c, "so far")
	_, _ = io.Copy(io.Discard, c)
}
