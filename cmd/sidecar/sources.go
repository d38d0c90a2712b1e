package sidecar

import "sallyport/config"

// sourcesOf tells of all that a source names of the file system: where its secrets are, and
// files that are read as they are.
func sourcesOf(c config.Source, key string, secret, file func(at config.Text, key string)) {
	secrets := func(key string, of map[string]config.Text) {
		for k, t := range of {
			secret(t, key+"."+k)
		}
	}
	secret(c.From, key)
	secrets(key+".oauth2", map[string]config.Text{"client_secret": c.OAuth2.ClientSecret, "token": c.OAuth2.Token, "key": c.OAuth2.Key})
	secrets(key+".age", map[string]config.Text{"identity": c.Age.Identity})
	secrets(key+".github_app", map[string]config.Text{"key": c.GitHub.Key})
	secrets(key+".aws", map[string]config.Text{"access_key_id": c.AWS.KeyID, "secret_access_key": c.AWS.Key, "session_token": c.AWS.Token, "web_identity_token": c.AWS.Identity})
	secrets(key+".gcp", map[string]config.Text{"key": c.GCP.Key})
	v := c.Vault
	secrets(key+".vault", map[string]config.Text{"token": v.Token, "approle.role_id": v.AppRole.RoleID, "approle.secret_id": v.AppRole.SecretID, "kubernetes.jwt": v.Kubernetes.JWT})
	file(c.Age.File, key+".age.file")
	for kind, ca := range map[string]config.Text{"oauth2": c.OAuth2.CA, "github_app": c.GitHub.CA, "aws": c.AWS.CA, "gcp": c.GCP.CA, "vault": v.CA} {
		file(ca, key+"."+kind+".ca")
	}
}
