package terms

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/audit/ship"
	"sallyport/audit/ship/elastic"
	"sallyport/audit/ship/file"
	"sallyport/audit/ship/loki"
	"sallyport/audit/ship/otlp"
	"sallyport/audit/ship/post"
	"sallyport/audit/ship/splunk"
	"sallyport/audit/ship/syslog"
	"sallyport/audit/ship/webhook"
	"sallyport/config"
)

// A Sink is one of the configuration, and what it gets.
type Sink struct {
	ship.Sink
	Name     string
	Required bool
	Wants    func(ship.Record) bool // nil is all
}

// A sinker makes sinks, and says what is wrong at its place.
type sinker struct {
	bad *config.Problems
	key string
	rel func(string) string
}

// SinkOf makes a sink of the configuration, with paths as rel makes them; nil when
// something is wrong with it.
func SinkOf(bad *config.Problems, key string, c config.Sink, rel func(string) string) *Sink {
	m := &sinker{bad, key, rel}
	before := len(bad.List)
	if n := c.Name.S; len(n) > 64 || strings.ContainsFunc(n, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) {
		bad.Add(c.Name.Pos, key+".name", "%q is not a name: small letters, digits, hyphens and underscores, at most 64", n)
	}
	out := &Sink{Name: c.Name.S, Required: c.Required.B, Wants: wants(c)}
	for i, d := range c.Decisions {
		if !slices.Contains([]string{"allow", "deny", "error", "respond"}, d.S) {
			bad.Add(d.Pos, fmt.Sprintf("%s.decisions[%d]", key, i), "%q: expected allow, deny, error or respond", d.S)
		}
	}
	for i, e := range c.Events {
		if !strings.HasPrefix(e.S, "egress.") {
			bad.Add(e.Pos, fmt.Sprintf("%s.events[%d]", key, i), "%q: expected the event.name of records, such as egress.request.decision or egress.request.*", e.S)
		}
	}
	ways := 0
	for _, w := range []struct {
		said bool
		make func() ship.Sink
	}{
		{c.File.Path.S != "", func() ship.Sink { return m.file(c.File) }},
		{c.Syslog.Address.S != "", func() ship.Sink { return m.syslog(c.Syslog) }},
		{c.HTTP.URL.S != "", func() ship.Sink { return m.webhook(c.HTTP) }},
		{c.Elasticsearch.URL.S != "", func() ship.Sink {
			x := c.Elasticsearch
			return with(m.post("elasticsearch", x.URL, x.Token, "ApiKey ", x.Gzip, x.TLS, nil), func(p *post.Client) ship.Sink { return elastic.New(p, x.Index.S) })
		}},
		{c.Loki.URL.S != "", func() ship.Sink { return m.loki(c.Loki) }},
		{c.Splunk.URL.S != "", func() ship.Sink {
			x, o := c.Splunk, splunk.Options{Index: c.Splunk.Index.S, SourceType: c.Splunk.SourceType.S, NoAck: c.Splunk.NoAck.B}
			if o.SourceType == "" {
				o.SourceType = "sallyport"
			}
			return with(m.post("splunk", x.URL, x.Token, "Splunk ", x.Gzip, x.TLS, nil), func(p *post.Client) ship.Sink { return splunk.New(p, o) })
		}},
		{c.OTLP.URL.S != "", func() ship.Sink {
			x := c.OTLP
			return with(m.post("otlp", x.URL, x.Token, "Bearer ", x.Gzip, x.TLS, nil), func(p *post.Client) ship.Sink { return otlp.New(p) })
		}},
	} {
		if w.said {
			ways++
			out.Sink = w.make()
		}
	}
	if ways != 1 {
		bad.Add(c.Name.Pos, key, "expected one of file, syslog, http, elasticsearch, loki, splunk and otlp, found %d", ways)
	}
	if len(bad.List) > before {
		return nil
	}
	return out
}

// wants is what a sink gets.
func wants(c config.Sink) func(ship.Record) bool {
	if len(c.Events)+len(c.Decisions) == 0 {
		return nil
	}
	matches := func(list []config.Text, have string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(t config.Text) bool {
			prefix, all := strings.CutSuffix(t.S, "*")
			return t.S == have || all && strings.HasPrefix(have, prefix)
		})
	}
	return func(r ship.Record) bool { return matches(c.Events, r.Name) && matches(c.Decisions, r.Decision) }
}

func (m *sinker) wrong(at config.Text, key string, err error) {
	m.bad.Add(at.Pos, m.key+"."+key, "%v", err)
}

func (m *sinker) file(c config.SinkFile) ship.Sink {
	if c.Path.S == "stdout" {
		return file.Stdout()
	}
	path := m.rel(c.Path.S)
	if st, err := os.Stat(filepath.Dir(path)); err != nil {
		m.wrong(c.Path, "file", err)
	} else if !st.IsDir() {
		m.wrong(c.Path, "file", fmt.Errorf("%s is not a directory", filepath.Dir(path)))
	}
	return file.New(path)
}

func (m *sinker) syslog(c config.SinkLog) ship.Sink {
	scheme, address, _ := strings.Cut(c.Address.S, "://")
	if _, _, err := net.SplitHostPort(address); err != nil || !slices.Contains([]string{"tcp", "tls", "relp", "relp+tls"}, scheme) {
		m.wrong(c.Address, "syslog.address", errors.New("expected tcp://HOST:PORT, tls://HOST:PORT, relp://HOST:PORT or relp+tls://HOST:PORT"))
		return nil
	}
	o := syslog.Options{Address: address, Form: syslog.Form{Facility: 13, App: "sallyport"}, Longest: int(c.Longest.N)}
	if c.Facility.Set {
		o.Facility = int(c.Facility.N)
		if o.Facility > 23 {
			m.bad.Add(c.Facility.Pos, m.key+".syslog.facility", "%d: facilities are 0 to 23", o.Facility)
		}
	}
	secure := strings.HasSuffix(scheme, "tls")
	if said := m.tls("syslog", c.TLS); secure {
		o.TLS = said
		if o.TLS == nil {
			o.TLS = &tls.Config{}
		}
	} else if said != nil {
		m.wrong(c.Address, "syslog.tls", fmt.Errorf("%s:// has no TLS", scheme))
	}
	if strings.HasPrefix(scheme, "relp") {
		return syslog.NewRELP(o)
	}
	return syslog.NewTCP(o)
}

func (m *sinker) webhook(c config.SinkHTTP) ship.Sink {
	var key func() ([]byte, error)
	if c.Key.S != "" {
		key = func() ([]byte, error) { return m.secret(c.Key) }
		if k, err := key(); err != nil {
			m.wrong(c.Key, "http.key", err)
		} else if len(k) < 32 {
			m.wrong(c.Key, "http.key", errors.New("a key that signs has at least 32 characters"))
		}
	}
	return with(m.post("http", c.URL, c.Token, "Bearer ", c.Gzip, c.TLS, nil), func(p *post.Client) ship.Sink { return webhook.New(p, key) })
}

func (m *sinker) loki(c config.SinkLoki) ship.Sink {
	labels := map[string]string{"job": "sallyport"}
	for _, kv := range c.Labels {
		labels[kv.Key.S] = kv.Value.S
	}
	var more http.Header
	if c.Tenant.S != "" {
		more = http.Header{"X-Scope-Orgid": {c.Tenant.S}}
	}
	return with(m.post("loki", c.URL, c.Token, "Bearer ", c.Gzip, c.TLS, more), func(p *post.Client) ship.Sink { return loki.New(p, labels) })
}

// with is a sink over a client, or nil without one.
func with(p *post.Client, f func(*post.Client) ship.Sink) ship.Sink {
	if p == nil {
		return nil
	}
	return f(p)
}

// post is a client that shows a token, as it is when it is shown.
func (m *sinker) post(key string, url, token config.Text, scheme string, zip config.Bool, said config.BindingTLS, more http.Header) *post.Client {
	o := post.Options{URL: url.S, Gzip: zip.B, TLS: m.tls(key, said)}
	if token.S != "" {
		if _, err := m.secret(token); err != nil {
			m.wrong(token, key+".token", err)
		}
	}
	o.Header = func(h http.Header) error {
		for k, v := range more {
			h[k] = v
		}
		if token.S == "" {
			return nil
		}
		t, err := m.secret(token)
		if err == nil {
			h.Set("Authorization", scheme+string(t))
		}
		return err
	}
	if token.S != "" && strings.HasPrefix(url.S, "http://") && !loopback(url.S) {
		m.wrong(url, key+".url", errors.New("a token goes over https only, but for this machine's own addresses"))
	}
	p, err := post.New(o)
	if err != nil {
		m.wrong(url, key+".url", err)
		return nil
	}
	return p
}

// loopback reports whether a URL is one of this machine's own.
func loopback(url string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// secret is read each time, so that it can be replaced.
func (m *sinker) secret(t config.Text) ([]byte, error) {
	s, err := ReadSecret(t.S, m.rel, func(string) {})
	return []byte(strings.TrimRight(s, "\r\n")), err
}

// tls is what is said of TLS; nil when nothing is.
func (m *sinker) tls(key string, c config.BindingTLS) *tls.Config {
	if c == (config.BindingTLS{}) {
		return nil
	}
	out := &tls.Config{ServerName: c.ServerName.S, MinVersion: tls.VersionTLS12}
	if c.CA.S != "" {
		pem, err := os.ReadFile(m.rel(c.CA.S))
		if err != nil {
			m.wrong(c.CA, key+".tls.ca", err)
		} else if out.RootCAs = x509.NewCertPool(); !out.RootCAs.AppendCertsFromPEM(pem) {
			m.wrong(c.CA, key+".tls.ca", fmt.Errorf("%s has no certificate", m.rel(c.CA.S)))
		}
	}
	switch {
	case (c.ClientCert.S == "") != (c.ClientKey.S == ""):
		m.wrong(c.ClientCert, key+".tls", errors.New("a client's certificate and its key come together"))
	case c.ClientCert.S != "":
		pair, err := tls.LoadX509KeyPair(m.rel(c.ClientCert.S), m.rel(c.ClientKey.S))
		if err != nil {
			m.wrong(c.ClientCert, key+".tls.client_cert", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out
}
