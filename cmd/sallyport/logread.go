package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/audit"
)

// A logReader is what commands that go over a whole log have in common.
type logReader struct {
	since, until, sandbox string
	unverified            bool
	o                     audit.ReadOptions
	meter                 *meter
	now                   time.Time // of open
}

func (l *logReader) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.since, "since", "", "only records from this `TIME` on: 2026-01-02, 2026-01-02T15:04:05Z, or 24h for the last day")
	f.StringVar(&l.until, "until", "", "only records before this `TIME`")
	f.StringVar(&l.sandbox, "sandbox", "", "only records of the sandbox with this `NAME` or id")
	f.BoolVar(&l.unverified, "unverified", false, "read on where the log is not what was written")
}

// open makes sense of the flags. What is gone over is shown on a terminal.
func (l *logReader) open(stderr io.Writer) (err error) {
	l.now = time.Now()
	now := l.now
	if l.o.Since, err = parseWhen("--since", l.since, now); err != nil {
		return err
	}
	if l.o.Until, err = parseWhen("--until", l.until, now); err != nil {
		return err
	}
	if !l.o.Until.IsZero() && !l.o.Since.Before(l.o.Until) {
		return fmt.Errorf("--since %s is not before --until %s", l.since, l.until)
	}
	l.o.Unverified = l.unverified
	l.meter = &meter{}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		l.meter.w = f
	}
	l.o.Progress = l.meter.bytes
	return nil
}

// parseWhen is a time, a day, or how long ago; "" is the zero time.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%s %q: expected a time such as 2026-01-02T15:04:05Z, a day such as 2026-01-02, or how long ago, such as 24h", flag, s)
}

// A meter shows how far something is that takes long, if there is a terminal.
type meter struct {
	w           io.Writer // nil shows nothing
	done, total int64
	n           int
	shown       time.Time
}

func (m *meter) bytes(done, total int64) {
	m.done, m.total = done, total
	m.show()
}

func (m *meter) count(n int) {
	m.n = n
	m.show()
}

func (m *meter) show() {
	if m.w == nil || time.Since(m.shown) < 100*time.Millisecond {
		return
	}
	m.shown = time.Now()
	fmt.Fprintf(m.w, "\r%3d %%  %s decisions \x1b[K", min(100, 100*m.done/max(m.total, 1)), grouped(m.n))
}

// clear takes the line back.
func (m *meter) clear() {
	if m.w != nil && !m.shown.IsZero() {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// grouped is a number with commas between thousands.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
