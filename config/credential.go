package config

// A Credential is a secret and where it may go.
type Credential struct {
	Name   Text   `yaml:"name" doc:"name that policies use" need:"yes"`
	Source Source `yaml:"source" doc:"where the secret is" need:"yes"`
	Bind   Bind   `yaml:"bind" doc:"where it may be sent" need:"yes"`
	As     As     `yaml:"as" doc:"how it is placed; by default bearer"`

	ClientValue Text        `yaml:"client_value" doc:"what becomes of a value that the client has there: strip, which is the default, require_placeholder or reject"`
	Placeholder Placeholder `yaml:"placeholder" doc:"what sandboxes are given in its place; by default nothing"`
}

// A Bind is where a secret may be sent: all that it says has to hold. One that says
// no more than to is written as that.
type Bind struct {
	To      Text   `yaml:"to" short:"yes" doc:"the one destination, https://HOST[:PORT]" need:"yes"`
	Methods []Text `yaml:"methods" doc:"methods of requests that may have it; by default all"`
	Paths   []Text `yaml:"paths" doc:"paths of requests that may have it: /v1/chat is that, /v1/ all below it; by default all"`
	Labels  []Pair `yaml:"labels" doc:"labels that a sandbox has for its requests to have it; by default all sandboxes"`
}
