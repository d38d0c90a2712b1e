package credentials

import (
	"context"
	"fmt"
)

// A State is what may be told of a credential: never its value.
type State struct {
	Name          string
	Kind          Kind
	Place, Source string
	Bind          string // https://HOST:PORT
	Version       string
	Err           error // why it is not available now, without known secrets; nil when it is
}

// States asks each source, and tells of all in the order of their bindings.
func (s *Store) States(ctx context.Context) []State {
	out := make([]State, 0, len(s.bindings))
	for i := range s.bindings {
		b := &s.bindings[i]
		st := State{Name: b.Name, Kind: b.Place.Kind, Place: b.Place.String(), Source: b.Source.String(), Bind: b.Bind.String()}
		v, err := b.Source.Fetch(ctx, nil)
		if err != nil {
			st.Err = fmt.Errorf("%s", s.RedactString(err.Error()))
		} else {
			st.Version = v.Version
			s.learn(b, nil, v)
		}
		out = append(out, st)
	}
	return out
}
