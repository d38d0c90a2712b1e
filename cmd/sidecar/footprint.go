package sidecar

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/config"
	"sallyport/confine"
	"sallyport/credentials/systemd"
)

// A footprint is what a configuration names of the file system.
type footprint struct {
	policies, files        []named // to read: directories, and files that may be replaced
	write, enrol, explicit []named // directories
}

// named is a path and where it stands.
type named struct {
	key, path string
	at        config.Text
}

func footprintOf(file string, f *config.File) (out footprint) {
	rel := beside(file)
	read := func(at config.Text, format string, a ...any) {
		if at.S != "" {
			out.files = append(out.files, named{fmt.Sprintf(format, a...), rel(at.S), at})
		}
	}
	source := func(at config.Text, format string, a ...any) {
		path, ok := strings.CutPrefix(at.S, "file:")
		if name, of := strings.CutPrefix(at.S, "systemd:"); of {
			path, ok = systemd.Path(name), systemd.Path(name) != ""
		}
		if ok {
			out.files = append(out.files, named{fmt.Sprintf(format, a...), rel(path), at})
		}
	}
	for i, p := range f.Policies {
		if p.Dir.S != "" {
			out.policies = append(out.policies, named{fmt.Sprintf("policies[%d].dir", i), rel(p.Dir.S), p.Dir})
		}
		source(p.Verify.Key, "policies[%d].verify.key", i)
		source(p.Token, "policies[%d].token", i)
		read(p.CA, "policies[%d].ca", i)
		read(p.ClientCert, "policies[%d].client_cert", i)
		read(p.ClientKey, "policies[%d].client_key", i)
	}
	for i, c := range f.Credentials {
		sourcesOf(c.Source, fmt.Sprintf("credentials[%d].source", i), func(at config.Text, key string) { source(at, "%s", key) }, func(at config.Text, key string) { read(at, "%s", key) })
	}
	for i, t := range f.Network.UpstreamCA {
		read(t, "network.upstream_ca[%d]", i)
	}
	for i, r := range f.Network.Resolvers {
		read(r.CA, "network.resolvers[%d].ca", i)
	}
	for i, d := range f.Network.Destinations {
		read(d.ExtraCA, "network.destinations[%d].extra_ca", i)
		read(d.CA, "network.destinations[%d].ca", i)
		read(d.ClientCert, "network.destinations[%d].client_cert", i)
		read(d.ClientKey, "network.destinations[%d].client_key", i)
	}
	for i, x := range f.Network.Parents {
		source(x.Login, "network.parents[%d].login", i)
		read(x.TLS.CA, "network.parents[%d].tls.ca", i)
		read(x.TLS.ClientCert, "network.parents[%d].tls.client_cert", i)
		read(x.TLS.ClientKey, "network.parents[%d].tls.client_key", i)
	}
	l := f.Control.Listen
	read(l.Cert, "control.listen.cert")
	read(l.Key, "control.listen.key")
	read(l.ClientCA, "control.listen.client_ca")
	source(l.Token, "control.listen.token")
	for i, sb := range f.Sandboxes {
		for _, b := range sb.Bindings {
			read(b.TLS.CA, "sandboxes[%d].bindings.%s.tls.ca", i, b.Name.S)
			read(b.TLS.ClientCert, "sandboxes[%d].bindings.%s.tls.client_cert", i, b.Name.S)
			read(b.TLS.ClientKey, "sandboxes[%d].bindings.%s.tls.client_key", i, b.Name.S)
		}
		for j, v := range sb.Via {
			source(v.Key, "sandboxes[%d].via[%d].key", i, j)
			read(v.TLS.CA, "sandboxes[%d].via[%d].tls.ca", i, j)
			read(v.TLS.ClientCert, "sandboxes[%d].via[%d].tls.client_cert", i, j)
			read(v.TLS.ClientKey, "sandboxes[%d].via[%d].tls.client_key", i, j)
		}
		e := sb.Explicit
		source(e.Token, "sandboxes[%d].explicit.token", i)
		read(e.ClientCert, "sandboxes[%d].explicit.client_cert", i)
		read(e.ClientCA, "sandboxes[%d].explicit.client_ca", i)
		if e.Socket.S != "" {
			out.explicit = append(out.explicit, named{fmt.Sprintf("sandboxes[%d].explicit.socket", i), filepath.Dir(e.Socket.S), e.Socket})
		}
		if sb.CA.S != "" { // is written where the sandbox looks, too
			out.enrol = append(out.enrol, named{fmt.Sprintf("sandboxes[%d].ca", i), filepath.Dir(sb.CA.S), sb.CA})
		}
		if d := sb.Enrol.Dir; d.S != "" {
			out.enrol = append(out.enrol, named{fmt.Sprintf("sandboxes[%d].enrol.dir", i), d.S, d})
		}
	}
	out.write = []named{{"state", f.State.S, f.State}, {"audit.dir", f.Audit.Dir.S, f.Audit.Dir}}
	for i, s := range f.Audit.Sinks {
		for _, x := range []struct {
			kind         string
			key, token   config.Text
			ca, own, pem config.Text
		}{
			{"syslog", config.Text{}, config.Text{}, s.Syslog.TLS.CA, s.Syslog.TLS.ClientCert, s.Syslog.TLS.ClientKey},
			{"http", s.HTTP.Key, s.HTTP.Token, s.HTTP.TLS.CA, s.HTTP.TLS.ClientCert, s.HTTP.TLS.ClientKey},
			{"elasticsearch", config.Text{}, s.Elasticsearch.Token, s.Elasticsearch.TLS.CA, s.Elasticsearch.TLS.ClientCert, s.Elasticsearch.TLS.ClientKey},
			{"loki", config.Text{}, s.Loki.Token, s.Loki.TLS.CA, s.Loki.TLS.ClientCert, s.Loki.TLS.ClientKey},
			{"splunk", config.Text{}, s.Splunk.Token, s.Splunk.TLS.CA, s.Splunk.TLS.ClientCert, s.Splunk.TLS.ClientKey},
			{"otlp", config.Text{}, s.OTLP.Token, s.OTLP.TLS.CA, s.OTLP.TLS.ClientCert, s.OTLP.TLS.ClientKey},
		} {
			source(x.key, "audit.sinks[%d].%s.key", i, x.kind)
			source(x.token, "audit.sinks[%d].%s.token", i, x.kind)
			read(x.ca, "audit.sinks[%d].%s.tls.ca", i, x.kind)
			read(x.own, "audit.sinks[%d].%s.tls.client_cert", i, x.kind)
			read(x.pem, "audit.sinks[%d].%s.tls.client_key", i, x.kind)
		}
		if p := s.File.Path; p.S != "" && p.S != "stdout" {
			out.write = append(out.write, named{fmt.Sprintf("audit.sinks[%d].file", i), filepath.Dir(rel(p.S)), p})
		}
	}
	return out
}

// left is what a configuration leaves to serve.
func left(bad *config.Problems, file string, f *config.File) *confine.Spec {
	fp := footprintOf(file, f)
	spec := &confine.Spec{As: account(bad, f)}
	fs := &spec.Files
	fs.Read = append(fs.Read, around(file)...)
	for _, n := range fp.policies {
		if st, err := os.Stat(n.path); err == nil && !st.IsDir() { // a bundle, which may be replaced
			fs.Read = append(fs.Read, around(n.path)...)
		}
		fs.Read = append(fs.Read, n.path)
	}
	for _, n := range fp.files {
		fs.Read = append(fs.Read, around(n.path)...)
	}
	rel := beside(file)
	for i, t := range f.Confine.Read {
		path, key := rel(t.S), fmt.Sprintf("confine.read[%d]", i)
		switch _, err := os.Stat(path); {
		case err != nil:
			bad.Add(t.Pos, key, "%v", err)
		case followed(path) == "/":
			bad.Add(t.Pos, key, "everything lies below it: name what serve has to read")
		}
		fs.Read = append(fs.Read, path)
	}
	control := named{"control.socket", filepath.Dir(f.Control.Socket.S), f.Control.Socket}
	for into, ns := range map[*[]string][]named{&fs.Write: slices.Concat(fp.write, fp.enrol), &fs.Sockets: append(fp.explicit, control)} {
		for _, n := range ns {
			if wide(followed(n.path)) {
				bad.Add(n.at.Pos, n.key, "the directory %s holds much else: use one of its own", n.path)
			}
			*into = append(*into, n.path)
		}
	}
	fs.Write = append(fs.Write, filepath.Join(control.path, enrolDirectory))
	return spec
}

// withheld says what a configuration names that serve did not leave itself at its
// start: it needs a restart.
func withheld(file string, f *config.File) error {
	bad, fp := &config.Problems{File: file}, footprintOf(file, f)
	for _, n := range append(fp.policies, fp.files...) {
		if err := limits.WithheldFile(n.path); err != nil {
			bad.Add(n.at.Pos, n.key, "%s: %v, or name a directory above it in confine.read", n.path, err)
		}
	}
	for _, n := range fp.explicit {
		if err := limits.WithheldSocket(followed(n.path)); err != nil {
			bad.Add(n.at.Pos, n.key, "%s: %v", n.at.S, err)
		}
	}
	for _, n := range fp.enrol {
		if err := limits.WithheldDirectory(followed(n.path)); err != nil {
			bad.Add(n.at.Pos, n.key, "%s: %v", n.at.S, err)
		}
	}
	return bad.Err()
}

// around is what is left to read of a file that may be replaced: the directories
// that it and the links to it are in, or the file alone where those hold much else.
func around(path string) (out []string) {
	for _, p := range []string{path, followed(path)} {
		if dir := filepath.Dir(p); wide(followed(dir)) {
			out = append(out, p)
		} else {
			out = append(out, dir)
		}
	}
	return out
}

// wide are directories that everything is below of.
func wide(dir string) bool {
	return slices.Contains(strings.Fields("/ /bin /boot /dev /dev/shm /etc /home /lib /mnt /opt /proc /root /run /srv /sys /tmp /usr /usr/local /usr/share /var /var/lib /var/log /var/run /var/tmp"), dir)
}

// followed is the absolute path that a path leads to. Of one that is not there, it
// is that of what there is above it.
func followed(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for rest := ""; ; {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			return filepath.Join(real, rest)
		}
		if abs == "/" {
			return filepath.Join(abs, rest)
		}
		abs, rest = filepath.Dir(abs), filepath.Join(filepath.Base(abs), rest)
	}
}

// beside makes a path of a configuration one that is relative to its file.
func beside(file string) func(string) string {
	base := filepath.Dir(file)
	return func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(base, path)
	}
}
