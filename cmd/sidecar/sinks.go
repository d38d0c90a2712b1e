package sidecar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"sallyport/admin"
	"sallyport/audit"
	"sallyport/audit/ship"
	"sallyport/cmd/terms"
	"sallyport/config"
	"sallyport/metrics"
)

// sinks are those of the configuration.
func (p *plan) readSinks(bad *config.Problems, rel func(string) string) {
	for i, c := range p.file.Audit.Sinks {
		key := fmt.Sprintf("audit.sinks[%d]", i)
		if slices.ContainsFunc(p.sinks, func(s *terms.Sink) bool { return s.Name == c.Name.S }) {
			bad.Add(c.Name.Pos, key+".name", "there are two sinks %q", c.Name.S)
			continue
		}
		if s := terms.SinkOf(bad, key, c, rel); s != nil {
			p.sinks = append(p.sinks, s)
		}
	}
}

// drainSinks is how long sinks get what is left when serve ends, in all.
const drainSinks = 5 * time.Second

// ship begins to bring records to the sinks.
func (s *sidecar) ship(p *plan) error {
	for _, x := range p.sinks {
		name := x.Name
		sh, err := ship.Start(s.records.Log, x.Sink, ship.Options{
			Name: name, Dir: filepath.Join(s.file.Audit.Dir.S, "sinks"), Wants: x.Wants, Redact: s.keys.RedactString,
			Changed: func(err error) { s.sinkChanged(name, err) },
			Lost: func(first, last uint64, why string) {
				s.log.Error().Str("sink", name).Uint64("first", first).Uint64("last", last).Str("error", why).Msg("the sink does not get records")
				_ = s.records.Append(&audit.Event{Name: audit.SinkRejected, Lifecycle: &audit.Lifecycle{Detail: map[string]string{"sink": name, "first": fmt.Sprint(first), "last": fmt.Sprint(last), "error": why}}})
			},
		})
		if err != nil {
			return fmt.Errorf("the sink %s: %w", name, err)
		}
		s.shippers = append(s.shippers, shipping{sh, x})
	}
	return nil
}

// shipping is a sink that is shipped to.
type shipping struct {
	*ship.Shipper
	to *terms.Sink
}

// sinkChanged says that a sink gets nothing, or does again.
func (s *sidecar) sinkChanged(name string, err error) {
	d := map[string]string{"sink": name, "state": "working"}
	if err != nil {
		d["state"], d["error"] = "failing", err.Error()
		s.log.Error().Str("sink", name).Str("error", err.Error()).Msg("the sink gets no records; they are kept and sent later")
	} else {
		s.log.Info().Str("sink", name).Msg("the sink gets records again")
	}
	_ = s.records.Append(&audit.Event{Name: audit.SinkState, Lifecycle: &audit.Lifecycle{Detail: d}})
}

// endShipping gives sinks what is left, for a while.
func (s *sidecar) endShipping() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainSinks)
	defer cancel()
	var errs []error
	for _, sh := range s.shippers {
		errs = append(errs, sh.Stop(ctx))
	}
	return errors.Join(errs...)
}

// tellSinks tells how the sinks are, and why serve is not ready for one.
func (s *sidecar) tellSinks(out *admin.Status) {
	for _, sh := range s.shippers {
		st := sh.State()
		x := admin.Sink{Name: st.Name, Receiver: st.Kind, Required: sh.to.Required, Sent: st.Sent, Behind: st.Behind, Rejected: st.Rejected, Error: st.Err}
		if !st.Last.IsZero() {
			x.Last = &st.Last
		}
		if !st.Since.IsZero() {
			x.Since = &st.Since
			if sh.to.Required {
				out.Ready, out.Reasons = false, append(out.Reasons, "the sink "+st.Name+" gets no records: "+st.Err)
			}
		}
		out.Sinks = append(out.Sinks, x)
	}
}

// required reports whether every sink that has to gets records.
func (s *sidecar) shipped() bool {
	return !slices.ContainsFunc(s.shippers, func(sh shipping) bool { return sh.to.Required && sh.State().Err != "" })
}

// meterSinks is how the sinks are, for metrics.
func (s *sidecar) meterSinks() (out []metrics.Sink) {
	for _, sh := range s.shippers {
		st := sh.State()
		out = append(out, metrics.Sink{Name: st.Name, Behind: st.Behind, Rejected: st.Rejected, Working: st.Err == ""})
	}
	return out
}
