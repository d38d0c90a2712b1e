package terms

import (
	"context"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/assertion"
	"sallyport/credentials/aws"
	"sallyport/credentials/endpoint"
	"sallyport/credentials/gcp"
	"sallyport/credentials/github"
)

// usual is a text, or what is usual where there is none.
func usual(t config.Text, otherwise string) config.Text {
	if t.S == "" {
		t.S = otherwise
	}
	return t
}

// pairs are the pairs of a mapping; nil when there are none.
func pairs(ps []config.Pair) (out map[string]string) {
	for _, p := range ps {
		if out == nil {
			out = map[string]string{}
		}
		out[p.Key.S] = p.Value.S
	}
	return out
}

// done is a source that was made, or what is wrong with it as a whole.
func (o *opening) done(src credentials.Source, err error, t credentials.Terms) (credentials.Source, credentials.Terms) {
	if err != nil {
		o.wrong(config.Text{}, "", "%v", err)
		return nil, t
	}
	return src, t
}

// github opens an installation of a GitHub App.
func (o *opening) github(c config.GitHub) (credentials.Source, credentials.Terms) {
	opts := github.Options{At: o.endpoint(usual(c.URL, github.API), "url", c.CA, config.Bool{}), App: c.AppID.S, Installation: c.InstallationID.S,
		Signer: assertion.Signer{Key: o.needed(c.Key, "key")}, Repositories: texts(c.Repositories), Permissions: pairs(c.Permissions)}
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := opened(github.New(context.Background(), opts))
	return o.done(src, err, credentials.Terms{Timeout: c.Timeout.D})
}

// aws opens an access key or a role.
func (o *opening) aws(c config.AWS) (credentials.Source, credentials.Terms) {
	opts := aws.Options{KeyID: o.plain(c.KeyID, "access_key_id", true), Key: o.plain(c.Key, "secret_access_key", true), Token: o.plain(c.Token, "session_token", true),
		Identity: o.plain(c.Identity, "web_identity_token", true), Region: c.Region.S, Role: c.Role.S, Session: c.Session.S, External: c.External.S,
		Policy: c.Policy.S, Policies: texts(c.Policies), Life: c.Duration.D, Choose: texts(c.Choose)}
	if c.Role.S != "" && c.Region.S != "" {
		opts.At = o.endpoint(usual(c.URL, "https://sts."+c.Region.S+".amazonaws.com/"), "url", c.CA, config.Bool{})
	}
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := opened(aws.New(opts))
	t := credentials.Terms{Timeout: c.Timeout.D}
	if c.Role.S == "" {
		t.Life = onDisk
	}
	return o.done(src, err, t)
}

// gcp opens a service account.
func (o *opening) gcp(c config.GCP) (credentials.Source, credentials.Terms) {
	opts := gcp.Options{Key: o.needed(c.Key, "key"), Account: c.Account.S, Scopes: texts(c.Scopes), Audience: c.Audience.S, Life: c.Lifetime.D}
	if c.TokenURL.S != "" {
		opts.Token = o.endpoint(c.TokenURL, "token_url", c.CA, config.Bool{})
	}
	opts.Open = func(u string) (*endpoint.Endpoint, error) {
		var more endpoint.Options
		if c.CA.S != "" {
			more.CA = o.Rel(c.CA.S)
		}
		return endpoint.New(u, more)
	}
	if c.Account.S != "" {
		opts.IAM = o.endpoint(usual(c.IAMURL, gcp.IAM), "iam_url", c.CA, config.Bool{})
	}
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := opened(gcp.New(context.Background(), opts))
	return o.done(src, err, credentials.Terms{Timeout: c.Timeout.D})
}
