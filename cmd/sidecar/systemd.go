package sidecar

import (
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// controlListener is the control socket: the one that systemd made and handed over,
// or one of our own.
func controlListener(path string) (*net.UnixListener, error) {
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("the sockets that systemd hands over: %w", err)
	}
	if len(handed) == 0 {
		return unixListener("unix", path, 0o666, -1) // who may command is asked of the kernel
	}
	l, ok := handed[0].(*net.UnixListener)
	if len(handed) > 1 || !ok || l.Addr().Network() != "unix" || l.Addr().String() != path {
		for _, h := range handed {
			if h != nil {
				_ = h.Close()
			}
		}
		return nil, fmt.Errorf("systemd hands over %s, and the configuration has control.socket: %s: make the ListenStream of the socket unit that, and the only one", addresses(handed), path)
	}
	return l, nil
}

func addresses(ls []net.Listener) (out string) {
	for i, l := range ls {
		if i > 0 {
			out += ", "
		}
		if l == nil {
			out += "what does not listen"
			continue
		}
		out += l.Addr().Network() + " " + l.Addr().String()
	}
	return out
}

// A supervisor is told how serve is, by the protocol of sd_notify(3). Without one
// nothing is told.
type supervisor struct{ stop chan struct{} }

// watched tells systemd that serve is ready, and from then on, as often as it asks
// for, that it is alive: alive is asked before.
func (s *supervisor) watched(alive func() bool) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return err
	}
	s.stop = make(chan struct{})
	go func() {
		t := time.NewTicker(every / 3)
		defer t.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-t.C:
				if alive() {
					_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
				}
			}
		}
	}()
	return nil
}

// reloading tells that the configuration is read; it returns what tells of the end.
func (s *supervisor) reloading() (done func()) {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	_, _ = daemon.SdNotify(false, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	return func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }
}

func (s *supervisor) stopping() error {
	if s.stop != nil {
		close(s.stop)
	}
	_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}
