package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// maxRelayed bounds the connections of one relay.
const maxRelayed = 1024

func relayCommand() *cobra.Command {
	var listen, to string
	cmd := &cobra.Command{
		Use:   "relay --to SOCKET",
		Short: "Give clients that know proxies on TCP only the proxy on a Unix socket",
		Long: `relay listens on loopback and hands each connection to the Unix socket of a
sandbox's explicit proxy. In a container that shares the network namespace of a
workload without a network, it is all that the workload can reach: HTTPS_PROXY is
the only thing that has to be said inside, no capability is needed, and the proxy
is known by who may open the socket. It outlives restarts of the sidecar.`,
		Example: `  docker run -d --network none --name agent -e HTTPS_PROXY=http://127.0.0.1:3128 IMAGE
  docker run -d --network container:agent -v /run/sallyport/agent:/run/sallyport:ro sallyport relay --to /run/sallyport/proxy.sock`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:3128", "listen on `ADDRESS:PORT`, of loopback")
	cmd.Flags().StringVar(&to, "to", "", "hand connections to the Unix socket at `PATH`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		at, err := netip.ParseAddrPort(listen)
		switch {
		case to == "":
			return errors.New("relay: to which proxy? Say --to PATH, of a Unix socket")
		case !filepath.IsAbs(to):
			return fmt.Errorf("relay: --to %q is not an absolute path", to)
		case err != nil:
			return fmt.Errorf("relay: --listen %q: expected ADDRESS:PORT, such as 127.0.0.1:3128", listen)
		case !at.Addr().IsLoopback(): // whoever reaches it is the sandbox
			return fmt.Errorf("relay: --listen %s is no loopback address: whoever reaches it would be taken for the sandbox", at)
		}
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "relaying %s to %s\n", l.Addr(), to)
		return relay(cmd.Context(), l, to)
	}
	return cmd
}

// relay serves l until ctx ends, and then ends what is open.
func relay(ctx context.Context, l net.Listener, to string) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	room := make(chan struct{}, maxRelayed)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			pass(ctx, c, to)
		})
	}
}

// pass copies both ways until both have ended. A proxy that is not there is a
// connection that ends.
func pass(ctx context.Context, c net.Conn, to string) {
	defer c.Close()
	var d net.Dialer
	u, err := d.DialContext(ctx, "unix", to)
	if err != nil {
		return
	}
	defer u.Close()
	defer context.AfterFunc(ctx, func() { _, _ = c.Close(), u.Close() })()
	whole := false // what the client sent
	done := make(chan struct{})
	go func() {
		defer close(done)
		whole = copyEnd(u, c) == nil
		if !whole && !gone(u) { // what it said before it went is still to be read
			_ = u.Close()
		}
	}()
	if copyEnd(c, u) == nil {
		hung := make(chan struct{})
		go func() {
			defer close(hung)
			hungUp(u)
		}()
		select {
		case <-done:
			if whole {
				return
			}
		case <-hung:
		}
	}
	// A reset, or the nearest to it that a Unix socket knows: there are clients that
	// wait on after an end (hostile 341).
	resetRead(c)
	<-done
}

// hungUp waits until the other end of a Unix socket is closed for good, or this one is.
func hungUp(u net.Conn) {
	raw, err := u.(*net.UnixConn).SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(hangup)
}

// gone reports whether the other end of a Unix socket is closed for good.
func gone(u net.Conn) (yes bool) {
	raw, err := u.(*net.UnixConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { yes = hangup(fd) })
	}
	return yes && err == nil
}

// hangup reports whether the kernel says so, or can say nothing.
func hangup(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(p, 0)
	return err != nil && !errors.Is(err, unix.EINTR) || p[0].Revents&unix.POLLHUP != 0
}

// readWithin bounds the wait for a client that does not read.
const readWithin = 10 * time.Second

// resetRead resets a connection of loopback as soon as its client's side has all
// that was sent to it, which it can read all the same.
func resetRead(c net.Conn) {
	t := c.(*net.TCPConn)
	if raw, err := t.SyscallConn(); err == nil {
		for by, left := time.Now().Add(readWithin), true; left && time.Now().Before(by); time.Sleep(2 * time.Millisecond) {
			if raw.Control(func(fd uintptr) { left = unread(int(fd)) }) != nil {
				break
			}
		}
	}
	_ = t.SetLinger(0)
	_ = t.Close()
}

// unread reports whether something is on its way to a peer that is there.
func unread(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	_, broken := unix.Poll(p, 0)
	return err == nil && n > 0 && broken == nil && p[0].Revents&(unix.POLLERR|unix.POLLHUP) == 0
}

// copyEnd copies to the end, and passes the end on. Its error means that one of
// the two is broken.
func copyEnd(dst, src net.Conn) error {
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return dst.(interface{ CloseWrite() error }).CloseWrite()
}
