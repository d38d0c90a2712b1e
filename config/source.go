package config

// A Source is where a secret comes from: one of these. One that says no more than
// from is written as that.
type Source struct {
	At     Pos    `yaml:"-"` // of the mapping
	From   Text   `yaml:"from" short:"yes" doc:"env:VARIABLE or file:PATH"`
	OAuth2 OAuth2 `yaml:"oauth2" doc:"a token endpoint of OAuth 2.0"`
	Exec   Exec   `yaml:"exec" doc:"a program that prints it"`
}

// OAuth2 is a client of a token endpoint.
type OAuth2 struct {
	At           Pos      `yaml:"-"` // zero when nothing is said
	Grant        Text     `yaml:"grant" doc:"client_credentials, refresh_token, jwt_bearer or token_exchange" need:"yes"`
	TokenURL     Text     `yaml:"token_url" doc:"the endpoint, https://HOST[:PORT]/PATH" need:"yes"`
	ClientID     Text     `yaml:"client_id" doc:"the client's name"`
	ClientSecret Text     `yaml:"client_secret" doc:"where the client's secret is: env:VARIABLE or file:PATH"`
	Auth         Text     `yaml:"auth" doc:"how the client says who it is: basic, which is the default with a secret, post, private_key_jwt, or none"`
	Scopes       []Text   `yaml:"scopes" doc:"scopes that are asked for"`
	Audience     Text     `yaml:"audience" doc:"for whom the token is, where the server knows that"`
	Resource     Text     `yaml:"resource" doc:"URI for which the token is (RFC 8707)"`
	Choose       []Text   `yaml:"choose" doc:"what policy may choose: scope, of those in scopes if there are any, audience, resource"`
	Token        Text     `yaml:"token" doc:"where the token is that is refreshed or exchanged, or a ready assertion: env:VARIABLE or file:PATH, read anew each time"`
	TokenType    Text     `yaml:"token_type" doc:"type of the token that is exchanged; the default is urn:ietf:params:oauth:token-type:jwt"`
	WantedType   Text     `yaml:"wanted_type" doc:"type of the token that an exchange is to give"`
	Key          Text     `yaml:"key" doc:"where the private key is that signs assertions: env:VARIABLE or file:PATH, PEM"`
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
