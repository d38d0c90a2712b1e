package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// ErrNoCredential is for a name that no credential has.
var ErrNoCredential = errors.New("there is no such credential")

func (s *Server) checkCredentials(w http.ResponseWriter, r *http.Request, _ Actor) error {
	if err := read(r, &struct{}{}); err != nil {
		return err
	}
	answer(w, http.StatusOK, orNone(s.Teller.CheckCredentials(r.Context())))
	return nil
}

// changing is a change of one credential.
func changing(change func(context.Context, Actor, string) (Credential, error)) func(http.ResponseWriter, *http.Request, Actor) error {
	return func(w http.ResponseWriter, r *http.Request, a Actor) error {
		if err := read(r, &struct{}{}); err != nil {
			return err
		}
		out, err := change(r.Context(), a, r.PathValue("name"))
		if err != nil {
			return err
		}
		answer(w, http.StatusOK, out)
		return nil
	}
}

// CheckCredentials has every source asked anew.
func (c *Client) CheckCredentials(ctx context.Context) (out []Credential, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/check", struct{}{}, &out)
	return out, err
}

// RotateCredential has one fetched anew before it is used again.
func (c *Client) RotateCredential(ctx context.Context, name string) (out Credential, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/"+url.PathEscape(name)+"/rotate", struct{}{}, &out)
	return out, err
}

// RevokeCredential gives one to nobody any more.
func (c *Client) RevokeCredential(ctx context.Context, name string) (out Credential, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/"+url.PathEscape(name)+"/revoke", struct{}{}, &out)
	return out, err
}
