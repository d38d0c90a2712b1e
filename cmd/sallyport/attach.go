package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/cmd/sidecar"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// attachFlags are the flags of attach and gateway as they were written.
type attachFlags struct {
	asked
	netns, caFile, enrol, link string
	pid                        int
	stay                       bool
	wait                       time.Duration
	way                        sandbox.Way
}

func attachCommand() *cobra.Command {
	f := attachFlags{way: sandbox.WayAttach}
	return f.command(&cobra.Command{
		Use:   "attach (--netns PATH | --pid N) (--name NAME | --enrol DIR) [flags]",
		Short: "Seal a network namespace that a container runtime made, and hand it to a sidecar",
		Long: `attach enters a network namespace that has nothing but a loopback, such as that of
a container started with no network, makes its rules and sockets, and hands them
to the sidecar. It needs root. A namespace with another interface, or with an
open connection, is refused.

It ends when the sidecar has them; after a restart of the sidecar, attach again.
With --stay it keeps them for as long as the namespace lives, and hands them over
again itself. The CA that opens TLS is written to the file that --ca names: what
runs inside has to trust it.`,
		Example: `  sallyport attach --pid "$(docker inspect -f '{{.State.Pid}}' agent)" --name agent --policy web --ca ./agent-ca.pem
  sallyport attach --netns /run/netns/blue --name blue --label team=web --stay
  sallyport attach --pid 1 --enrol /run/sallyport/agent --stay   # in a container that shares the process namespace`,
	})
}

func gatewayCommand() *cobra.Command {
	f := attachFlags{way: sandbox.WayGateway}
	cmd := f.command(&cobra.Command{
		Use:   "gateway (--netns PATH | --pid N) (--name NAME | --enrol DIR) [flags]",
		Short: "Be the router of a network namespace: make its one link, and hand the other side to a sidecar",
		Long: `gateway makes a link into a network namespace that has nothing but a loopback, with
addresses, routes in both families and a name server at 198.18.0.1. What is sent
there arrives in a namespace of sallyport's own, where every address is local and
the sidecar answers: the host is not on the link, nor any other sandbox. It is for
what has to see an ordinary network, such as a microVM or gVisor. It needs root.

It ends when the sidecar has the other side; the link goes with the sidecar. With
--stay it keeps that side for as long as the namespace lives, and hands it over
again when the sidecar starts anew.`,
		Example: `  sallyport gateway --netns /run/netns/vm --name vm --policy web --stay
  sallyport gateway --pid 1 --enrol /run/sallyport/vm --stay     # in a container that shares the process namespace`,
	})
	cmd.Flags().StringVar(&f.link, "link", "eth0", "call the link `NAME` inside")
	return cmd
}

func (f *attachFlags) command(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	socket := controlFlag(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.netns, "netns", "", "the namespace at `PATH`")
	fl.IntVar(&f.pid, "pid", 0, "the namespace of process `N`")
	fl.DurationVar(&f.wait, "wait", 0, "wait `TIME`, such as 30s, for the namespace and the sidecar to be there (default: not at all)")
	fl.StringVar(&f.enrol, "enrol", "", "enrol with what is in `DIR`, for a sandbox that is there already")
	fl.BoolVar(&f.stay, "stay", false, "stay until the namespace ends, and hand it over again when the sidecar starts anew")
	fl.StringVar(&f.name, "name", "", "make a sandbox and call it `NAME`")
	f.flags(cmd)
	fl.StringVar(&f.caFile, "ca", "", "write the CA that has to be trusted inside to `FILE`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.run(cmd.Context(), *socket, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
			return fmt.Errorf("%s: %w", cmd.Name(), err)
		}
		return nil
	}
	return cmd
}

// open opens the namespace, when it is there.
func (f *attachFlags) open(ctx context.Context) (ns *os.File, err error) {
	if f.netns != "" && f.pid != 0 {
		return nil, errors.New("which namespace? Say --netns or --pid, not both")
	}
	if f.netns == "" && f.pid == 0 {
		return nil, errors.New("which namespace? Say --netns PATH or --pid N")
	}
	if (f.name == "") == (f.enrol == "") {
		return nil, errors.New("which sandbox? Say --name NAME to make one, or --enrol DIR for one that is there")
	}
	for end := time.Now().Add(f.wait); ; {
		if f.netns != "" {
			ns, err = netns.Open(f.netns)
		} else {
			ns, err = netns.OfProcess(f.pid)
		}
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return ns, err
		}
		time.Sleep(again / 5)
	}
}

func (f *attachFlags) run(ctx context.Context, socket string, out, stderr io.Writer) error {
	ns, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer ns.Close()
	ended, err := f.watch(ns)
	if err != nil {
		return err
	}
	h := &holder{once: !f.stay, tell: func(text string) { fmt.Fprintln(stderr, "sallyport: "+text) }}
	undo := func() error { return nil }
	if f.enrol == "" {
		c, err := f.create(f.way)
		if err != nil {
			return err
		}
		client := admin.NewClient(socket)
		made, err := client.Create(ctx, c)
		if err != nil {
			return err
		}
		h.socket, h.token = made.Ticket.Socket, made.Ticket.Token
		undo = func() error { return client.Remove(context.WithoutCancel(ctx), made.Sandbox.ID) }
	} else {
		h.socket = filepath.Join(f.enrol, sidecar.EnrolSocket)
	}
	name, err := f.seal(ctx, ns, h)
	if err != nil {
		return errors.Join(err, undo())
	}
	defer h.socks.Close()
	fmt.Fprintf(out, "%s is sealed; the sidecar decides\n", name)
	if !f.stay {
		return nil
	}
	kept, stop := context.WithCancel(ctx)
	go func() { defer stop(); ended(kept) }()
	h.keep(kept)
	if f.name != "" {
		_ = undo() // it may be gone already
	}
	return nil
}

// seal makes the sockets and hands them over.
func (f *attachFlags) seal(ctx context.Context, ns *os.File, h *holder) (name string, err error) {
	if f.way == sandbox.WayGateway {
		h.socks, err = netns.Gateway(ns, f.link)
	} else {
		h.socks, err = netns.Attach(ns)
	}
	if err != nil {
		return "", err
	}
	var made sidecar.Enrolled
	if f.enrol != "" {
		made, err = (&joinFlags{enrol: f.enrol, wait: max(f.wait, again)}).await(ctx, h)
	} else {
		made, err = h.enrol(ctx)
	}
	if err == nil && f.caFile != "" {
		err = os.WriteFile(f.caFile, []byte(made.CA), 0o644)
	}
	if err != nil {
		h.socks.End()
		return "", err
	}
	return made.Name, nil
}

// watch returns what waits for the end of the namespace: of its process, or of its
// place in the file system.
func (f *attachFlags) watch(ns *os.File) (func(context.Context), error) {
	gone := func() bool {
		a, err := os.Stat(f.netns)
		b, berr := ns.Stat()
		return err != nil || berr != nil || !os.SameFile(a, b)
	}
	if f.pid != 0 {
		fd, err := unix.PidfdOpen(f.pid, 0)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", f.pid, err)
		}
		gone = func() bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return err == nil && n > 0
		}
	}
	return func(ctx context.Context) {
		for !gone() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(again / 5):
			}
		}
	}, nil
}
