package config

// A Source is where a secret comes from: one of these. One that says no more than
// from is written as that.
type Source struct {
	At     Pos    `yaml:"-"` // of the mapping
	From   Text   `yaml:"from" short:"yes" doc:"env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	OAuth2 OAuth2 `yaml:"oauth2" doc:"a token endpoint of OAuth 2.0"`
	Exec   Exec   `yaml:"exec" doc:"a program that prints it"`
	Age    Age    `yaml:"age" doc:"an encrypted one on disk"`
	GitHub GitHub `yaml:"github_app" doc:"an installation of a GitHub App"`
	AWS    AWS    `yaml:"aws" doc:"an access key or a role of AWS"`
	GCP    GCP    `yaml:"gcp" doc:"a service account of Google Cloud"`
	Vault  Vault  `yaml:"vault" doc:"HashiCorp Vault or OpenBao"`
}

// OAuth2 is a client of a token endpoint.
type OAuth2 struct {
	At           Pos      `yaml:"-"` // zero when nothing is said
	Grant        Text     `yaml:"grant" doc:"client_credentials, refresh_token, jwt_bearer or token_exchange" need:"yes"`
	TokenURL     Text     `yaml:"token_url" doc:"the endpoint, https://HOST[:PORT]/PATH" need:"yes"`
	ClientID     Text     `yaml:"client_id" doc:"the client's name"`
	ClientSecret Text     `yaml:"client_secret" doc:"where the client's secret is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	Auth         Text     `yaml:"auth" doc:"how the client says who it is: basic, which is the default with a secret, post, private_key_jwt, or none"`
	Scopes       []Text   `yaml:"scopes" doc:"scopes that are asked for"`
	Audience     Text     `yaml:"audience" doc:"for whom the token is, where the server knows that"`
	Resource     Text     `yaml:"resource" doc:"URI for which the token is (RFC 8707)"`
	Choose       []Text   `yaml:"choose" doc:"what policy may choose: scope, of those in scopes if there are any, audience, resource"`
	Token        Text     `yaml:"token" doc:"where the token is that is refreshed or exchanged, or a ready assertion: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, read anew each time"`
	TokenType    Text     `yaml:"token_type" doc:"type of the token that is exchanged; the default is urn:ietf:params:oauth:token-type:jwt"`
	WantedType   Text     `yaml:"wanted_type" doc:"type of the token that an exchange is to give"`
	Key          Text     `yaml:"key" doc:"where the private key is that signs assertions: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, PEM"`
	KeyID        Text     `yaml:"key_id" doc:"name of that key in assertions"`
	Issuer       Text     `yaml:"issuer" doc:"whose word an assertion is"`
	Subject      Text     `yaml:"subject" doc:"whom an assertion speaks of; the default is its issuer"`
	AssertionFor Text     `yaml:"assertion_audience" doc:"for whom an assertion is; the default is token_url"`
	Claims       []Pair   `yaml:"claims" doc:"what an assertion says beside that"`
	Timeout      Duration `yaml:"timeout" doc:"how long an answer is waited for; the default is 5s"`
	CA           Text     `yaml:"ca" doc:"PEM file of CAs that the endpoint's certificate may be of, beside the system's"`
	AllowHTTP    Bool     `yaml:"allow_http" doc:"whether token_url may be http elsewhere than on this machine"`
}

// Exec is a program that prints a secret. Only what the configuration names when serve
// starts is run.
type Exec struct {
	At       Pos      `yaml:"-"`
	Protocol Text     `yaml:"protocol" doc:"exec_credential, aws_process, git, docker or raw" need:"yes"`
	Command  []Text   `yaml:"command" doc:"the program, from the root, and its arguments; no shell reads them" need:"yes"`
	Env      []Pair   `yaml:"env" doc:"all of its environment; secrets have no place here"`
	Host     Text     `yaml:"host" doc:"for whom git and docker helpers are asked; the default is the host of bind"`
	Timeout  Duration `yaml:"timeout" doc:"after which it is killed, with what it started; the default is 10s"`
	Life     Duration `yaml:"life" doc:"how long what does not say when it ends is kept; the default is 10m"`
}

// Age is a secret in a file that is encrypted with age.
type Age struct {
	At       Pos  `yaml:"-"`
	File     Text `yaml:"file" doc:"path of the encrypted file" need:"yes"`
	Identity Text `yaml:"identity" doc:"where the identity is that opens it: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER" need:"yes"`
}

// GitHub is an installation of a GitHub App.
type GitHub struct {
	At             Pos      `yaml:"-"`
	AppID          Text     `yaml:"app_id" doc:"the app's id, or client id" need:"yes"`
	InstallationID Text     `yaml:"installation_id" doc:"number of the installation" need:"yes"`
	Key            Text     `yaml:"key" doc:"where the app's private key is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, PEM" need:"yes"`
	Repositories   []Text   `yaml:"repositories" doc:"names of repositories, without their owner, that tokens are for; policy may choose fewer; by default all of the installation"`
	Permissions    []Pair   `yaml:"permissions" doc:"what tokens are for, such as contents: read; policy may choose less; by default all of the installation"`
	URL            Text     `yaml:"url" doc:"the API; the default is https://api.github.com"`
	Timeout        Duration `yaml:"timeout" doc:"how long an answer is waited for; the default is 5s"`
	CA             Text     `yaml:"ca" doc:"PEM file of CAs that the API's certificate may be of, beside the system's"`
}

// AWS is an access key, or a role.
type AWS struct {
	At       Pos      `yaml:"-"`
	KeyID    Text     `yaml:"access_key_id" doc:"where the access key id is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	Key      Text     `yaml:"secret_access_key" doc:"where its secret is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	Token    Text     `yaml:"session_token" doc:"where its session token is, if it has one: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	Identity Text     `yaml:"web_identity_token" doc:"where the token of a web identity is, in the place of a key: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, read anew each time"`
	Role     Text     `yaml:"role_arn" doc:"role that is assumed; without one the key is given as it is"`
	Region   Text     `yaml:"region" doc:"region of STS"`
	Session  Text     `yaml:"session_name" doc:"name of the session; the default is sallyport"`
	External Text     `yaml:"external_id" doc:"external id that the role asks for"`
	Policy   Text     `yaml:"session_policy" doc:"session policy in JSON, which makes the role narrower"`
	Policies []Text   `yaml:"session_policy_arns" doc:"managed policies that do so"`
	Duration Duration `yaml:"duration" doc:"how long a session lasts, from 15m to 12h; the default is 1h"`
	Choose   []Text   `yaml:"choose" doc:"what policy may choose: policy, a session policy"`
	URL      Text     `yaml:"url" doc:"STS; the default is that of the region"`
	Timeout  Duration `yaml:"timeout" doc:"how long an answer is waited for; the default is 5s"`
	CA       Text     `yaml:"ca" doc:"PEM file of CAs that the certificate of STS may be of, beside the system's"`
}

// GCP is a service account of Google Cloud.
type GCP struct {
	At       Pos      `yaml:"-"`
	Key      Text     `yaml:"key" doc:"where the JSON key of the account is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER" need:"yes"`
	Scopes   []Text   `yaml:"scopes" doc:"scopes of access tokens; policy may choose some of them"`
	Audience Text     `yaml:"audience" doc:"for whom ID tokens are, in the place of scopes; policy may choose another"`
	Account  Text     `yaml:"impersonate" doc:"email of another account, for which this one may act"`
	Lifetime Duration `yaml:"lifetime" doc:"how long tokens of that account last; the default is 1h"`
	TokenURL Text     `yaml:"token_url" doc:"token endpoint; the default is that of the key"`
	IAMURL   Text     `yaml:"iam_url" doc:"where tokens of another account are asked for; the default is https://iamcredentials.googleapis.com"`
	Timeout  Duration `yaml:"timeout" doc:"how long an answer is waited for; the default is 5s"`
	CA       Text     `yaml:"ca" doc:"PEM file of CAs that the endpoints' certificates may be of, beside the system's"`
}

// Vault is a secret in HashiCorp Vault or OpenBao.
type Vault struct {
	At         Pos             `yaml:"-"`
	URL        Text            `yaml:"url" doc:"the server, https://HOST[:PORT]" need:"yes"`
	Namespace  Text            `yaml:"namespace" doc:"its namespace; by default the root's"`
	Path       Text            `yaml:"path" doc:"what is read there: secret/data/app of KV 2, database/creds/app" need:"yes"`
	Field      Text            `yaml:"field" doc:"field that is the secret" need:"yes"`
	Public     []Pair          `yaml:"public" doc:"fields that need not be hidden, by the names that they get: user: username"`
	Token      Text            `yaml:"token" doc:"where the token is that logs in: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, read anew each time"`
	AppRole    VaultAppRole    `yaml:"approle" doc:"or the role of an application"`
	Kubernetes VaultKubernetes `yaml:"kubernetes" doc:"or a service account of Kubernetes"`
	Timeout    Duration        `yaml:"timeout" doc:"how long an answer is waited for; the default is 5s"`
	Life       Duration        `yaml:"life" doc:"how long what has no lease is kept; the default is 10m"`
	CA         Text            `yaml:"ca" doc:"PEM file of CAs that the server's certificate may be of, beside the system's"`
	AllowHTTP  Bool            `yaml:"allow_http" doc:"whether url may be http elsewhere than on this machine"`
}

// VaultAppRole logs in as an application.
type VaultAppRole struct {
	RoleID   Text `yaml:"role_id" doc:"where the role id is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	SecretID Text `yaml:"secret_id" doc:"where the secret id is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER"`
	Mount    Text `yaml:"mount" doc:"where the method is mounted; the default is approle"`
}

// VaultKubernetes logs in as a service account.
type VaultKubernetes struct {
	Role  Text `yaml:"role" doc:"role that the server has for it"`
	JWT   Text `yaml:"jwt" doc:"where its token is: env:VARIABLE, file:PATH, systemd:NAME or fd:NUMBER, read anew each time"`
	Mount Text `yaml:"mount" doc:"where the method is mounted; the default is kubernetes"`
}
