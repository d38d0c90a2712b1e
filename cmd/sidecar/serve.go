package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/cmd/terms"
	"sallyport/cmd/words"
	"sallyport/credentials"
	"sallyport/proxy"
	"sallyport/proxy/leaf"
)

// Serve runs the sidecar of a configuration until ctx ends.
func Serve(ctx context.Context, file string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	log := words.NewLogger().Level(zerolog.InfoLevel)
	memory := limitMemory()
	var held credentials.Shared
	fetched := &feeds{}
	p, err := loadPlan(ctx, file, &held, fetched)
	if err != nil {
		return err
	}
	f := p.file
	issuer, err := leaf.Open(f.State.S, CAOptions(CADays))
	if err != nil {
		return err
	}
	seed, err := seedOf(f.State.S)
	if err != nil {
		return err
	}
	keys := &keyring{seed: seed}
	if err := keys.openRevoked(f.State.S); err != nil {
		return err
	}
	keys.use(p.store)
	var s *sidecar
	meter, recent := newMeter(func() *sidecar { return s }), audit.NewRecent(recentDecisions, recentBytes)
	written, err := audit.Open(f.Audit.Dir.S, audit.Options{Service: words.Version(), Filter: keys.redact, SegmentBytes: f.Audit.Segment.N, Written: func(b []byte) { meter.Wrote(b); recent.Wrote(b) }})
	if err != nil {
		return err
	}
	defer written.Close()
	records := newJournal(written, meter)
	srv, err := proxy.New(proxy.Config{Audit: records, Credentials: keys, Issuer: issuer, MaxInspected: memory / 4, Resolver: terms.Resolver(p.resolve, nil), Exchanger: terms.NameServers(nil), AllowPrivate: p.allowPrivate, UpstreamRoots: p.roots, Log: log,
		MaxConns: p.limits.Connections, MaxRequests: p.limits.Requests, MaxRate: p.limits.Rate,
		TunnelIdle: time.Duration(p.limits.TunnelIdle) * time.Second, TunnelLife: time.Duration(p.limits.TunnelLife) * time.Second, Progress: f.Audit.Progress.D})
	if err != nil {
		return err
	}
	shelf, err := openShelf(f.State.S)
	if err != nil {
		return err
	}
	defer shelf.lock.Close()
	shadows := newShadowing(records, meter)
	p.shadows = shadows.ask
	s = newSidecar(f, srv, records, issuer, keys, p, shelf)
	s.recent, s.memory, s.held, s.feeds, s.meter, s.shadows = recent, memory, &held, fetched, meter, shadows.ask
	defer s.starve()
	defer func() { s.plan.Load().close() }()
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.ship(p); err != nil {
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
	s.mu.Lock()
	s.feed(ctx, s.plan.Load())
	s.mu.Unlock()
	go shadows.ask.Run(apiCtx)
	go paceGarbage(apiCtx, time.Second)
	go watchClock(apiCtx, clockEvery, machineClocks(), s.clockJumped)
	p.warn(log)
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
