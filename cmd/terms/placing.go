package terms

import (
	"errors"
	"strings"

	"sallyport/config"
	"sallyport/credentials"
)

// placeOf reads how a secret is placed. What says nothing is bearer.
func placeOf(a config.As) (credentials.Place, error) {
	var said []credentials.Place
	for _, w := range []struct {
		kind credentials.Kind
		name config.Text
	}{{credentials.Header, a.Header}, {credentials.Cookie, a.Cookie}, {credentials.JSON, a.JSON}, {credentials.Form, a.Form}} {
		if w.name.S != "" {
			said = append(said, credentials.Place{Kind: w.kind, Name: w.name.S})
		}
	}
	if v := a.SigV4; v.Service.S != "" {
		var regions []string
		for _, r := range v.Regions {
			regions = append(regions, r.S)
		}
		said = append(said, credentials.Place{Kind: credentials.SigV4, Name: v.Service.S, User: v.KeyID.S, Region: strings.Join(regions, ",")})
	}
	if a.Way.S != "" {
		p, err := credentials.ParsePlace(a.Way.S)
		if err != nil {
			return p, err
		}
		said = append(said, p)
	}
	switch {
	case len(said) > 1:
		return said[0], errors.New("a secret has one place: way, header, cookie, json, form or sigv4")
	case len(said) == 0 && a.Format.S != "":
		return credentials.Place{}, errors.New("format is of a header, which is missing")
	case len(said) == 0:
		return credentials.Place{Kind: credentials.Bearer}, nil
	case a.Format.S != "" && a.Header.S == "":
		return said[0], errors.New("only a header has a format")
	}
	said[0].Format = a.Format.S
	return said[0], nil
}

// saidOf is where the configuration says it.
func saidOf(a config.As) config.Text {
	for _, t := range []config.Text{a.Way, a.Header, a.Cookie, a.JSON, a.Form, a.SigV4.Service, a.Format} {
		if t.S != "" {
			return t
		}
	}
	return config.Text{}
}

// placeholderOf is what sandboxes are given, nil when it is nothing.
func placeholderOf(p config.Placeholder) *credentials.Placeholder {
	if p == (config.Placeholder{}) {
		return nil
	}
	return &credentials.Placeholder{Env: p.Env.S, Shape: p.Shape.S}
}
