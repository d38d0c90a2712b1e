package terms

import (
	"context"
	"time"

	"sallyport/config"
	"sallyport/credentials"
	"sallyport/credentials/age"
	"sallyport/credentials/file"
	"sallyport/credentials/vault"
)

// onDisk is how long what comes from files alone is kept: it is cheap to look again.
const onDisk = 10 * time.Second

// age opens an encrypted file.
func (o *opening) age(c config.Age) (credentials.Source, credentials.Terms) {
	path := o.Rel(c.File.S)
	sealed, err := file.NewDocument(path)
	if err != nil {
		o.wrong(c.File, "file", "%v", err)
	}
	identity := o.needed(c.Identity, "identity")
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := opened(age.New(context.Background(), path, sealed, identity))
	return o.done(src, err, credentials.Terms{Life: onDisk})
}

// vault opens a secret of a server.
func (o *opening) vault(c config.Vault) (credentials.Source, credentials.Terms) {
	a, k := c.AppRole, c.Kubernetes
	opts := vault.Options{At: o.endpoint(c.URL, "url", c.CA, c.AllowHTTP), Namespace: c.Namespace.S, Path: c.Path.S, Field: c.Field.S, Public: pairs(c.Public),
		Login: vault.Login{Token: o.plain(c.Token, "token", true), RoleID: o.plain(a.RoleID, "approle.role_id", true), SecretID: o.plain(a.SecretID, "approle.secret_id", true),
			Role: k.Role.S, Account: o.plain(k.JWT, "kubernetes.jwt", true), Mount: usual(a.Mount, k.Mount.S).S}}
	if !o.ok {
		return nil, credentials.Terms{}
	}
	src, err := opened(vault.New(opts))
	return o.done(src, err, credentials.Terms{Timeout: c.Timeout.D, Life: c.Life.D})
}
