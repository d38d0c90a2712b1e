package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// serveCalls answers calls of any method, with the grpcio of the system's Python.
const serveCalls = `
import concurrent.futures, grpc, sys
class Any(grpc.GenericRpcHandler):
    def service(self, d):
        return grpc.unary_unary_rpc_method_handler(lambda r, c: b"called with " + r)
s = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Any()])
print(s.add_insecure_port("127.0.0.1:0"), flush=True)
s.start()
sys.stdin.read()
s.stop(None)
`

// hostile 92: a server that takes what it is sent for gRPC, whatever that says it is,
// is called by what a policy knows as a call, and by nothing else.
func TestCallsUnderAnotherName(t *testing.T) {
	cmd := exec.Command("/usr/bin/python3", "-c", serveCalls)
	in, ierr := cmd.StdinPipe()
	out, oerr := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil || ierr != nil || oerr != nil {
		t.Fatal(err, ierr, oerr)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	var port int
	if _, err := fmt.Fscan(bufio.NewReader(out), &port); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("rpc.example.com:%d", port)
	r := newRig(t, rigging{policy: "package egress\n\nallow := true\n"})
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DialContext: func(context.Context, string, string) (net.Conn, error) { return r.connect(at), nil }}
	defer tr.CloseIdleConnections()
	for contentType, called := range map[string]bool{"application/grpc": true, "text/plain": false, "application/json": false, "application/grpc-web": false, "": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at+"/a.B/C", strings.NewReader("\x00\x00\x00\x00\x02it"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Te", "trailers")
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
		if err != nil {
			t.Fatal(contentType, err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if strings.HasSuffix(string(b), "called with it") != called {
			t.Errorf("%q: %v %q", contentType, resp, b)
		}
	}
}
