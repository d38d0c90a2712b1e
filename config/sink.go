package config

// A Sink is where records are shipped, and which: one of file, syslog, http,
// elasticsearch, loki, splunk and otlp says where.
type Sink struct {
	Name          Text      `yaml:"name" doc:"its name in status and metrics" need:"yes"`
	File          SinkFile  `yaml:"file" doc:"a file that grows, or stdout"`
	Syslog        SinkLog   `yaml:"syslog" doc:"a server of syslog"`
	HTTP          SinkHTTP  `yaml:"http" doc:"a receiver of NDJSON by POST"`
	Elasticsearch SinkIndex `yaml:"elasticsearch" doc:"Elasticsearch or OpenSearch, by the bulk API"`
	Loki          SinkLoki  `yaml:"loki" doc:"Grafana Loki"`
	Splunk        SinkHEC   `yaml:"splunk" doc:"Splunk's HTTP Event Collector"`
	OTLP          SinkOTLP  `yaml:"otlp" doc:"an OpenTelemetry collector, by OTLP over HTTP"`
	Events        []Text    `yaml:"events" doc:"event.name of the records that it gets; one that ends in .* is all that begin so; by default all"`
	Decisions     []Text    `yaml:"decisions" doc:"policy.decision of the records that it gets, such as deny; by default all"`
	Required      Bool      `yaml:"required" doc:"whether serve is not ready while the sink gets nothing"`
}

// SinkFile is a file; one that says no more than path is written as that.
type SinkFile struct {
	Path Text `yaml:"path" short:"yes" doc:"the file, in a directory that is there, or stdout" need:"yes"`
}

// SinkLog is a server of syslog.
type SinkLog struct {
	Address  Text       `yaml:"address" doc:"tcp://HOST:PORT, tls://HOST:PORT, relp://HOST:PORT or relp+tls://HOST:PORT; only RELP acknowledges" need:"yes"`
	TLS      BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
	Facility Number     `yaml:"facility" doc:"facility of RFC 5424, 0 to 23; the default is 13, log audit"`
	Longest  Size       `yaml:"longest" doc:"longest message that the server takes; the default is 8096, with which rsyslog begins: longer records are kept apart, never cut"`
}

// SinkHTTP is a receiver of NDJSON.
type SinkHTTP struct {
	URL   Text       `yaml:"url" doc:"https:// or http://HOST[:PORT]/PATH" need:"yes"`
	Key   Text       `yaml:"key" doc:"where the key is that signs bodies: env:VARIABLE or file:PATH"`
	Token Text       `yaml:"token" doc:"where the token is that comes with every request: env:VARIABLE or file:PATH"`
	Gzip  Bool       `yaml:"gzip" doc:"whether bodies are compressed"`
	TLS   BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
}

// SinkIndex is an index of Elasticsearch.
type SinkIndex struct {
	URL   Text       `yaml:"url" doc:"https:// or http://HOST[:PORT]" need:"yes"`
	Index Text       `yaml:"index" doc:"the index or data stream" need:"yes"`
	Token Text       `yaml:"token" doc:"where the API key is: env:VARIABLE or file:PATH"`
	Gzip  Bool       `yaml:"gzip" doc:"whether bodies are compressed"`
	TLS   BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
}

// SinkLoki is Grafana Loki.
type SinkLoki struct {
	URL    Text       `yaml:"url" doc:"https:// or http://HOST[:PORT]" need:"yes"`
	Labels []Pair     `yaml:"labels" doc:"labels of its streams, beside event_name and decision; the default is job: sallyport"`
	Tenant Text       `yaml:"tenant" doc:"X-Scope-OrgID of each request"`
	Token  Text       `yaml:"token" doc:"where the token is that comes with every request: env:VARIABLE or file:PATH"`
	Gzip   Bool       `yaml:"gzip" doc:"whether bodies are compressed"`
	TLS    BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
}

// SinkHEC is an HTTP Event Collector.
type SinkHEC struct {
	URL        Text       `yaml:"url" doc:"https:// or http://HOST[:PORT]" need:"yes"`
	Token      Text       `yaml:"token" doc:"where its token is: env:VARIABLE or file:PATH" need:"yes"`
	Index      Text       `yaml:"index" doc:"the index; by default that of the token"`
	SourceType Text       `yaml:"sourcetype" doc:"the source type; the default is sallyport"`
	NoAck      Bool       `yaml:"no_ack" doc:"whether records count as there before they are indexed, for a token without acknowledgement"`
	Gzip       Bool       `yaml:"gzip" doc:"whether bodies are compressed"`
	TLS        BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
}

// SinkOTLP is an OpenTelemetry collector.
type SinkOTLP struct {
	URL   Text       `yaml:"url" doc:"https:// or http://HOST[:PORT]; /v1/logs is put behind it" need:"yes"`
	Token Text       `yaml:"token" doc:"where the token is that comes with every request: env:VARIABLE or file:PATH"`
	Gzip  Bool       `yaml:"gzip" doc:"whether bodies are compressed"`
	TLS   BindingTLS `yaml:"tls" doc:"how it proves who it is, and who sends"`
}
