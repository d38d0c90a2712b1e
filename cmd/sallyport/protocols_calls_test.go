package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/origin/calls"
)

// pythonCaller makes a call of each kind with messages that it makes itself.
const pythonCaller = `
import grpc, os, sys
def field(b): return b"\x0a" + bytes([len(b)]) + b
root = open(os.environ["SSL_CERT_FILE"], "rb").read()
c = grpc.secure_channel(os.environ["HOST"] + ":" + os.environ["TLS"], grpc.ssl_channel_credentials(root))
service = "/` + calls.Name + `/"
shapes = {
    "unary": lambda: [c.unary_unary(service + "Echo")(field(b"hello"), timeout=30)],
    "client": lambda: [c.stream_unary(service + "Collect")(iter([field(b"abc")] * 10), timeout=30)],
    "server": lambda: list(c.unary_stream(service + "Count")(field(b"12345"), timeout=30)),
    "bidi": lambda: list(c.stream_stream(service + "Chat")(iter([field(b"a"), field(b"b")]), timeout=30)),
}
for name, call in shapes.items():
    try: print(name, len(call()))
    except grpc.RpcError as e: print(name, e.code(), e.details())
print("called")
`

const (
	grpcGo     = `$KIT/caller $HOST:$TLS > $HOME/called; cat $HOME/called; echo "$(grep -c ' ok$' $HOME/called) shapes"`
	grpcPython = `HOST=$HOST /usr/bin/python3 $KIT/caller.py | tr '\n' ' '`
)

// callProtocols are refused with a status.
var callProtocols = []protocol{
	{name: "gRPC, grpc-go in every shape", slug: "grpc-go", zone: "ok", script: grpcGo, noSOCKS: noLibrary, says: fmt.Sprintf("%d shapes", len(calls.Shapes)),
		reads: "unary PermissionDenied: rpc error: code = PermissionDenied desc = " + denied, code: "default_deny", carries: "status"},
	{name: "gRPC, Python's `grpcio`", slug: "grpcio", zone: "ok", script: grpcPython, noSOCKS: noLibrary, says: "unary 1 client 1 server 5 bidi 2 called",
		reads: "unary StatusCode.PERMISSION_DENIED " + denied, code: "default_deny", carries: "status"},
}

// callers puts the gRPC clients into the kit.
func (tb *table) callers(t *testing.T) {
	build := exec.Command("go", "build", "-o", filepath.Join(tb.kit, "caller"), "sallyport/origin/calls/caller")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	if err := os.WriteFile(filepath.Join(tb.kit, "caller.py"), []byte(pythonCaller), 0o644); err != nil {
		t.Fatal(err)
	}
}
