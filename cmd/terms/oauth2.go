package terms

import (
	"context"
	"path/filepath"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/oauth2"
)

// oauth2 opens a client of a token endpoint.
func (o *opening) oauth2(c config.OAuth2) (credentials.Source, credentials.Terms) {
	opts := oauth2.Options{
		At: o.endpoint(c.TokenURL, "token_url", c.CA, c.AllowHTTP), Grant: oauth2.Grant(c.Grant.S), ClientID: c.ClientID.S, Auth: c.Auth.S,
		Secret: o.plain(c.ClientSecret, "client_secret", true), Scopes: texts(c.Scopes), Audience: c.Audience.S, Resource: c.Resource.S, Choose: texts(c.Choose),
		Given: o.plain(c.Token, "token", true), GivenType: c.TokenType.S, WantedType: c.WantedType.S,
	}
	if key := o.plain(c.Key, "key", true); key != nil {
		opts.Signer = &oauth2.Assertion{Signer: assertion.Signer{Key: key, ID: c.KeyID.S}, Issuer: c.Issuer.S, Subject: c.Subject.S, Audience: c.AssertionFor.S}
		for _, p := range c.Claims {
			if opts.Signer.Claims == nil {
				opts.Signer.Claims = map[string]string{}
			}
			opts.Signer.Claims[p.Key.S] = p.Value.S
		}
		if err := opts.Signer.Check(context.Background(), opts.Grant == oauth2.JWTBearer); err != nil {
			o.wrong(c.Key, "key", "%v", err)
		}
	} else if c.Key.S == "" {
		for k, t := range map[string]config.Text{"key_id": c.KeyID, "issuer": c.Issuer, "subject": c.Subject, "assertion_audience": c.AssertionFor} {
			if t.S != "" {
				o.wrong(t, k, "it is for assertions, which key signs")
			}
		}
	}
	if opts.Grant == oauth2.RefreshToken {
		opts.Keep = oauth2.NewKeep(filepath.Join(o.State, "credentials"), c.TokenURL.S, c.ClientID.S, c.Token.S)
	}
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := oauth2.New(opts)
	if err != nil {
		o.wrong(c.Grant, "", "%v", err)
		return nil, credentials.Terms{}
	}
	return src, credentials.Terms{Timeout: c.Timeout.D}
}
