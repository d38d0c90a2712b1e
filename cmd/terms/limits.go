package terms

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/admin"
	"sallyport/config"
	"sallyport/sandbox"
)

// bounds are how much a limit can be.
var bounds = []struct {
	name string
	most int // or as many seconds, of what is a time
	time bool
	of   func(*sandbox.Limits) *int
	in   func(*admin.LimitsPatch) **int
}{
	{"connections", 1 << 16, false, func(l *sandbox.Limits) *int { return &l.Connections }, func(p *admin.LimitsPatch) **int { return &p.Connections }},
	{"requests", 1 << 16, false, func(l *sandbox.Limits) *int { return &l.Requests }, func(p *admin.LimitsPatch) **int { return &p.Requests }},
	{"rate", 1_000_000, false, func(l *sandbox.Limits) *int { return &l.Rate }, func(p *admin.LimitsPatch) **int { return &p.Rate }},
	{"tunnel_idle", 7 * 86400, true, func(l *sandbox.Limits) *int { return &l.TunnelIdle }, func(p *admin.LimitsPatch) **int { return &p.TunnelIdle }},
	{"tunnel_life", 365 * 86400, true, func(l *sandbox.Limits) *int { return &l.TunnelLife }, func(p *admin.LimitsPatch) **int { return &p.TunnelLife }},
}

// LimitsOf are the limits that the API was told of.
func LimitsOf(in admin.Limits) (sandbox.Limits, error) {
	l := sandbox.Limits(in)
	for _, b := range bounds {
		if n := *b.of(&l); n < 0 || n > b.most {
			return l, fmt.Errorf("%w: limits.%s %d: expected 1 to %d, or 0 for the default", admin.ErrInvalid, b.name, n, b.most)
		}
	}
	return l, nil
}

// PatchedLimits are limits after a patch, and what changed.
func PatchedLimits(l sandbox.Limits, p *admin.LimitsPatch) (sandbox.Limits, string, error) {
	var said []string
	for _, b := range bounds {
		if n := *b.in(p); n != nil {
			*b.of(&l) = *n
			said = append(said, fmt.Sprintf("%s=%d", b.name, *n))
		}
	}
	l, err := LimitsOf(admin.Limits(l))
	return l, strings.Join(said, " "), err
}

// LimitsIn are the limits of a configuration.
func LimitsIn(bad *config.Problems, key string, c config.Limits) sandbox.Limits {
	l := sandbox.Limits{Connections: int(c.Connections.N), Requests: int(c.Requests.N), Rate: int(c.Rate.N), TunnelIdle: seconds(c.TunnelIdle.D), TunnelLife: seconds(c.TunnelLife.D)}
	at := []config.Pos{c.Connections.Pos, c.Requests.Pos, c.Rate.Pos, c.TunnelIdle.Pos, c.TunnelLife.Pos}
	for i, b := range bounds {
		n := *b.of(&l)
		switch {
		case n > b.most && b.time:
			bad.Add(at[i], key+"."+b.name, "%v is more than %v, which is the most: say less, or leave it out for the default", time.Duration(n)*time.Second, time.Duration(b.most)*time.Second)
		case n > b.most:
			bad.Add(at[i], key+"."+b.name, "%d is more than %d, which is the most: say less, or leave it out for the default", n, b.most)
		}
	}
	return l
}

// seconds are those that have begun.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// ParseLimits reads KEY=N or KEY=TIME, and KEY- for the default.
func ParseLimits(args []string) (*admin.LimitsPatch, error) {
	p := &admin.LimitsPatch{}
	for _, a := range args {
		name, text, ok := strings.Cut(a, "=")
		usual, cut := strings.CutSuffix(a, "-")
		known := false
		for _, b := range bounds {
			var n int
			var err error
			switch {
			case !ok && cut && b.name == usual:
			case b.name != name:
				continue
			case b.time:
				var d time.Duration
				if d, err = time.ParseDuration(text); d < 0 {
					err = strconv.ErrRange
				}
				n = seconds(d)
			default:
				n, err = strconv.Atoi(text)
			}
			*b.in(p), known = &n, err == nil
		}
		if !known {
			return nil, fmt.Errorf("limit %q: expected connections=N, requests=N, rate=N, tunnel_idle=TIME or tunnel_life=TIME, such as 30m, or the name and a hyphen for the default", a)
		}
	}
	return p, nil
}

// SayLimits tells those that are set, such as rate 7, tunnel_idle 30m0s.
func SayLimits(in admin.Limits) (said []string) {
	l := sandbox.Limits(in)
	for _, b := range bounds {
		n := *b.of(&l)
		switch {
		case n > 0 && b.time:
			said = append(said, fmt.Sprintf("%s %v", b.name, time.Duration(n)*time.Second))
		case n > 0:
			said = append(said, fmt.Sprintf("%s %d", b.name, n))
		}
	}
	return said
}
