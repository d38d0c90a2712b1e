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
	netns, name, mode, caFile string
	pid                       int
	label, prop, policy, bind []string
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
	fl.StringArrayVar(&f.policy, "policy", nil, "let the sidecar's policy `NAME` decide, outermost first (repeatable)")
	fl.StringVar(&f.mode, "mode", "", "`MODE` enforce, observe or sealed")
	fl.StringArrayVar(&f.label, "label", nil, "give the sandbox a label `KEY=VALUE` (repeatable)")
	fl.StringArrayVar(&f.prop, "prop", nil, "give the sandbox a property `KEY=VALUE`; VALUE may be JSON (repeatable)")
	fl.StringArrayVar(&f.bind, "bind", nil, "make a name that exists only inside: `NAME=URL` or NAME:PORT=HOST:PORT (repeatable)")
	fl.StringVar(&f.caFile, "ca", "", "write the CA that has to be trusted inside to `FILE`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), *socket, cmd.OutOrStdout()) }
	return cmd
}

func (f *attachFlags) open() (*os.File, error) {
	switch {
	case (f.netns == "") == (f.pid == 0):
		return nil, errors.New("attach: which namespace? Say --netns PATH or --pid N")
	case f.name == "":
		return nil, errors.New("attach: what is the sandbox called? Say --name NAME")
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
	c := admin.Create{Name: f.name, Way: string(sandbox.WayAttach), Policy: f.policy, Mode: f.mode, Bindings: map[string]string{}}
	if c.Labels, err = parseLabels(f.label); err != nil {
		return err
	}
	if c.Props, err = parseProps(f.prop); err != nil {
		return err
	}
	for _, s := range f.bind {
		b, err := parseBinding(s)
		if err != nil {
			return err
		}
		name, target := bindingText(b)
		c.Bindings[name] = target
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
	return enrol(ctx, t, socks)
}
