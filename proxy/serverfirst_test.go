package proxy_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// hostile 340: a client that waits for a greeting which nothing grants is told at
// once where greetings are usual, and elsewhere has time to speak.
func TestServerFirst(t *testing.T) {
	r := newRig(t, rigging{})
	other := r.connect("quiet.example.com:8022")
	elsewhere := make(chan error, 1)
	go func() { _, err := other.Read(make([]byte, 1)); elsewhere <- err }()
	for _, at := range []string{"quiet.example.com:3690", "quiet.example.com:5900"} {
		c := r.connect(at)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", at, err)
		}
		if n := len(r.found(map[string]string{"policy.code": "silent", "url.domain": "quiet.example.com", "url.port": at[len("quiet.example.com:"):]})); n != 1 {
			t.Errorf("%s: %d records", at, n)
		}
	}
	select {
	case err := <-elsewhere:
		t.Errorf("another port: %v", err)
	default:
	}
	// Whoever speaks is heard on such a port, too.
	c := r.connect("quiet.example.com:3690")
	if _, err := c.Write([]byte("SSH-2.0-x\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("another protocol: %v", err)
	}
	if n := len(r.found(map[string]string{"policy.code": "unknown_protocol", "url.port": "3690"})); n != 1 {
		t.Errorf("another protocol: %d records", n)
	}
}
