package config

// Network is how upstreams are reached.
type Network struct {
	AllowPrivate []Text `yaml:"allow_private" doc:"prefixes that are not public and may be reached all the same, never metadata addresses"`
	UpstreamCA   []Text `yaml:"upstream_ca" doc:"files of certificates that upstreams may have theirs from, beside the system's"`
	Resolve      []Pair `yaml:"resolve" doc:"addresses of names that are not looked up"`

	Resolvers    []Resolver    `yaml:"resolvers" doc:"name servers, asked in order until one answers; by default the system's"`
	Destinations []Destination `yaml:"destinations" doc:"what is said of some upstreams; the first that matches counts"`
	Parents      []Parent      `yaml:"parents" doc:"other proxies, which carry connections to some destinations; the first that matches counts"`
	NoProxy      []Text        `yaml:"no_proxy" doc:"HOST[:PORT] or *.HOST[:PORT] that no parent carries"`
	Timeouts     Timeouts      `yaml:"timeouts" doc:"how long each stage towards an upstream may take"`
}

// A Resolver is a name server; one that says no more than url is written as that.
type Resolver struct {
	URL Text `yaml:"url" short:"yes" doc:"udp://ADDRESS[:PORT], tcp://ADDRESS[:PORT], tls://ADDRESS[:PORT][#NAME] or https://HOST[:PORT]/PATH[#NAME]; NAME is what its certificate is for" need:"yes"`
	CA  Text `yaml:"ca" doc:"PEM file of the CAs that its certificate may be of, in place of all others"`
}

// A Destination is what is said of some upstreams.
type Destination struct {
	Match      Text     `yaml:"match" doc:"HOST[:PORT] or *.HOST[:PORT]" need:"yes"`
	ExtraCA    Text     `yaml:"extra_ca" doc:"PEM file of CAs that their certificates may be of, beside the others"`
	CA         Text     `yaml:"ca" doc:"PEM file of the CAs that their certificates may be of, in place of all others"`
	ServerName Text     `yaml:"server_name" doc:"name that their certificate is for"`
	ClientCert Text     `yaml:"client_cert" doc:"PEM file of the certificate of who asks"`
	ClientKey  Text     `yaml:"client_key" doc:"PEM file of its key"`
	MinTLS     Text     `yaml:"min_tls" doc:"oldest version of TLS that is spoken with them: 1.2, which is the default, or 1.3"`
	Timeouts   Timeouts `yaml:"timeouts" doc:"how long each stage may take with them"`
}

// A Parent is another proxy.
type Parent struct {
	Match       Text       `yaml:"match" doc:"HOST[:PORT] or *.HOST[:PORT], or * for all" need:"yes"`
	Proxy       Text       `yaml:"proxy" doc:"http://HOST:PORT, https://HOST[:PORT] or socks5://HOST[:PORT]" need:"yes"`
	Login       Text       `yaml:"login" doc:"where USER:PASSWORD is that it is shown: env:VARIABLE or file:PATH"`
	Resolve     Text       `yaml:"resolve" doc:"who looks names up: local, which is the default, where addresses are judged; or parent, where nobody here knows them"`
	Credentials Bool       `yaml:"credentials" doc:"whether credentials go where only the parent knows the address; it is not so unless it is said"`
	TLS         BindingTLS `yaml:"tls" doc:"how a parent of https proves who it is, and who asks"`
}

// Timeouts bound stages; what is left out is the default.
type Timeouts struct {
	Resolve  Duration `yaml:"resolve" doc:"until its name has an address; the default is 10s"`
	Connect  Duration `yaml:"connect" doc:"until one of its addresses accepts; the default is 10s"`
	Parent   Duration `yaml:"parent" doc:"until a parent proxy is connected to it; the default is 15s"`
	TLS      Duration `yaml:"tls" doc:"until it has proved who it is; the default is 10s"`
	Request  Duration `yaml:"request" doc:"until it takes more of a request; the default is 2m"`
	Response Duration `yaml:"response" doc:"until it begins to answer; the default is 10m"`
	Body     Duration `yaml:"body" doc:"until more of its answer comes; the default is 15m"`
	Trailer  Duration `yaml:"trailer" doc:"until an answer ends of which only the trailer is missing; the default is 30s"`
}
