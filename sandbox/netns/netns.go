// Package netns runs a command in a namespace in which there is nothing but a
// loopback, and hands out the sockets on which everything that it sends arrives.
package netns

import (
	"errors"
	"net"
	"os"
)

// A Spec says what runs and what it sees. Argv, Dir and Home are required.
type Spec struct {
	Argv []string
	Env  []string
	// Dir is the working directory; it is writable inside unless it is the home
	// directory, above it, or a part of the system.
	Dir  string
	Home string // a fresh one is mounted there
	// UID and GID are whose the workload is on the host. As root they are not 0;
	// for anybody else they are the caller's own.
	UID, GID int
	// CA is put behind the system's certificates; nil leaves those as they are.
	CA []byte
	// JavaStore makes what is shown at JavaStoreFile, while the sandbox starts; nil
	// is none.
	JavaStore func() ([]byte, error) `json:"-"`
	Mounts    []Mount
	Hide      []string // paths of the host that are never shown, wherever they are
	Keep      []string // paths of the host that are not changed, wherever they are shown
	// Nested lets the workload make user and network namespaces of its own.
	Nested bool
	// HomeFiles are put into the fresh home, by path relative to it.
	HomeFiles map[string][]byte

	Stdin, Stdout, Stderr *os.File
}

// A Mount is something of the host that is shown inside.
type Mount struct {
	Source, Target string
	Writable       bool
}

// Places inside.
const (
	trustDir      = "/run/sallyport"
	CAFile        = trustDir + "/ca.pem"        // the CA alone
	BundleFile    = trustDir + "/ca-bundle.pem" // the system's certificates and the CA
	JavaStoreFile = trustDir + "/ca-bundle.p12" // the same for Java
	// ExplicitProxy is where tools that insist on a proxy find one.
	ExplicitProxy = "127.0.0.1:3128"
	// ResolvConf asks for names as they are: no search list.
	ResolvConf = "nameserver 198.18.0.1\noptions ndots:1 timeout:5\n"
)

// An Exit is how the workload ended.
type Exit struct {
	Code int // its own; 126 it could not be executed, 127 it was not found, 128+n signal n
	// Err is why it did not run, when it did not.
	Err error
}

// ErrSetup means that no sandbox could be made; the workload did not run.
var ErrSetup = errors.New("the sandbox could not be made")

// Sockets are what was made inside: what arrives on them is the sandbox's.
type Sockets struct {
	// TCP accepts connections to any address; the local address of each is the
	// destination that was meant.
	TCP      []net.Listener
	Explicit []net.Listener // HTTP proxy
	DNS      []*net.UDPConn // port 53 of every address
	DNSTCP   []net.Listener
	Log      *PacketLog // what was refused at the wall
}
