package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/cmd/sidecar"
	"sallyport/cmd/words"
	"sallyport/sandbox/netns"
)

// defaultEnrol is where a container has the directory of its sandbox.
const defaultEnrol = "/run/sallyport/enrol"

// joinFlags are the flags of join as they were written.
type joinFlags struct {
	enrol, user, system string
	keepCap             []string
	noCA                bool
	wait                time.Duration
	argv                []string
}

func joinCommand() *cobra.Command {
	var f joinFlags
	cmd := &cobra.Command{
		Use:   "join [flags] -- COMMAND [ARGUMENT…]",
		Short: "Seal the container that this is the entrypoint of, and run its command",
		Long: `join is the entrypoint of a container that has no network and the capability
NET_ADMIN. It seals the container's network namespace, hands its sockets to the
sidecar, makes the CA trusted, gives up every capability, and runs the command.
It stays as the process that reaps, and hands the sockets over again when the
sidecar starts anew: what connects meanwhile waits.

The directory that --enrol names is the sandbox's own: enrol.sock and a token that
is good once. The configuration says where the sidecar makes it, as enrol: {dir: …},
or 'sallyport sandbox create' does. Mount it into this container alone.`,
		Example: `  docker run --network none --cap-drop ALL --cap-add NET_ADMIN \
    -v /run/sallyport/agent:/run/sallyport/enrol:ro --entrypoint sallyport IMAGE join -- ./agent
  sallyport join --user 1000 --enrol /run/sallyport/agent -- python3 agent.py`,
		Args: cobra.ArbitraryArgs,
	}
	def := os.Getenv("SALLYPORT_ENROL")
	if def == "" {
		def = defaultEnrol
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.StringVar(&f.enrol, "enrol", def, "enrol with what is in `DIR` (SALLYPORT_ENROL)")
	fl.StringVar(&f.user, "user", "", "run the command as `UID[:GID]` or a user's name; otherwise as who runs join")
	fl.StringArrayVar(&f.keepCap, "keep-cap", nil, "let the command keep a capability `NAME` about files or processes, such as chown or setuid (repeatable)")
	fl.BoolVar(&f.noCA, "no-ca", false, "do not make the command trust the CA that opens its TLS")
	fl.StringVar(&f.system, "system-files", "auto", "`WHEN` to put the CA and the name server into the system's files, beside the variables: auto (in a container), yes or no")
	fl.DurationVar(&f.wait, "wait", time.Minute, "wait `TIME` for the sidecar")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.argv = args
		return f.run(cmd.Context(), cmd.ErrOrStderr())
	}
	return cmd
}

func (f *joinFlags) run(ctx context.Context, stderr io.Writer) error {
	if len(f.argv) == 0 {
		return errors.New("join: what shall run? Write it behind --, as in: sallyport join -- ./agent")
	}
	if !slices.Contains([]string{"auto", "yes", "no"}, f.system) {
		return fmt.Errorf("--system-files %q: expected auto, yes or no", f.system)
	}
	uid, gid, err := joinUser(f.user)
	if err != nil {
		return err
	}
	tell := func(text string) { fmt.Fprintln(stderr, "sallyport: "+text) }
	box, err := netns.Join(uid, gid, f.keepCap)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer box.Close()
	h := &holder{socket: filepath.Join(f.enrol, sidecar.EnrolSocket), socks: &box.Sockets, tell: tell}
	made, err := f.await(ctx, h)
	if err != nil {
		return err
	}
	env := withPlaceholders(f.environment(os.Environ()), made.Placeholders)
	if f.system == "yes" || f.system == "auto" && inContainer() {
		if err := setResolver(); err != nil {
			tell(err.Error())
		}
	}
	if !f.noCA {
		at, err := installCA([]byte(made.CA), f.system == "yes" || f.system == "auto" && inContainer(), uid, gid)
		if err != nil {
			return fmt.Errorf("join: the CA: %w", err)
		}
		if env, err = environment(env, nil, true, nil, at); err != nil {
			return err
		}
	}
	go h.keep(context.WithoutCancel(ctx)) // a signal is the command's to heed
	exit := box.Run(ctx, f.argv, env)
	switch {
	case exit.Err != nil:
		return &exitError{exit.Code, exit.Err}
	case exit.Code != 0:
		return &exitError{code: exit.Code}
	}
	return nil
}

// environment is the container's, without what is ours.
func (f *joinFlags) environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(kv string) bool { return strings.HasPrefix(kv, "SALLYPORT_") })
}

// await enrols as soon as there is a sidecar that expects it.
func (f *joinFlags) await(ctx context.Context, h *holder) (sidecar.Enrolled, error) {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	for said := false; ; {
		made, err := h.enrolWith(ctx, filepath.Join(f.enrol, sidecar.TokenFile))
		if err == nil {
			return made, nil
		}
		if !said {
			said = true
			h.tell(fmt.Sprintf("waiting for the sidecar (%s)", words.Plain(err.Error())))
		}
		select {
		case <-ctx.Done():
			return made, fmt.Errorf("join: the sidecar did not take the container within %s: %w", f.wait, err)
		case <-time.After(again):
		}
	}
}

// enrolWith enrols with the token that is in a file now.
func (h *holder) enrolWith(ctx context.Context, file string) (sidecar.Enrolled, error) {
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
		h.token = strings.TrimSpace(string(b))
	case h.token == "" || !errors.Is(err, fs.ErrNotExist): // it was taken, and what came of it we were not told
		return sidecar.Enrolled{}, err
	}
	return h.enrol(ctx)
}

// joinUser is whose the command is.
func joinUser(flag string) (uid, gid int, err error) {
	if flag == "" {
		return os.Getuid(), os.Getgid(), nil
	}
	if os.Getuid() != 0 {
		return 0, 0, errors.New("--user: only root can choose; the command runs as you")
	}
	if flag == "0" || flag == "0:0" || flag == "root" {
		return 0, 0, nil
	}
	return workloadUser(flag)
}
