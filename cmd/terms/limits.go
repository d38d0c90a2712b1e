package terms

import (
	"fmt"
	"strconv"
	"strings"

	"sallyport/admin"
	"sallyport/config"
	"sallyport/sandbox"
)

// bounds are how much a limit can be.
var bounds = []struct {
	name string
	most int
	of   func(*sandbox.Limits) *int
	in   func(*admin.LimitsPatch) **int
}{
	{"connections", 1 << 16, func(l *sandbox.Limits) *int { return &l.Connections }, func(p *admin.LimitsPatch) **int { return &p.Connections }},
	{"requests", 1 << 16, func(l *sandbox.Limits) *int { return &l.Requests }, func(p *admin.LimitsPatch) **int { return &p.Requests }},
	{"rate", 1_000_000, func(l *sandbox.Limits) *int { return &l.Rate }, func(p *admin.LimitsPatch) **int { return &p.Rate }},
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
	l := sandbox.Limits{Connections: int(c.Connections.N), Requests: int(c.Requests.N), Rate: int(c.Rate.N)}
	at := []config.Pos{c.Connections.Pos, c.Requests.Pos, c.Rate.Pos}
	for i, b := range bounds {
		if n := *b.of(&l); n > b.most {
			bad.Add(at[i], key+"."+b.name, "%d is more than %d, which is the most: say less, or leave it out for the default", n, b.most)
		}
	}
	return l
}

// ParseLimits reads KEY=N, and KEY- for the default.
func ParseLimits(args []string) (*admin.LimitsPatch, error) {
	p := &admin.LimitsPatch{}
	for _, a := range args {
		name, text, ok := strings.Cut(a, "=")
		n, err := strconv.Atoi(text)
		if usual, cut := strings.CutSuffix(a, "-"); !ok && cut {
			name, n, err = usual, 0, nil
		}
		known := false
		for _, b := range bounds {
			if b.name == name {
				*b.in(p), known = &n, true
			}
		}
		if !known || err != nil {
			return nil, fmt.Errorf("limit %q: expected connections=N, requests=N or rate=N, or the name and a hyphen for the default", a)
		}
	}
	return p, nil
}
