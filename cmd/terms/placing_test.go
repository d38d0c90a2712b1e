package terms

import (
	"fmt"
	"testing"

	"sallyport/config"
	"sallyport/credentials"
)

func TestPlaceOf(t *testing.T) {
	is := func(s string) config.Text { return config.Text{S: s} }
	for _, c := range []struct {
		as   config.As
		want credentials.Place // the zero place is an error
	}{
		{config.As{}, credentials.Place{Kind: credentials.Bearer}},
		{config.As{Way: is("basic:bot")}, credentials.Place{Kind: credentials.Basic, User: "bot"}},
		{config.As{Header: is("X-Key"), Format: is("Token {secret}")}, credentials.Place{Kind: credentials.Header, Name: "X-Key", Format: "Token {secret}"}},
		{config.As{Cookie: is("sid")}, credentials.Place{Kind: credentials.Cookie, Name: "sid"}},
		{config.As{JSON: is("/a/b")}, credentials.Place{Kind: credentials.JSON, Name: "/a/b"}},
		{config.As{Form: is("key")}, credentials.Place{Kind: credentials.Form, Name: "key"}},
		{config.As{Way: is("nowhere")}, credentials.Place{}},
		{config.As{Way: is("bearer"), Header: is("X")}, credentials.Place{}},
		{config.As{Cookie: is("a"), Form: is("b")}, credentials.Place{}},
		{config.As{Format: is("{secret}")}, credentials.Place{}},
		{config.As{Cookie: is("a"), Format: is("{secret}")}, credentials.Place{}},
	} {
		got, err := placeOf(c.as)
		if (err != nil) != (c.want == credentials.Place{}) || err == nil && got != c.want {
			t.Errorf("%+v: %+v %v", c.as, got, err)
		}
		if said := saidOf(c.as); err != nil && said.S == "" {
			t.Errorf("%+v: nowhere", fmt.Sprint(c.as))
		}
	}
}
