package config

// An As is how a secret is placed; one that says no more than way is written as that.
// Otherwise one of header, cookie, json and form says where.
type As struct {
	Way    Text `yaml:"way" short:"yes" doc:"bearer, basic:USER, header:NAME, query:NAME, cookie:NAME, json:/POINTER, form:NAME or sigv4:SERVICE:REGION:ACCESS_KEY_ID"`
	Header Text `yaml:"header" doc:"name of a header field"`
	Format Text `yaml:"format" doc:"what is put into the header: text with {secret}, {user} or other parts of what the source gives; by default {secret}"`
	Cookie Text `yaml:"cookie" doc:"name of a cookie"`
	JSON   Text `yaml:"json" doc:"pointer to a member of a JSON body (RFC 6901), such as /api_key"`
	Form   Text `yaml:"form" doc:"name of a field of a form"`

	SigV4 SigV4 `yaml:"sigv4" doc:"requests are signed for AWS, and for what speaks as it does"`
}

// A SigV4 is how requests are signed for AWS.
type SigV4 struct {
	Service Text   `yaml:"service" doc:"the service, such as s3" need:"yes"`
	Regions []Text `yaml:"regions" doc:"regions that may be signed for" need:"yes"`
	KeyID   Text   `yaml:"access_key_id" doc:"the access key id; by default what the source says"`
}

// A Placeholder is what a sandbox is given in the place of a secret; one that says no
// more than env is written as that.
type Placeholder struct {
	Env   Text `yaml:"env" short:"yes" doc:"variable that it is given in"`
	Shape Text `yaml:"shape" doc:"what it looks like: text with one {N} for N random letters and digits, such as sk-{48}; by default as known kinds of tokens"`
}
