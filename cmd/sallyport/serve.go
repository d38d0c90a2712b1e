package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/config"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
)

const defaultConfig = "/etc/sallyport/sallyport.yaml"

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve [-c FILE]",
		Short: "Stand beside many sandboxes as their only way out",
		Long: `serve runs the sidecar: one process that decides, equips and records what many
sandboxes send, each with its own identity, policy and properties. It is
commanded on its control socket, by 'sallyport sandbox' or any HTTP client.

SIGHUP, or a change of the file, reads policies, credentials and sandboxes again:
all of it is taken, or nothing and the old stays. SIGTERM drains and stops.

Before it listens it gives up every capability, the way back to any, and what it
never does: a system call filter and Landlock leave it files that the configuration
names, and TCP, UDP and Unix sockets. Started by root it becomes the 'user' of the
configuration. 'sallyport status' shows what it may, by the kernel's word.`,
		Example: `  sallyport serve -c sallyport.yaml
  sallyport config check sallyport.yaml
  sallyport run --sidecar /run/sallyport/control.sock --name build -- make test`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := confineSidecar(file); err != nil {
				return err
			}
			return serveSidecar(cmd.Context(), file)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "read the configuration from `FILE`")
	return cmd
}

// serveSidecar runs until ctx ends.
func serveSidecar(ctx context.Context, file string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	log := newLogger().Level(zerolog.InfoLevel)
	memory := limitMemory()
	p, err := loadPlan(ctx, file)
	if err != nil {
		return err
	}
	f := p.file
	issuer, err := leaf.Open(f.State.S, caOptions(caDays))
	if err != nil {
		return err
	}
	keys := &keyring{}
	keys.use(p.store)
	var s *sidecar
	meter, recent := newMeter(func() *sidecar { return s }), audit.NewRecent(recentDecisions, recentBytes)
	written, err := audit.Open(f.Audit.Dir.S, audit.Options{Service: version(), Filter: keys.redact, SegmentBytes: f.Audit.Segment.N, Written: func(b []byte) { meter.Wrote(b); recent.Wrote(b) }})
	if err != nil {
		return err
	}
	defer written.Close()
	records := newJournal(written, meter)
	srv, err := proxy.New(proxy.Config{Audit: records, Credentials: keys, Issuer: issuer, MaxInspected: memory / 4, Resolver: resolver(p.resolve), AllowPrivate: p.allowPrivate, UpstreamRoots: p.roots, Log: log,
		MaxConns: p.limits.Connections, MaxRequests: p.limits.Requests, MaxRate: p.limits.Rate})
	if err != nil {
		return err
	}
	shelf, err := openShelf(f.State.S)
	if err != nil {
		return err
	}
	defer shelf.lock.Close()
	s = newSidecar(f, srv, records, issuer, keys, p, shelf)
	s.recent, s.memory = recent, memory
	if err := s.begin(ctx); err != nil {
		return err
	}
	ctl, err := controlListener(f.Control.Socket.S)
	if err != nil {
		return err
	}
	watch := newFileWatch(p.watched, p.seen)
	defer watch.close()
	api := &admin.Server{Keeper: s, Teller: s, Metrics: meter.Handler(), Own: uint32(os.Getuid()), Failed: func(err error) { log.Error().Err(err).Msg("control") }}
	for _, u := range f.Control.Users {
		api.Users = append(api.Users, uint32(u.N))
	}
	for _, g := range f.Control.Groups {
		api.Groups = append(api.Groups, uint32(g.N))
	}
	turnedAway := newDenials(records)
	api.Refused = turnedAway.refused
	apiDone := make(chan error, 2)
	apiCtx, apiStop := context.WithCancel(context.WithoutCancel(ctx))
	defer apiStop()
	if err := s.listenRemote(apiCtx, api, apiDone); err != nil {
		return err
	}
	go func() { apiDone <- api.Serve(apiCtx, ctl) }()
	go watchClock(apiCtx, clockEvery, machineClocks(), s.clockJumped)
	log.Info().Str("control", f.Control.Socket.S).Str("config", file).Int64("memory_limit", memory).Msg("ready")
	s.ready.Store(true)
	boss := &supervisor{}
	if err := boss.watched(func() bool { s.Status(); return true }); err != nil {
		log.Warn().Err(err).Msg("supervisor")
	}
	reload := func() {
		defer boss.reloading()()
		watch.follow(s.reload(ctx, file))
	}
	for {
		select {
		case <-hup:
			reload()
		case <-watch.changed:
			reload()
		case err := <-apiDone:
			return errors.Join(fmt.Errorf("the control socket: %w", err), s.end())
		case <-ctx.Done():
			s.ready.Store(false)
			_ = boss.stopping()
			log.Info().Msg("stopping")
			apiStop()
			<-apiDone
			turnedAway.flush()
			return s.end()
		}
	}
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check a configuration, or print its schema", Example: "  sallyport config check /etc/sallyport/sallyport.yaml\n  sallyport config schema > sallyport.schema.json"}
	cmd.AddCommand(&cobra.Command{
		Use:     "check FILE",
		Short:   "Say everything that is wrong with a configuration and what it names",
		Long:    "check reads a configuration as serve does, with its policies and credentials. It exits with 1 when serve would not take it.",
		Example: "  sallyport config check /etc/sallyport/sallyport.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := config.Load(args[0])
			if err == nil {
				_, err = newPlan(cmd.Context(), args[0], f)
			}
			if err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), inWords(err.Error()))
				return &exitError{code: 1}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
			return nil
		},
	}, &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a configuration, for editors",
		Example: "  sallyport config schema > sallyport.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	})
	return group(cmd)
}
