package config

import "strconv"

// A Policy is Rego with a name: a directory, or a bundle.
type Policy struct {
	Name    Text   `yaml:"name" doc:"name that sandboxes use" need:"yes"`
	Dir     Text   `yaml:"dir" doc:"directory of Rego and data files, or a file that is a bundle of them (.tar.gz)"`
	Shadow  Text   `yaml:"shadow" doc:"name of another of policies, which is asked what this one was asked, later and without effect; what it says otherwise is recorded and counted"`
	Verify  Verify `yaml:"verify" doc:"who has to have signed the bundle; then an unsigned one is never taken"`
	MaxSize Size   `yaml:"max_size" doc:"of a bundle, packed and unpacked; the default is 64MiB"`

	URL           Text `yaml:"url" doc:"https://HOST/… where a bundle is published, or oci://REGISTRY/REPOSITORY:TAG where it is an image, in place of dir"`
	Token         Text `yaml:"token" doc:"where the token is that it is asked for with, of a registry USER:PASSWORD: env:VARIABLE or file:PATH"`
	CA            Text `yaml:"ca" doc:"PEM file of the CAs that the server's certificate may be of, in place of the system's"`
	ClientCert    Text `yaml:"client_cert" doc:"PEM file of the certificate of who asks"`
	ClientKey     Text `yaml:"client_key" doc:"PEM file of its key"`
	Poll          Poll `yaml:"poll" doc:"how often it is asked for"`
	AllowRollback Bool `yaml:"allow_rollback" doc:"whether a bundle may be older than the one in force; it is not so unless it is said"`
}

// Poll is how often a bundle is asked for.
type Poll struct {
	Min     Duration `yaml:"min" doc:"time between two requests, at least; the default is 1m"`
	Max     Duration `yaml:"max" doc:"and at most; the default is twice min"`
	Wait    Duration `yaml:"wait" doc:"how long a server that can do so waits for a new one before it answers; by default none is asked to"`
	Timeout Duration `yaml:"timeout" doc:"of a request, beside wait; the default is 1m"`
}

// Verify is who has to have signed a bundle.
type Verify struct {
	Key       Text `yaml:"key" doc:"where the public keys are in PEM, of which each counts: env:VARIABLE or file:PATH; the secret for HS256 and the like" need:"yes"`
	KeyID     Text `yaml:"key_id" doc:"name of the key, which the signature has to give; by default any"`
	Algorithm Text `yaml:"algorithm" doc:"RS256, which is the default, or another of RS, PS, ES, HS with 256, 384 or 512"`
	Scope     Text `yaml:"scope" doc:"scope that the signature has to be of; by default none"`
}

// whole says what does not fit together of a policy.
func (d *decoder) whole(f *File) {
	for i, p := range f.Policies {
		key := "policies[" + strconv.Itoa(i) + "]"
		switch {
		case p.Name.S == "": // which was said
		case p.Dir.S == "" && p.URL.S == "":
			d.Add(p.Name.Pos, key, "dir is missing: directory of Rego and data files, or a file that is a bundle of them (.tar.gz); or url, where one is published")
		case p.Dir.S != "" && p.URL.S != "":
			d.Add(p.URL.Pos, key+".url", "dir stands beside it: a policy is from one place")
		case p.URL.S == "":
			d.noServer(key, p)
		case p.Poll.Max.D != 0 && p.Poll.Max.D < max(p.Poll.Min.D, 1):
			d.Add(p.Poll.Max.Pos, key+".poll.max", "it is less than min")
		case (p.ClientCert.S == "") != (p.ClientKey.S == ""):
			d.Add(p.URL.Pos, key+".client_cert", "client_cert and client_key go together")
		}
	}
}

// noServer says which keys of a policy are of one that is published.
func (d *decoder) noServer(key string, p Policy) {
	for _, x := range []struct {
		name string
		set  bool
		pos  Pos
	}{
		{"token", p.Token.S != "", p.Token.Pos}, {"ca", p.CA.S != "", p.CA.Pos}, {"client_cert", p.ClientCert.S != "", p.ClientCert.Pos}, {"client_key", p.ClientKey.S != "", p.ClientKey.Pos},
		{"poll.min", p.Poll.Min.D != 0, p.Poll.Min.Pos}, {"poll.max", p.Poll.Max.D != 0, p.Poll.Max.Pos}, {"poll.wait", p.Poll.Wait.D != 0, p.Poll.Wait.Pos}, {"poll.timeout", p.Poll.Timeout.D != 0, p.Poll.Timeout.Pos},
		{"allow_rollback", p.AllowRollback.B, p.AllowRollback.Pos},
	} {
		if x.set {
			d.Add(x.pos, key+"."+x.name, "it is for a bundle that is published: there is no url")
		}
	}
}
