package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sallyport/admin"
	"sallyport/sandbox"
	"sallyport/sandbox/netns"
)

// attachFlags are the flags of attach as they were written.
type attachFlags struct {
	asked
	netns, caFile string
	pid           int
}

func attachCommand() *cobra.Command {
	var f attachFlags
	cmd := &cobra.Command{
		Use:   "attach (--netns PATH | --pid N) --name NAME [flags]",
		Short: "Seal a network namespace that a container runtime made, and hand it to a sidecar",
		Long: `attach enters a network namespace that has nothing but a loopback, such as that of
a container started with no network, makes its rules and sockets, and hands them
to the sidecar. It needs root, and ends when the sidecar has them. A namespace
with another interface that is up, or with an open connection, is refused.

The CA that opens TLS is written to the file that --ca names: what runs inside
has to trust it. After a restart of the sidecar, attach again.`,
		Example: `  sallyport attach --pid "$(docker inspect -f '{{.State.Pid}}' agent)" --name agent --policy web --ca ./agent-ca.pem
  sallyport attach --netns /run/netns/blue --name blue --label team=web`,
		Args: cobra.NoArgs,
	}
	socket := controlFlag(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.netns, "netns", "", "seal the namespace at `PATH`")
	fl.IntVar(&f.pid, "pid", 0, "seal the namespace of process `N`")
	fl.StringVar(&f.name, "name", "", "call the sandbox `NAME`")
	f.flags(cmd)
	fl.StringVar(&f.caFile, "ca", "", "write the CA that has to be trusted inside to `FILE`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), *socket, cmd.OutOrStdout()) }
	return cmd
}

func (f *attachFlags) open() (*os.File, error) {
	switch {
	case (f.netns == "") == (f.pid == 0):
		return nil, errors.New("attach: which namespace? Say --netns PATH or --pid N")
	case f.netns != "":
		return os.Open(f.netns)
	}
	return netns.OfProcess(f.pid)
}

func (f *attachFlags) run(ctx context.Context, socket string, out io.Writer) error {
	ns, err := f.open()
	if err != nil {
		return err
	}
	defer ns.Close()
	c, err := f.create(sandbox.WayAttach)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	client := admin.NewClient(socket)
	made, err := client.Create(ctx, c)
	if err != nil {
		return err
	}
	if err := f.seal(ctx, ns, made.Ticket); err != nil {
		return errors.Join(err, client.Remove(context.WithoutCancel(ctx), made.Sandbox.ID))
	}
	fmt.Fprintf(out, "%s is sealed; the sidecar decides\n", f.name)
	return nil
}

func (f *attachFlags) seal(ctx context.Context, ns *os.File, t admin.Ticket) error {
	if f.caFile != "" {
		if err := os.WriteFile(f.caFile, []byte(t.CA), 0o644); err != nil {
			return err
		}
	}
	socks, err := netns.Attach(ns)
	if err != nil {
		return err
	}
	defer socks.Close()
	h := &holder{socket: t.Socket, token: t.Token, socks: socks, once: true}
	_, err = h.enrol(ctx)
	return err
}
