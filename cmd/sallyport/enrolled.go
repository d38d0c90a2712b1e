package main

import (
	"context"
	"fmt"
	"time"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/sandbox/netns"
)

// foreign are the flags of run that are the sidecar's to say.
func (f *runFlags) foreign() (out []string) {
	for name, set := range map[string]bool{"--allow": len(f.allow) > 0, "--tcp": len(f.tcp) > 0, "--preset": len(f.preset) > 0, "--allow-private": len(f.allowPrivate) > 0, "--credential": len(f.credential) > 0,
		"--upstream-ca": len(f.upstreamCA) > 0, "--resolve": len(f.resolve) > 0, "--resolver": len(f.resolver) > 0, "--parent": len(f.parent) > 0, "--no-proxy": len(f.noProxy) > 0, "--audit": f.audit != ""} {
		if set {
			out = append(out, name)
		}
	}
	return out
}

// runEnrolled seals a command whose way out is a sidecar.
func runEnrolled(ctx context.Context, o *runOptions) error {
	client := admin.NewClient(o.sidecar).NamedBy("--sidecar")
	made, err := client.Create(ctx, o.create())
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		_ = client.Remove(end, made.Sandbox.ID) // it may be gone already
	}()
	spec, err := o.spec([]byte(made.Ticket.CA))
	if err != nil {
		return err
	}
	spec.Env = withPlaceholders(spec.Env, made.Sandbox.Placeholders)
	own, system := spec.Shown()
	for _, f := range []string{o.sidecar, made.Ticket.Socket} { // they come back when the sidecar does
		dir, err := coveredWith("the sidecar's socket", f, append(system, own...))
		if err != nil {
			return err
		}
		spec.Hide = append(spec.Hide, dir)
	}
	box, err := netns.Start(ctx, spec)
	if err != nil {
		return err
	}
	h := &holder{socket: made.Ticket.Socket, token: made.Ticket.Token, socks: &box.Sockets, tell: o.tell()}
	_, err = h.enrol(ctx)
	if err == nil {
		kept, stop := context.WithCancel(context.WithoutCancel(ctx)) // a signal is the command's to heed
		defer box.Close()
		defer stop()
		go h.keep(kept)
		sigs := forward(box)
		defer sigs()
		err = box.Go()
	}
	if err != nil {
		box.Kill()
		box.Wait()
		return err
	}
	exit := box.Wait()
	if !o.quiet {
		fmt.Fprintf(o.stderr, "sallyport: the records of %[1]s are with the sidecar: sallyport decisions --sandbox %[1]s\n", made.Sandbox.Name)
	}
	switch {
	case exit.Err != nil:
		return &exitError{exit.Code, exit.Err}
	case exit.Code != 0:
		return &exitError{code: exit.Code}
	}
	return nil
}

// tell says what a person should know of the sidecar meanwhile.
func (o *runOptions) tell() func(string) {
	return func(text string) {
		if !o.quiet {
			fmt.Fprintln(o.stderr, "sallyport: "+text)
		}
	}
}

// create is what the sidecar is asked for.
func (o *runOptions) create() admin.Create {
	c := admin.Create{Name: o.name, Labels: o.labels, Props: o.props, Policy: o.policies, Mode: string(o.mode)}
	if c.Name == "" {
		c.Name = fmt.Sprintf("run-%s", time.Now().UTC().Format("20060102T150405.000000"))
	}
	c.Bindings, _ = terms.SaidBindings(o.grants.Bind) // which were looked at when they were read
	return c
}
